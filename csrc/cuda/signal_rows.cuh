// A tile of signals that a block brings into shared memory, each at its scale. A warp reads 8 rows at once, so that it
// waits for memory once and not 8 times.
#pragma once

#include "cuda/omp/tile.cuh"

namespace sparsefast {
namespace {

constexpr int kAtOnce = 8;

template <typename T, int signals>
struct SignalRows {
    int exponents[signals];
    bool finite[signals];

    // Exponents of the tile's n signals, x the first.
    __device__ void measure(const Matrix& all, const T* x, int n) {
        const int lane = threadIdx.x % kWarp, cols = static_cast<int>(all.cols);
        for (int first = threadIdx.x / kWarp * kAtOnce; first < signals; first += kBlock / kWarp * kAtOnce) {
            T peak[kAtOnce] = {};
            bool bad[kAtOnce] = {};
            for (int f = lane; f < cols; f += kWarp) {
#pragma unroll
                for (int i = 0; i < kAtOnce; ++i) {
                    const T a = first + i < n ? fabs(x[(first + i) * all.row_stride + f * all.col_stride]) : T(0);
                    bad[i] |= !is_finite(a);
                    peak[i] = a > peak[i] ? a : peak[i];
                }
            }
            T own_peak = 0;
            bool own_bad = false;
#pragma unroll
            for (int i = 0; i < kAtOnce; ++i) {
                const T most = warp_max(peak[i]);
                const bool any_bad = __any_sync(kAllLanes, bad[i]);
                if (lane == i) own_peak = most, own_bad = any_bad;
            }
            if (lane >= kAtOnce) continue;
            finite[first + lane] = !own_bad && first + lane < n;
            exponents[first + lane] = own_peak > 0 && !own_bad ? exponent_of(own_peak) : 0;
        }
    }

    // Features [from, to) of the signals, feature by feature, times 2^-max(exponent, least); those that are not finite
    // as zeros.
    template <int pitch>
    __device__ void bring(const Matrix& all, const T* x, int from, int to, int least, T* panel) const {
        const int lane = threadIdx.x % kWarp;
        for (int first = threadIdx.x / kWarp * kAtOnce; first < signals; first += kBlock / kWarp * kAtOnce) {
            const int mine = first + lane % kAtOnce;
            const Shift<T> scale(-(exponents[mine] < least ? least : exponents[mine]));
            const unsigned here = __ballot_sync(kAllLanes, finite[mine]);
            T half[kAtOnce], rest[kAtOnce];
#pragma unroll
            for (int i = 0; i < kAtOnce; ++i) {
                half[i] = __shfl_sync(kAllLanes, scale.half, i);
                rest[i] = __shfl_sync(kAllLanes, scale.rest, i);
            }
            for (int f = from + lane; f < to; f += kWarp) {
                T v[kAtOnce];
#pragma unroll
                for (int i = 0; i < kAtOnce; ++i)
                    v[i] = here >> i & 1 ? x[(first + i) * all.row_stride + f * all.col_stride] : T(0);
#pragma unroll
                for (int i = 0; i < kAtOnce; ++i) panel[(f - from) * pitch + first + i] = v[i] * half[i] * rest[i];
            }
        }
    }
};

}  // namespace
}  // namespace sparsefast
