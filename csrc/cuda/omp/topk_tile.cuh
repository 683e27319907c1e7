// The largest correlations of signals in single precision: a block correlates a tile of signals with all atoms, and its
// warps take the largest of a signal each, one after the other.
//
// A thread has four atoms by 16 signals (8 where signals are few): 64 sums for one read of the dictionary from the
// second-level cache and four of shared memory that its warp shares. Each sum runs over the features in order, whatever
// the tile.
//
// A lane keeps the best of its own atoms. The best of all is one of these, and once it is taken, the whole warp looks
// for the next best of that lane: two reductions of 32 numbers a step, and not the whole row.
#pragma once

#include "cuda/omp/output.cuh"
#include "cuda/signal_rows.cuh"

namespace sparsefast {
namespace {

// `groups` groups of `group` signals.
template <int group, int groups>
struct TopkTile {
    static constexpr int kSignals = group * groups, kPitch = kSignals + kQuad;
    static int64_t bytes(int64_t n_features, int64_t ld) {
        return (n_features * kPitch + kSignals * ld) * static_cast<int64_t>(sizeof(float));
    }
};

// Larger where the correlation is: of its size, or of itself if positive ones alone count; 0, as for a NaN, where it is
// no candidate.
__device__ inline unsigned rank_of(float c, bool positive) {
    return __float_as_uint(fmaxf(positive ? c : fabsf(c), 0.f));
}

// By a warp, from its row of correlations, which it uses up.
__device__ inline void take_largest(float* c, int ld, int64_t signal, bool positive, Shift<float> to_scale,
                                    const Outputs<float>& out) {
    const int lane = threadIdx.x % kWarp;
    const int64_t row = signal * out.n_nonzero;
    unsigned best = 0;
    int at = 0;
    for (int atom = lane * kQuad; atom < ld; atom += kWarp * kQuad) {
        const Four<float> four = *reinterpret_cast<const Four<float>*>(c + atom);
#pragma unroll
        for (int i = 0; i < kQuad; ++i) {
            const unsigned rank = rank_of(four.v[i], positive);
            at = rank > best ? atom + i : at;
            best = rank > best ? rank : best;
        }
    }
    int64_t count = 0;
    float value = 0;  // of the entry that this lane writes, as is `index`
    int index = 0;
    for (; count < out.n_nonzero; ++count) {
        const unsigned most = __reduce_max_sync(kAllLanes, best);
        if (most == 0) break;
        // Of equal ones the first.
        const int winner =
            static_cast<int>(~__reduce_max_sync(kAllLanes, best == most ? ~static_cast<unsigned>(at) : 0u));
        const int slot = static_cast<int>(count % kWarp);
        if (slot == lane) value = c[winner], index = winner;
        const int owner = winner / kQuad % kWarp;
        unsigned next = 0;
        int next_at = 0;
        __syncwarp(kAllLanes);
        for (int first = owner * kQuad; first < ld; first += kWarp * kWarp) {
            const int atom = first + lane / kQuad * (kWarp * kQuad) + lane % kQuad;
            if (atom == winner) c[atom] = 0;
            const unsigned rank = atom < ld ? rank_of(c[atom], positive) : 0;
            next_at = rank > next ? atom : next_at;
            next = rank > next ? rank : next;
        }
        const unsigned then = __reduce_max_sync(kAllLanes, next);
        const unsigned where = ~__reduce_max_sync(kAllLanes, next == then ? ~static_cast<unsigned>(next_at) : 0u);
        if (lane == owner) best = then, at = static_cast<int>(where);
        if (slot == kWarp - 1) {
            out.values[row + count - slot + lane] = to_scale(value);
            out.put_index(row + count - slot + lane, index);
        }
    }
    const int64_t written = count / kWarp * kWarp;
    for (int64_t j = written + lane; j < out.n_nonzero; j += kWarp) {
        out.values[row + j] = j < count ? to_scale(value) : 0;
        out.put_index(row + j, j < count ? index : 0);
    }
    if (lane == 0) {
        out.counts[signal] = static_cast<int32_t>(count);
        out.status[signal] = static_cast<uint8_t>(count < out.n_nonzero ? OmpStatus::orthogonal : OmpStatus::complete);
    }
}

template <int group, int groups>
__global__ void __launch_bounds__(kBlock, 2)
    topk_kernel(Matrix signals, DeviceDictionary<float> d, bool positive, Outputs<float> out) {
    using Tile = TopkTile<group, groups>;
    constexpr int kSignals = Tile::kSignals, kPitch = Tile::kPitch;
    SF_DYNAMIC_SHARED(float, panel);                 // (n_features, kPitch)
    float* const c = panel + d.n_features * kPitch;  // (kSignals, ld)
    __shared__ SignalRows<float, kSignals> rows;
    const int n_features = static_cast<int>(d.n_features), ld = static_cast<int>(d.ld), quads = ld / kQuad;
    const int own = *d.exponent, lane = threadIdx.x % kWarp;
    for (int64_t begin = blockIdx.x * static_cast<int64_t>(kSignals); begin < signals.rows;
         begin += gridDim.x * static_cast<int64_t>(kSignals)) {
        const float* const x = static_cast<const float*>(signals.data) + begin * signals.row_stride;
        const int64_t rest = signals.rows - begin;
        const int n = static_cast<int>(rest < kSignals ? rest : kSignals);
        rows.measure(signals, x, n);
        __syncthreads();
        rows.template bring<kPitch>(signals, x, 0, n_features, -1000, panel);
        __syncthreads();
        for (int item = threadIdx.x; item < quads * groups; item += kBlock) {
            const int atom = item % quads * kQuad, first = item / quads * group;
            const float* column = d.transposed + atom;
            float sum[group][kQuad] = {};
#pragma unroll(group == 8 ? 8 : 4)
            for (int f = 0; f < n_features; ++f, column += ld) {
                const Four<float> a = *reinterpret_cast<const Four<float>*>(column);
#pragma unroll
                for (int q = 0; q < group; q += kQuad) {
                    const Four<float> s = *reinterpret_cast<const Four<float>*>(panel + f * kPitch + first + q);
#pragma unroll
                    for (int i = 0; i < kQuad; ++i)
#pragma unroll
                        for (int j = 0; j < kQuad; ++j) sum[q + i][j] = fma(s.v[i], a.v[j], sum[q + i][j]);
                }
            }
#pragma unroll
            for (int i = 0; i < group; ++i)
                *reinterpret_cast<Four<float>*>(c + (first + i) * ld +
                                                atom) = {{sum[i][0], sum[i][1], sum[i][2], sum[i][3]}};
        }
        __syncthreads();
        for (int t = threadIdx.x / kWarp; t < n; t += kBlock / kWarp) {
            if (rows.finite[t]) {
                take_largest(c + t * ld, ld, begin + t, positive, Shift<float>(rows.exponents[t] + own), out);
                continue;
            }
            for (int64_t j = lane; j < out.n_nonzero; j += kWarp) {
                out.values[(begin + t) * out.n_nonzero + j] = static_cast<float>(NAN);
                out.put_index((begin + t) * out.n_nonzero + j, 0);
            }
            if (lane == 0) {
                out.counts[begin + t] = 0;
                out.status[begin + t] = static_cast<uint8_t>(OmpStatus::nonfinite);
            }
        }
        __syncthreads();
    }
}

}  // namespace
}  // namespace sparsefast
