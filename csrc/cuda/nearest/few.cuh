// The nearest codes of few signals: a block takes 8 and passes all atoms, a thread four atoms at a time, which it reads
// from the second-level cache itself, by all signals: 32 sums for one read of the codebook and two of shared memory.
#pragma once

#include "cuda/nearest/common.cuh"

namespace sparsefast {
namespace {

constexpr int kFewSignals = 8, kFewPitch = kFewSignals + kQuad;

template <typename T>
__global__ void __launch_bounds__(kBlock, sizeof(T) == 4 ? 2 : 1)
    nearest_few_kernel(Matrix signals, DeviceDictionary<T> d, Nearest<T> out) {
    SF_DYNAMIC_SHARED(T, panel);  // (n_features, kFewPitch)
    __shared__ NearestTile<T, kFewSignals> tile;
    __shared__ Winner<T> winners[kBlock / kWarp][kFewSignals];
    const int own = *d.exponent, warp = threadIdx.x / kWarp, lane = threadIdx.x % kWarp;
    const int n_features = static_cast<int>(d.n_features);
    for (int64_t begin = blockIdx.x * static_cast<int64_t>(kFewSignals); begin < signals.rows;
         begin += gridDim.x * static_cast<int64_t>(kFewSignals)) {
        const T* const x = static_cast<const T*>(signals.data) + begin * signals.row_stride;
        const int64_t rest = signals.rows - begin;
        const int n = static_cast<int>(rest < kFewSignals ? rest : kFewSignals);
        tile.measure(signals, x, n);
        __syncthreads();
        tile.template bring<kFewPitch>(signals, x, 0, n_features, tile.least(own), panel);
        __syncthreads();

        Winner<T> best[kFewSignals];
#pragma unroll
        for (int i = 0; i < kFewSignals; ++i) best[i] = {static_cast<T>(-INFINITY), Winner<T>::kNone};
        for (int64_t atom = threadIdx.x * kQuad; atom < d.ld; atom += kBlock * kQuad) {
            T sum[kFewSignals][kQuad] = {};
            const T* column = d.transposed + atom;
            const Four<T> half = *reinterpret_cast<const Four<T>*>(d.half + atom);
#pragma unroll 8
            for (int f = 0; f < n_features; ++f, column += d.ld) {
                const Four<T> a = *reinterpret_cast<const Four<T>*>(column);
#pragma unroll
                for (int q = 0; q < kFewSignals; q += kQuad) {
                    const Four<T> s = *reinterpret_cast<const Four<T>*>(panel + f * kFewPitch + q);
#pragma unroll
                    for (int i = 0; i < kQuad; ++i)
#pragma unroll
                        for (int j = 0; j < kQuad; ++j) sum[q + i][j] = fma(s.v[i], a.v[j], sum[q + i][j]);
                }
            }
#pragma unroll
            for (int i = 0; i < kFewSignals; ++i) {
                const T ratio = tile.norm_scale(i, own);
#pragma unroll
                for (int j = 0; j < kQuad; ++j)
                    best[i].meet(fma(-ratio, half.v[j], sum[i][j]), static_cast<int>(atom) + j);
            }
        }
#pragma unroll
        for (int i = 0; i < kFewSignals; ++i) {
            best[i].template gather<kWarp>();
            if (lane == i) winners[warp][i] = best[i];
        }
        __syncthreads();
        if (threadIdx.x < kFewSignals) {
            Winner<T> all = winners[0][threadIdx.x];
            for (int w = 1; w < kBlock / kWarp; ++w)
                all.offer(winners[w][threadIdx.x].key, winners[w][threadIdx.x].index);
            tile.winners[threadIdx.x] = all.index;
        }
        __syncthreads();
        tile.finish(signals, d, x, begin, n, own, out);
        __syncthreads();
    }
}

}  // namespace
}  // namespace sparsefast
