// The systems that differentiate least squares coefficients: u with (A A^T + ridge) u = g for the selected atoms A of
// each signal, on its observed features, and optionally u A, which is the gradient of the signal. A warp a signal.
//
// Atoms are divided by their norms first, by powers of two before that, so that they may be of any size. The matrix is
// factored as L diag(d) L^T, column by column, its rows over the lanes. It is made of the atoms themselves: S^2 F
// products a signal are few beside the pursuit's, and no Gram matrix need exist. What bounds it is the reading of S
// rows of the dictionary from the second-level cache. sparsefast/ops/gradients.py has the formulas.
#include "cuda/omp/tile.cuh"

namespace sparsefast {
namespace {

constexpr int kWarps = kBlock / kWarp;

template <typename T>
struct Ridge;
template <>
struct Ridge<float> {
    static constexpr float value = 1e-6f, least = 1e-6f;
};
template <>
struct Ridge<double> {
    // The pursuit selects no atom whose squared distance from the others is less.
    static constexpr double value = 0, least = 16 * Epsilon<double>::value;
};

template <typename T>
struct SupportArguments {
    Matrix atoms, mask;
    const T* grad;           // (n_signals, n_nonzero)
    const int64_t* indices;  // (n_signals, n_nonzero)
    const int32_t* counts;
    T* solved;   // (n_signals, n_nonzero)
    T* through;  // (n_signals, n_features), or null
    int64_t n_signals, n_nonzero;
};

template <typename T>
__global__ void __launch_bounds__(kBlock, 1) support_kernel(SupportArguments<T> a) {
    SF_DYNAMIC_SHARED(T, shared);
    const int lane = threadIdx.x % kWarp, s = static_cast<int>(a.n_nonzero);
    T* const system = shared + threadIdx.x / kWarp * (s * s + 3 * s);  // the part below the diagonal
    T *const right = system + s * s, *const inverse = right + s, *const scales = inverse + s;
    const int64_t f_count = a.atoms.cols;
    const T* const atoms = static_cast<const T*>(a.atoms.data);
    for (int64_t n = blockIdx.x * static_cast<int64_t>(kWarps) + threadIdx.x / kWarp; n < a.n_signals;
         n += gridDim.x * static_cast<int64_t>(kWarps)) {
        const int64_t row = n * a.n_nonzero;
        const int k = a.counts[n] < s ? a.counts[n] : s;
        const unsigned char* const mask =
            a.mask.data ? static_cast<const unsigned char*>(a.mask.data) + n * a.mask.row_stride : nullptr;
        const auto atom = [&](int j) { return atoms + a.indices[row + j] * a.atoms.row_stride; };
        const auto seen = [&](int64_t f) { return !mask || mask[f * a.mask.col_stride]; };

        // Scales by which entries of each atom are near one, and norms at those scales.
        for (int j = 0; j < k; ++j) {
            const T* const d = atom(j);
            T peak = 0, norm2 = 0;
            for (int64_t f = lane; f < f_count; f += kWarp) {
                const T size = seen(f) ? fabs(d[f * a.atoms.col_stride]) : T(0);
                peak = size > peak ? size : peak;
            }
            peak = warp_max(peak);
            const T scale = peak > 0 && is_finite(peak) ? power_of_two<T>(-exponent_of(peak)) : T(0);
            for (int64_t f = lane; f < f_count; f += kWarp) {
                const T v = seen(f) ? scale * d[f * a.atoms.col_stride] : T(0);
                norm2 = fma(v, v, norm2);
            }
            norm2 = warp_sum(norm2);
            if (lane == 0) scales[j] = norm2 > 0 ? scale / sqrt(norm2) : T(0);
        }
        __syncwarp(kAllLanes);
        for (int pair = lane; pair < k * k; pair += kWarp) {
            const int i = pair / k, j = pair % k;
            if (j >= i) continue;
            const T *const left = atom(i), *const other = atom(j);
            T sum = 0;
            for (int64_t f = 0; f < f_count; ++f)
                if (seen(f))
                    sum += scales[i] * left[f * a.atoms.col_stride] * (scales[j] * other[f * a.atoms.col_stride]);
            system[i * s + j] = sum;
        }
        for (int j = lane; j < k; j += kWarp) {
            system[j * s + j] = 1 + Ridge<T>::value;
            right[j] = a.grad[row + j] * scales[j];
        }
        __syncwarp(kAllLanes);

        for (int j = 0; j < k; ++j) {
            const T pivot = system[j * s + j] > Ridge<T>::least ? system[j * s + j] : Ridge<T>::least;
            const T one_by = 1 / pivot;
            for (int i = j + 1 + lane; i < k; i += kWarp) {
                const T factor = system[i * s + j] * one_by;
                for (int m = j + 1; m <= i; ++m) system[i * s + m] -= factor * system[m * s + j];
                right[i] -= factor * right[j];
            }
            __syncwarp(kAllLanes);
            for (int i = j + 1 + lane; i < k; i += kWarp) system[i * s + j] *= one_by;
            if (lane == 0) inverse[j] = one_by;
            __syncwarp(kAllLanes);
        }
        for (int j = lane; j < k; j += kWarp) right[j] *= inverse[j];
        __syncwarp(kAllLanes);
        for (int i = k - 1; i > 0; --i) {
            for (int j = lane; j < i; j += kWarp) right[j] -= system[i * s + j] * right[i];
            __syncwarp(kAllLanes);
        }
        for (int j = lane; j < s; j += kWarp) {
            if (j < k) right[j] *= scales[j];
            a.solved[row + j] = j < k ? right[j] : T(0);
        }
        __syncwarp(kAllLanes);
        if (a.through) {
            for (int64_t f = lane; f < f_count; f += kWarp) {
                T sum = 0;
                for (int j = 0; j < k; ++j) sum = fma(right[j], atom(j)[f * a.atoms.col_stride], sum);
                a.through[n * f_count + f] = seen(f) ? sum : T(0);
            }
        }
        __syncwarp(kAllLanes);
    }
}

template <typename T>
const char* launch_support(const SupportProblem& p, cudaStream_t stream) {
    const SupportArguments<T> a{p.atoms,
                                p.mask,
                                static_cast<const T*>(p.grad),
                                p.indices,
                                p.counts,
                                static_cast<T*>(p.solved),
                                static_cast<T*>(p.through),
                                p.n_signals,
                                p.n_nonzero};
    const int64_t blocks = (p.n_signals + kWarps - 1) / kWarps, most = 1 << 20;
    return SF_LAUNCH((support_kernel<T>), static_cast<unsigned>(blocks < most ? blocks : most), kBlock,
                     kWarps * (p.n_nonzero + 3) * p.n_nonzero * static_cast<int64_t>(sizeof(T)), stream, a);
}

}  // namespace

int64_t cuda_support_most(DType dtype, CudaQueue queue) {
    const int64_t size = dtype == DType::float32 ? 4 : 8, limit = shared_memory_limit(queue.device) - 1024;
    int64_t s = 1;
    while (kWarps * (s + 4) * (s + 1) * size <= limit) ++s;
    return s;
}

const char* cuda_support_solve(const SupportProblem& p, CudaQueue queue) {
    const DeviceGuard guard(queue.device);
    if (guard.error()) return guard.error();
    if (p.n_signals == 0) return nullptr;
    const auto stream = static_cast<cudaStream_t>(queue.stream);
    return p.dtype == DType::float32 ? launch_support<float>(p, stream) : launch_support<double>(p, stream);
}

}  // namespace sparsefast
