// A tile of signals in one block: loaded, scaled, and correlated with all atoms.
//
// Signals lie feature by feature, so that eight of them are two 16-byte reads that all threads of a warp share; a
// thread takes four atoms by eight signals at a time, 32 sums for one read of the dictionary and two of shared memory.
// Each sum runs over the features in order, whatever the tile: a signal's correlations do not depend on its neighbours.
#pragma once

#include "cuda/omp/layout.cuh"
#include "cuda/omp/team.cuh"

namespace sparsefast {
namespace {

constexpr int kSignals = 8, kMostSignals = 32;

// What is known of each signal of a tile.
template <typename T>
struct SignalFacts {
    T norm2[kMostSignals];  // NaN where the signal is not finite
    T tol2[kMostSignals];   // of the scaled signal; -1 where there is none
    int exponent[kMostSignals];
    int observed[kMostSignals];  // features, for masked
};

// The tolerances of a call: none, one, or one for each signal.
template <typename T>
struct Tolerances {
    const T* each;  // on the device, or null
    int64_t stride;
    T one;  // negative for none

    __device__ bool asked() const { return each || one >= 0; }
    __device__ T squared(int64_t signal, int exponent) const {
        const T tol = each ? each[signal * stride] : one;
        if (!(tol >= 0)) return -1;
        const T scaled = Shift<T>(-exponent)(tol);
        return scaled * scaled;
    }
};

// The arrays of a tile, in shared memory or, where they are too large, in the block's part of the workspace.
template <typename T>
struct TileArrays {
    T* x;     // (n_features, signals)
    T* mask;  // the same, for masked: 1 where a feature is observed, else 0
    T* c;     // (signals, ld): correlations
    int signals;
};

// Signals [begin, begin + n) into the tile, a warp each; zeros for those that are missing.
template <typename T, bool masked>
__device__ void load_tile(const Matrix& signals, const Matrix& mask, const Tolerances<T>& tolerances, int64_t begin,
                          int n, const TileArrays<T>& tile, SignalFacts<T>& facts) {
    const int lane = threadIdx.x % kWarp;
    for (int t = threadIdx.x / kWarp; t < tile.signals; t += kBlock / kWarp) {
        const T* const x = static_cast<const T*>(signals.data) + (begin + t) * signals.row_stride;
        const unsigned char* const m = static_cast<const unsigned char*>(mask.data) + (begin + t) * mask.row_stride;
        T peak = 0;
        bool bad = false;
        int observed = 0;
        for (int64_t f = lane; t < n && f < signals.cols; f += kWarp) {
            if (masked && !m[f * mask.col_stride]) continue;
            const T v = x[f * signals.col_stride], a = v < 0 ? -v : v;
            bad |= !is_finite(v);
            peak = a > peak ? a : peak;
            ++observed;
        }
        bad = __any_sync(kAllLanes, bad);
        peak = warp_max(peak);
        const int e = peak > 0 && !bad ? exponent_of(peak) : 0;
        const Shift<T> scale(-e);
        T norm2 = 0;
        for (int64_t f = lane; f < signals.cols; f += kWarp) {
            const bool here = t < n && !bad && (!masked || m[f * mask.col_stride]);
            const T v = here ? scale(x[f * signals.col_stride]) : T(0);
            tile.x[f * tile.signals + t] = v;
            if (masked) tile.mask[f * tile.signals + t] = here ? T(1) : T(0);
            norm2 += v * v;
        }
        norm2 = warp_sum(norm2);
        if (masked) observed = warp_sum(observed);
        if (lane == 0) {
            facts.norm2[t] = bad ? static_cast<T>(NAN) : norm2;
            facts.exponent[t] = e;
            facts.observed[t] = observed;
            facts.tol2[t] = t < n ? tolerances.squared(begin + t, e) : T(-1);
        }
    }
}

// Correlations of the tile's signals with all atoms.
template <typename T>
__device__ void correlate_tile(const DeviceDictionary<T>& d, const TileArrays<T>& tile) {
    const int64_t quads = d.ld / kQuad;
    const int groups = tile.signals / kSignals;
    for (int64_t item = threadIdx.x; item < quads * groups; item += kBlock) {
        const int64_t atom = item % quads * kQuad;
        const int first = static_cast<int>(item / quads) * kSignals;
        T sum[kSignals][kQuad] = {};
        const T* column = d.transposed + atom;
        const T* x = tile.x + first;
        for (int64_t f = 0; f < d.n_features; ++f, column += d.ld, x += tile.signals) {
            const Four<T> a = *reinterpret_cast<const Four<T>*>(column);
            const Four<T> low = *reinterpret_cast<const Four<T>*>(x);
            const Four<T> high = *reinterpret_cast<const Four<T>*>(x + kQuad);
#pragma unroll
            for (int i = 0; i < kQuad; ++i) {
#pragma unroll
                for (int t = 0; t < kQuad; ++t) {
                    sum[t][i] = fma(low.v[t], a.v[i], sum[t][i]);
                    sum[t + kQuad][i] = fma(high.v[t], a.v[i], sum[t + kQuad][i]);
                }
            }
        }
#pragma unroll
        for (int t = 0; t < kSignals; ++t) {
            Four<T> out;
#pragma unroll
            for (int i = 0; i < kQuad; ++i) out.v[i] = sum[t][i];
            *reinterpret_cast<Four<T>*>(tile.c + (first + t) * d.ld + atom) = out;
        }
    }
}

}  // namespace
}  // namespace sparsefast
