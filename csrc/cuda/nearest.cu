// Vector quantisation on a device: the nearest atom of each signal, argmin_k ||x - d_k||, and that distance.
//
// The largest <x, d_k> - ||d_k||^2 / 2 is the nearest. A block takes 64 signals and passes all atoms, 64 at a time, and
// the features of both, 16 at a time, through shared memory; a thread keeps 4 by 4 products and the best atom of each
// of its signals. The distance is that of the difference itself, since ||x||^2 - 2 <x, d> + ||d||^2 cancels. At most 8
// features: a thread a signal, the squared distance to every atom in registers.
#include "cuda/omp/tile.cuh"

namespace sparsefast {
namespace {

constexpr int kTile = 64, kDepth = 16, kSide = 16, kMostBlocks = 1 << 20, kSmallBytes = 32 << 10;

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

// The best atom of a signal so far; keys may be negative.
template <typename T>
struct Winner {
    T key;
    int index;
    __device__ void offer(T other, int i) {
        if (other > key || (other == key && i < index)) key = other, index = i;
    }
};

template <typename T>
__global__ void __launch_bounds__(kBlock) nearest_kernel(Matrix signals, DeviceDictionary<T> d, Nearest<T> out) {
    __shared__ Four<T> signal_part[kDepth][kTile / kQuad], atom_part[kDepth][kTile / kQuad];
    __shared__ int exponents[kTile], winners[kTile];
    __shared__ bool finite[kTile];
    const int warp = threadIdx.x / kWarp, lane = threadIdx.x % kWarp;
    const int row = threadIdx.x / kSide, column = threadIdx.x % kSide;
    const int own = *d.exponent;
    for (int64_t begin = blockIdx.x * static_cast<int64_t>(kTile); begin < signals.rows;
         begin += gridDim.x * static_cast<int64_t>(kTile)) {
        const T* const x = static_cast<const T*>(signals.data) + begin * signals.row_stride;
        const int64_t rest = signals.rows - begin;
        const int n = static_cast<int>(rest < kTile ? rest : kTile);
        for (int t = warp; t < kTile; t += kBlock / kWarp) {
            T peak = 0;
            bool bad = false;
            for (int64_t f = lane; t < n && f < signals.cols; f += kWarp) {
                const T a = fabs(x[t * signals.row_stride + f * signals.col_stride]);
                bad |= !is_finite(a);
                peak = a > peak ? a : peak;
            }
            bad = __any_sync(kAllLanes, bad);
            peak = warp_max(peak);
            if (lane == 0) {
                finite[t] = !bad && t < n;
                exponents[t] = peak > 0 && !bad ? exponent_of(peak) : 0;
            }
        }
        __syncthreads();

        Winner<T> best[kQuad];
        T of_dot[kQuad], of_half[kQuad];
        for (int i = 0; i < kQuad; ++i) {
            const int e = exponents[row * kQuad + i];
            best[i] = {static_cast<T>(-INFINITY), 0x7fffffff};
            of_dot[i] = power_of_two<T>(e < own ? e - own : 0);
            of_half[i] = power_of_two<T>(e < own ? 0 : own - e);
        }
        for (int64_t from = 0; from < d.n_atoms; from += kTile) {
            T sum[kQuad][kQuad] = {};
            for (int64_t f0 = 0; f0 < d.n_features; f0 += kDepth) {
                for (int i = threadIdx.x; i < kTile * kDepth; i += kBlock) {
                    // Along the features for the signals, along the atoms for the transposed dictionary.
                    const int t = i / kDepth, f = i % kDepth;
                    const bool here = f0 + f < d.n_features && finite[t];
                    signal_part[f][t / kQuad].v[t % kQuad] =
                        here ? Shift<T>(-exponents[t])(x[t * signals.row_stride + (f0 + f) * signals.col_stride])
                             : T(0);
                    const int a = i % kTile, depth = i / kTile;
                    atom_part[depth][a / kQuad].v[a % kQuad] = f0 + depth < d.n_features && from + a < d.ld
                                                                   ? d.transposed[(f0 + depth) * d.ld + from + a]
                                                                   : T(0);
                }
                __syncthreads();
#pragma unroll
                for (int f = 0; f < kDepth; ++f) {
                    const Four<T> s = signal_part[f][row], a = atom_part[f][column];
#pragma unroll
                    for (int i = 0; i < kQuad; ++i)
#pragma unroll
                        for (int j = 0; j < kQuad; ++j) sum[i][j] = fma(s.v[i], a.v[j], sum[i][j]);
                }
                __syncthreads();
            }
#pragma unroll
            for (int j = 0; j < kQuad; ++j) {
                const int64_t atom = from + column * kQuad + j;
                if (atom >= d.n_atoms || d.half[atom] == static_cast<T>(INFINITY)) continue;
                const T half = d.half[atom];
#pragma unroll
                for (int i = 0; i < kQuad; ++i)
                    best[i].offer(of_dot[i] * sum[i][j] - of_half[i] * half, static_cast<int>(atom));
            }
        }
        for (int i = 0; i < kQuad; ++i) {
            for (int o = kSide / 2; o; o >>= 1) {
                const T key = __shfl_xor_sync(kAllLanes, best[i].key, o);
                best[i].offer(key, __shfl_xor_sync(kAllLanes, best[i].index, o));
            }
            if (column == 0) winners[row * kQuad + i] = best[i].index;
        }
        __syncthreads();

        for (int t = warp; t < n; t += kBlock / kWarp) {
            const int winner = winners[t];
            if (!finite[t] || winner == 0x7fffffff) {
                if (lane == 0) out.put(begin + t, 0, static_cast<T>(NAN));
                continue;
            }
            const int e = exponents[t], most = e > own ? e : own;
            const Shift<T> scale(-e);
            const T of_signal = power_of_two<T>(e - most), of_atom = power_of_two<T>(own - most);
            T sum = 0;
            for (int64_t f = lane; f < d.n_features; f += kWarp) {
                const T difference = of_signal * scale(x[t * signals.row_stride + f * signals.col_stride]) -
                                     of_atom * d.atoms[winner * d.ld_atoms + f];
                sum = fma(difference, difference, sum);
            }
            sum = warp_sum(sum);
            if (lane == 0)
                out.put(
                    begin + t, winner,
                    sum < Leap<T>::least ? exact_distance(signals, d, begin + t, winner) : Shift<T>(most)(sqrt(sum)));
        }
        __syncthreads();
    }
}

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

template <typename T>
const char* launch_nearest(const NearestProblem& p, cudaStream_t stream) {
    const DeviceDictionary<T> d(p.codebook, p.packed);
    const Nearest<T> out{static_cast<T*>(p.distances), p.indices, p.index_type == IndexType::int64};
    const auto grid = [&](int64_t signals) {
        const int64_t blocks = (p.signals.rows + signals - 1) / signals;
        return static_cast<unsigned>(blocks < kMostBlocks ? blocks : kMostBlocks);
    };
    const auto shared = [&](int64_t features) {
        const int64_t bytes = p.codebook.n_atoms * features * static_cast<int64_t>(sizeof(T));
        return bytes < kSmallBytes ? bytes : kSmallBytes;
    };
    if (p.codebook.n_features <= 4)
        return SF_LAUNCH((nearest_small_kernel<T, 4>), grid(kBlock), kBlock, shared(4), stream, p.signals, d, out);
    if (p.codebook.n_features <= 8)
        return SF_LAUNCH((nearest_small_kernel<T, 8>), grid(kBlock), kBlock, shared(8), stream, p.signals, d, out);
    return SF_LAUNCH((nearest_kernel<T>), grid(kTile), kBlock, 0, stream, p.signals, d, out);
}

}  // namespace

const char* cuda_nearest_code(const NearestProblem& p, CudaQueue queue) {
    const DeviceGuard guard(queue.device);
    if (guard.error()) return guard.error();
    if (p.signals.rows == 0) return nullptr;
    const auto stream = static_cast<cudaStream_t>(queue.stream);
    return p.codebook.dtype == DType::float32 ? launch_nearest<float>(p, stream) : launch_nearest<double>(p, stream);
}

}  // namespace sparsefast
