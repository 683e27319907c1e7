// The signals of a tile in shared memory, feature by feature, scaled: what csrc/cuda/omp/projected.cuh codes.
#pragma once

#include "cuda/omp/tile.cuh"

namespace sparsefast {
namespace {

template <int kTile, int kThreads>
class TileSignals {
    static constexpr int kWidth = kTile < kQuad ? kTile : kQuad;  // signals that are read at once
    static constexpr int kParts = 4;                              // lanes that scale a signal
    static_assert(kParts * kTile <= kWarp, "one warp scales the signals of a tile");

   public:
    struct Facts {
        float norm2[kTile];  // NaN where the signal is not finite
        float tol2[kTile];   // of the scaled signal; -1 where there is none
        int exponent[kTile];
    };

    __device__ explicit TileSignals(float* shared) : x_(shared) {}

    __device__ static Facts& facts() {
        __shared__ Facts facts;
        return facts;
    }
    __device__ float at(int feature, int t) const { return x_[feature * kTile + t]; }

    // One feature of all signals.
    __device__ void read(int feature, float* x) const {
#pragma unroll
        for (int t = 0; t < kTile; t += kWidth) {
            const Part part = *reinterpret_cast<const Part*>(x_ + feature * kTile + t);
#pragma unroll
            for (int i = 0; i < kWidth; ++i) x[t + i] = part.v[i];
        }
    }

    // Brings signals [begin, begin + n). All threads of the block take part.
    __device__ void load(const Matrix& signals, const Tolerances<float>& tolerances, int64_t begin, int n) {
        const float* x =
            static_cast<const float*>(signals.data) + begin * signals.row_stride + threadIdx.x * signals.col_stride;
        const int n_features = static_cast<int>(signals.cols);
        const int64_t step = kThreads * signals.col_stride;
        for (int f = threadIdx.x; f < n_features; f += kThreads, x += step) {
            Part parts[kTile / kWidth];
#pragma unroll
            for (int t = 0; t < kTile; ++t) parts[t / kWidth].v[t % kWidth] = t < n ? x[t * signals.row_stride] : 0.0f;
#pragma unroll
            for (int i = 0; i < kTile / kWidth; ++i) reinterpret_cast<Part*>(x_ + f * kTile)[i] = parts[i];
        }
        __syncthreads();
        if (threadIdx.x < kWarp) scale(n_features, tolerances, begin, n);
        __syncthreads();
    }

   private:
    struct alignas(kWidth * sizeof(float)) Part {
        float v[kWidth];
    };

    // Each signal to a largest entry in [1, 2), zeros for one that is not finite; by one warp. A signal has four lanes,
    // of which each takes every fourth feature: the sum is the same for any tile.
    __device__ void scale(int n_features, const Tolerances<float>& tolerances, int64_t begin, int n) {
        const int t = threadIdx.x % kTile, first = threadIdx.x / kTile;
        const bool takes_part = first < kParts;
        float peak = 0, worst = 0;
        for (int f = first; takes_part && f < n_features; f += kParts) {
            const float a = fabs(at(f, t));
            worst = is_finite(a) ? worst : 1.0f;
            peak = a > peak ? a : peak;
        }
#pragma unroll
        for (int o = kTile; o < kParts * kTile; o *= 2) {
            const float other = __shfl_xor_sync(kAllLanes, peak, o);
            peak = other > peak ? other : peak;
            worst += __shfl_xor_sync(kAllLanes, worst, o);
        }
        const bool bad = worst > 0;
        const int e = peak > 0 && !bad ? exponent_of(peak) : 0;
        const Shift<float> scaled(-e);
        float norm2 = 0;
        for (int f = first; takes_part && f < n_features; f += kParts) {
            const float v = bad ? 0.0f : scaled(at(f, t));
            x_[f * kTile + t] = v;
            norm2 += v * v;
        }
#pragma unroll
        for (int o = kTile; o < kParts * kTile; o *= 2) norm2 += __shfl_xor_sync(kAllLanes, norm2, o);
        if (first == 0) {
            facts().norm2[t] = bad ? static_cast<float>(NAN) : norm2;
            facts().exponent[t] = e;
            facts().tol2[t] = t < n ? tolerances.squared(begin + t, e) : -1.0f;
        }
    }

    float* const x_;
};

}  // namespace
}  // namespace sparsefast
