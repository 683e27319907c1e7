// What the kernels of nearest_code share: outputs, the scales of signals, and the distance to the atom that has won.
#pragma once

#include "cuda/signal_rows.cuh"

namespace sparsefast {
namespace {

template <typename T>
struct Nearest {
    T* distances;
    void* indices;
    bool wide;

    __device__ void put(int64_t signal, int index, T distance) const {
        distances[signal] = distance;
        if (wide)
            static_cast<int64_t*>(indices)[signal] = index;
        else
            static_cast<int32_t*>(indices)[signal] = index;
    }
};

template <typename T>
struct Leap {
    // Squared distances below this, of a signal and a codebook with a largest entry in [1, 2), have lost digits.
    static constexpr T least = sizeof(T) == 4 ? T(1e-30) : T(1e-290);
};

// ||x - d|| whatever their sizes, entry by entry at the scale of the difference, by one thread.
template <typename T>
__device__ T exact_distance(const Matrix& signals, const DeviceDictionary<T>& d, int64_t signal, int64_t atom) {
    const T* const x = static_cast<const T*>(signals.data) + signal * signals.row_stride;
    const T* const row = d.atoms + atom * d.ld_atoms;
    const Shift<T> of_atom(*d.exponent);
    T peak = 0, sum = 0;
    for (int64_t f = 0; f < d.n_features; ++f) {
        const T a = fabs(x[f * signals.col_stride] - of_atom(row[f]));
        peak = a > peak ? a : peak;
    }
    if (!(peak > 0)) return 0;
    const int e = exponent_of(peak);
    const Shift<T> scale(-e);
    for (int64_t f = 0; f < d.n_features; ++f) {
        const T part = scale(x[f * signals.col_stride] - of_atom(row[f]));
        sum = fma(part, part, sum);
    }
    return Shift<T>(e)(sqrt(sum));
}

// The best atom of a signal so far, as <x, d> - ||d||^2 / 2 at the scale of the signal; keys may be negative. A thread
// meets atoms in order, threads meet in any.
template <typename T>
struct Winner {
    static constexpr int kNone = 0x7fffffff;
    T key;
    int index;

    __device__ void meet(T other, int i) {
        const bool better = other > key;
        key = better ? other : key;
        index = better ? i : index;
    }
    __device__ void offer(T other, int i) {
        if (other > key || (other == key && i < index)) key = other, index = i;
    }
    template <int lanes>
    __device__ void gather() {
#pragma unroll
        for (int o = lanes / 2; o; o >>= 1) {
            const T other = __shfl_xor_sync(kAllLanes, key, o);
            offer(other, __shfl_xor_sync(kAllLanes, index, o));
        }
    }
};

// The signals of a block's tile.
template <typename T, int signals>
struct NearestTile : SignalRows<T, signals> {
    using SignalRows<T, signals>::exponents;
    using SignalRows<T, signals>::finite;
    int winners[signals];

    // The least exponent of a signal beside the codebook's: products with a smaller signal are taken at a scale at
    // which norms do not overflow.
    __device__ static int least(int own) { return own - (sizeof(T) == 4 ? 100 : 900); }
    __device__ T norm_scale(int t, int own) const {
        return power_of_two<T>(own - (exponents[t] < least(own) ? least(own) : exponents[t]));
    }

    // The distances to the winners, and both into the outputs, from signal `begin` on.
    __device__ void finish(const Matrix& all, const DeviceDictionary<T>& d, const T* x, int64_t begin, int n, int own,
                           const Nearest<T>& out) const {
        const int lane = threadIdx.x % kWarp, n_features = static_cast<int>(d.n_features);
        for (int first = threadIdx.x / kWarp * kAtOnce; first < n; first += kBlock / kWarp * kAtOnce) {
            // At the scale of the larger of signal and codebook.
            const int mine = first + lane % kAtOnce, e = exponents[mine], most = e > own ? e : own;
            const bool has = finite[mine] && winners[mine] != Winner<T>::kNone;
            const Shift<T> scale(-most);
            const T of_atom = power_of_two<T>(own - most);
            const unsigned here = __ballot_sync(kAllLanes, has);
            const T* rows[kAtOnce];
            T half[kAtOnce], rest[kAtOnce], factor[kAtOnce], sum[kAtOnce] = {};
#pragma unroll
            for (int i = 0; i < kAtOnce; ++i) {
                half[i] = __shfl_sync(kAllLanes, scale.half, i);
                rest[i] = __shfl_sync(kAllLanes, scale.rest, i);
                factor[i] = __shfl_sync(kAllLanes, of_atom, i);
                rows[i] = d.atoms + __shfl_sync(kAllLanes, has ? winners[mine] : 0, i) * d.ld_atoms;
            }
            for (int f = lane; f < n_features; f += kWarp) {
                T v[kAtOnce], atom[kAtOnce];
#pragma unroll
                for (int i = 0; i < kAtOnce; ++i) {
                    v[i] = here >> i & 1 ? x[(first + i) * all.row_stride + f * all.col_stride] : T(0);
                    atom[i] = rows[i][f];
                }
#pragma unroll
                for (int i = 0; i < kAtOnce; ++i) {
                    const T difference = v[i] * half[i] * rest[i] - factor[i] * atom[i];
                    sum[i] = fma(difference, difference, sum[i]);
                }
            }
            T squared = 0;
#pragma unroll
            for (int i = 0; i < kAtOnce; ++i) {
                const T all_of_it = warp_sum(sum[i]);
                if (lane == i) squared = all_of_it;
            }
            if (lane >= kAtOnce || mine >= n) continue;
            if (!has)
                out.put(begin + mine, 0, static_cast<T>(NAN));
            else
                out.put(begin + mine, winners[mine],
                        squared < Leap<T>::least ? exact_distance(all, d, begin + mine, winners[mine])
                                                 : Shift<T>(most)(sqrt(squared)));
        }
    }
};

}  // namespace
}  // namespace sparsefast
