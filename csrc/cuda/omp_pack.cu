// Packs a dictionary on its device: finds its scale, writes the atoms scaled and transposed, and makes the Gram matrix.
// The host learns nothing of it, and need not wait.
#include "cuda/omp/tile.cuh"

namespace sparsefast {
namespace {

constexpr int kTile = 64, kDepth = 16, kSide = 16;

__host__ __device__ inline int64_t blocks_for(int64_t n, int64_t each) { return (n + each - 1) / each; }

// The largest |entry| of each atom into `diagonal`; of one that is not finite 0, and infinity into `half`. A warp an
// atom.
template <typename T>
__global__ void __launch_bounds__(kBlock) measure_kernel(Matrix atoms, DeviceDictionary<T> d) {
    const int64_t k = blockIdx.x * static_cast<int64_t>(kBlock / kWarp) + threadIdx.x / kWarp;
    const int lane = threadIdx.x % kWarp;
    if (k >= d.ld) return;
    T peak = 0;
    bool bad = false;
    const T* const row = static_cast<const T*>(atoms.data) + k * atoms.row_stride;
    for (int64_t f = lane; k < d.n_atoms && f < d.n_features; f += kWarp) {
        const T a = fabs(row[f * atoms.col_stride]);
        bad |= !is_finite(a);
        peak = a > peak ? a : peak;
    }
    bad = __any_sync(kAllLanes, bad);
    peak = warp_max(peak);
    if (lane == 0) {
        d.diagonal[k] = bad ? T(0) : peak;
        d.half[k] = bad || k >= d.n_atoms ? static_cast<T>(INFINITY) : T(0);
    }
}

// The exponent of the largest entry of all; one block.
template <typename T>
__global__ void __launch_bounds__(kBlock) scale_kernel(DeviceDictionary<T> d) {
    __shared__ T part[kBlock / kWarp];
    T peak = 0;
    for (int64_t k = threadIdx.x; k < d.n_atoms; k += kBlock) peak = d.diagonal[k] > peak ? d.diagonal[k] : peak;
    peak = warp_max(peak);
    if (threadIdx.x % kWarp == 0) part[threadIdx.x / kWarp] = peak;
    __syncthreads();
    if (threadIdx.x) return;
    for (int i = 1; i < kBlock / kWarp; ++i) peak = part[i] > peak ? part[i] : peak;
    *d.exponent = peak > 0 ? exponent_of(peak) : 0;
}

// Rows of the scaled dictionary, their transpose and their norms. A warp an atom.
template <typename T>
__global__ void __launch_bounds__(kBlock) write_kernel(Matrix atoms, DeviceDictionary<T> d) {
    const int64_t k = blockIdx.x * static_cast<int64_t>(kBlock / kWarp) + threadIdx.x / kWarp;
    const int lane = threadIdx.x % kWarp;
    if (k >= d.ld) return;
    const bool usable = k < d.n_atoms && d.half[k] == T(0);
    const Shift<T> scale(-*d.exponent);
    const T* const row = static_cast<const T*>(atoms.data) + k * atoms.row_stride;
    T sum = 0;
    for (int64_t f = lane; f < d.ld_atoms; f += kWarp) {
        const T v = usable && f < d.n_features ? scale(row[f * atoms.col_stride]) : T(0);
        if (k < d.n_atoms) d.atoms[k * d.ld_atoms + f] = v;
        if (f < d.n_features) d.transposed[f * d.ld + k] = v;
        sum = fma(v, v, sum);
    }
    sum = warp_sum(sum);
    if (lane == 0) {
        d.diagonal[k] = sum;
        if (usable) d.half[k] = sum / 2;
    }
}

// The Gram matrix in tiles of 64 by 64; each entry is a sum over the features in order, so that G[i, k] is G[k, i].
template <typename T>
__global__ void __launch_bounds__(kBlock) gram_kernel(DeviceDictionary<T> d) {
    __shared__ Four<T> left[kDepth][kTile / kQuad], right[kDepth][kTile / kQuad];
    const int row = threadIdx.x / kSide, column = threadIdx.x % kSide;
    const int64_t of_rows = blockIdx.y * static_cast<int64_t>(kTile),
                  of_columns = blockIdx.x * static_cast<int64_t>(kTile);
    T sum[kQuad][kQuad] = {};
    for (int64_t f0 = 0; f0 < d.n_features; f0 += kDepth) {
        for (int i = threadIdx.x; i < kTile * kDepth; i += kBlock) {
            const int a = i % kTile, f = i / kTile;
            const T* const from = d.transposed + (f0 + f) * d.ld;
            const bool here = f0 + f < d.n_features;
            left[f][a / kQuad].v[a % kQuad] = here && of_rows + a < d.ld ? from[of_rows + a] : T(0);
            right[f][a / kQuad].v[a % kQuad] = here && of_columns + a < d.ld ? from[of_columns + a] : T(0);
        }
        __syncthreads();
#pragma unroll
        for (int f = 0; f < kDepth; ++f) {
            const Four<T> a = left[f][row], b = right[f][column];
#pragma unroll
            for (int i = 0; i < kQuad; ++i)
#pragma unroll
                for (int j = 0; j < kQuad; ++j) sum[i][j] = fma(a.v[i], b.v[j], sum[i][j]);
        }
        __syncthreads();
    }
    const int64_t k = of_columns + column * kQuad;
    if (k >= d.ld) return;
#pragma unroll
    for (int i = 0; i < kQuad; ++i) {
        const int64_t atom = of_rows + row * kQuad + i;
        if (atom >= d.n_atoms) return;
        Four<T> out;
#pragma unroll
        for (int j = 0; j < kQuad; ++j) {
            out.v[j] = sum[i][j];
            // The norms that go with these products: an atom and its copy are the same to the bit.
            if (k + j == atom) d.diagonal[atom] = sum[i][j];
        }
        *reinterpret_cast<Four<T>*>(d.gram + atom * d.ld + k) = out;
    }
}

// A Gram matrix that was given, scaled; entries of atoms that are not finite are zero.
template <typename T>
__global__ void __launch_bounds__(kBlock) copy_gram_kernel(Matrix gram, DeviceDictionary<T> d) {
    const Shift<T> scale(-*d.exponent);
    for (int64_t at = blockIdx.x * static_cast<int64_t>(kBlock) + threadIdx.x; at < d.n_atoms * d.ld;
         at += gridDim.x * static_cast<int64_t>(kBlock)) {
        const int64_t i = at / d.ld, k = at % d.ld;
        const T given =
            k < d.n_atoms ? static_cast<const T*>(gram.data)[i * gram.row_stride + k * gram.col_stride] : T(0);
        const T v = scale(scale(given));
        d.gram[at] = is_finite(v) ? v : T(0);
        if (i == k) d.diagonal[k] = d.gram[at];
    }
}

template <typename T>
const char* pack(const OmpDictionary& dictionary, const Matrix& atoms, const Matrix& gram, void* packed,
                 cudaStream_t stream) {
    const DeviceDictionary<T> d(dictionary, packed);
    const auto warps = static_cast<unsigned>(blocks_for(d.ld, kBlock / kWarp));
    if (const char* e = SF_LAUNCH((measure_kernel<T>), warps, kBlock, 0, stream, atoms, d)) return e;
    if (const char* e = SF_LAUNCH((scale_kernel<T>), 1, kBlock, 0, stream, d)) return e;
    if (const char* e = SF_LAUNCH((write_kernel<T>), warps, kBlock, 0, stream, atoms, d)) return e;
    if (!d.gram) return nullptr;
    if (gram.data) {
        const int64_t blocks = blocks_for(d.n_atoms * d.ld, kBlock);
        const auto grid = static_cast<unsigned>(blocks < (1 << 20) ? blocks : 1 << 20);
        return SF_LAUNCH((copy_gram_kernel<T>), grid, kBlock, 0, stream, gram, d);
    }
    const auto tiles = static_cast<unsigned>(blocks_for(d.ld, kTile));
    return SF_LAUNCH((gram_kernel<T>), dim3(tiles, tiles), kBlock, 0, stream, d);
}

}  // namespace

int64_t cuda_omp_packed_bytes(const OmpDictionary& dictionary) {
    int64_t bytes = 0;
    if (dictionary.dtype == DType::float32)
        DeviceDictionary<float>(dictionary, nullptr, &bytes);
    else
        DeviceDictionary<double>(dictionary, nullptr, &bytes);
    return bytes;
}

const char* cuda_omp_pack(const OmpDictionary& dictionary, const Matrix& atoms, const Matrix& gram, void* packed,
                          CudaQueue queue) {
    const DeviceGuard guard(queue.device);
    if (guard.error()) return guard.error();
    const auto stream = static_cast<cudaStream_t>(queue.stream);
    return dictionary.dtype == DType::float32 ? pack<float>(dictionary, atoms, gram, packed, stream)
                                              : pack<double>(dictionary, atoms, gram, packed, stream);
}

}  // namespace sparsefast
