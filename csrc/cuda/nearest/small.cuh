// The nearest codes of signals with at most F = 4 or 8 features: a thread a signal, the squared distance to every atom
// in registers.
#pragma once

#include "cuda/nearest/common.cuh"

namespace sparsefast {
namespace {

constexpr int kSmallBytes = 32 << 10;

template <typename T, int F>
__global__ void __launch_bounds__(kBlock) nearest_small_kernel(Matrix signals, DeviceDictionary<T> d, Nearest<T> out) {
    constexpr int kChunk = kSmallBytes / (F * static_cast<int>(sizeof(T)));
    SF_DYNAMIC_SHARED(T, atoms);
    const int own = *d.exponent;
    for (int64_t begin = blockIdx.x * static_cast<int64_t>(kBlock); begin < signals.rows;
         begin += gridDim.x * static_cast<int64_t>(kBlock)) {
        const int64_t signal = begin + threadIdx.x;
        const bool here = signal < signals.rows;
        T x[F], peak = 0;
        bool bad = false;
#pragma unroll
        for (int f = 0; f < F; ++f) {
            x[f] = here && f < signals.cols
                       ? static_cast<const T*>(signals.data)[signal * signals.row_stride + f * signals.col_stride]
                       : T(0);
            bad |= !is_finite(x[f]);
            peak = fabs(x[f]) > peak ? fabs(x[f]) : peak;
        }
        // To the scale of the larger of signal and codebook, at which no square overflows.
        const int e = peak > 0 && !bad ? exponent_of(peak) : own, most = e > own ? e : own;
        const Shift<T> scale(-most);
        const T of_atom = power_of_two<T>(own - most);
#pragma unroll
        for (int f = 0; f < F; ++f) x[f] = scale(x[f]);
        T least = static_cast<T>(INFINITY);
        int index = -1;
        for (int64_t from = 0; from < d.n_atoms; from += kChunk) {
            const int64_t left = d.n_atoms - from;
            const int n = static_cast<int>(left < kChunk ? left : kChunk);
            __syncthreads();
            for (int i = threadIdx.x; i < n * F; i += kBlock) {
                const int64_t atom = from + i / F;
                // An atom that is not finite is at an infinite distance of everything.
                const T v = i % F < d.ld_atoms ? d.atoms[atom * d.ld_atoms + i % F] : T(0);
                atoms[i] = d.half[atom] == static_cast<T>(INFINITY) ? static_cast<T>(INFINITY) : v;
            }
            __syncthreads();
            for (int a = 0; a < n; ++a) {
                T sum = 0;
#pragma unroll
                for (int f = 0; f < F; ++f) {
                    const T difference = fma(-of_atom, atoms[a * F + f], x[f]);
                    sum = fma(difference, difference, sum);
                }
                if (sum < least) least = sum, index = static_cast<int>(from + a);
            }
        }
        if (!here) continue;
        if (bad || index < 0)
            out.put(signal, 0, static_cast<T>(NAN));
        else
            out.put(signal, index,
                    least < Leap<T>::least ? exact_distance(signals, d, signal, index) : Shift<T>(most)(sqrt(least)));
    }
}

}  // namespace
}  // namespace sparsefast
