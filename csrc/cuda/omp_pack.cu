// Packs a dictionary on its device: finds its scale, writes the atoms scaled and transposed, and makes the Gram matrix.
// The host learns nothing of it, and need not wait.
#include "cuda/omp/tile.cuh"

namespace sparsefast {
namespace {

constexpr int kTile = 64, kDepth = 16, kSide = 16;
// A dictionary that each block may look through for itself, so that one launch does all: that takes a block a
// microsecond or two, and the host longer for a launch more.
constexpr int64_t kSmallEntries = 1 << 15, kSmallAtoms = 2048, kSmallBlocks = 256;

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

// A row of the scaled dictionary, its column in the transpose, and its norm; a warp does it.
template <typename T, typename Entry>
__device__ T write_atom(const DeviceDictionary<T>& d, int64_t k, const Entry& entry) {
    T sum = 0;
    for (int64_t f = threadIdx.x % kWarp; f < d.ld_atoms; f += kWarp) {
        const T v = entry(k, f);
        if (k < d.n_atoms) d.atoms[k * d.ld_atoms + f] = v;
        if (f < d.n_features) d.transposed[f * d.ld + k] = v;
        sum = fma(v, v, sum);
    }
    return warp_sum(sum);
}

template <typename T>
__global__ void __launch_bounds__(kBlock) write_kernel(Matrix atoms, DeviceDictionary<T> d) {
    const int64_t k = blockIdx.x * static_cast<int64_t>(kBlock / kWarp) + threadIdx.x / kWarp;
    if (k >= d.ld) return;
    const bool usable = k < d.n_atoms && d.half[k] == T(0);
    const Shift<T> scale(-*d.exponent);
    const T* const row = static_cast<const T*>(atoms.data) + k * atoms.row_stride;
    const T sum = write_atom(
        d, k, [&](int64_t, int64_t f) { return usable && f < d.n_features ? scale(row[f * atoms.col_stride]) : T(0); });
    if (threadIdx.x % kWarp == 0) {
        d.diagonal[k] = sum;
        if (usable) d.half[k] = sum / 2;
    }
}

// One tile of 64 by 64 of the Gram matrix; each entry is a sum over the features in order, so that G[i, k] is G[k, i].
// `atom_major` says that features, not atoms, are neighbours in memory; `entry(atom, f)` is one of the scaled
// dictionary.
template <typename T, bool atom_major, typename Entry>
__device__ void gram_tile(const DeviceDictionary<T>& d, int64_t of_rows, int64_t of_columns, const Entry& entry) {
    // A row longer than the tile, for neighbours in a column not to share a bank.
    __shared__ Four<T> left[kDepth][kTile / kQuad + 1], right[kDepth][kTile / kQuad + 1];
    const int row = threadIdx.x / kSide, column = threadIdx.x % kSide;
    T sum[kQuad][kQuad] = {};
    for (int64_t f0 = 0; f0 < d.n_features; f0 += kDepth) {
        for (int i = threadIdx.x; i < kTile * kDepth; i += kBlock) {
            const int a = atom_major ? i / kDepth : i % kTile, f = atom_major ? i % kDepth : i / kTile;
            const bool here = f0 + f < d.n_features;
            left[f][a / kQuad].v[a % kQuad] = here && of_rows + a < d.ld ? entry(of_rows + a, f0 + f) : T(0);
            right[f][a / kQuad].v[a % kQuad] = here && of_columns + a < d.ld ? entry(of_columns + a, f0 + f) : T(0);
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

template <typename T>
__global__ void __launch_bounds__(kBlock) gram_kernel(DeviceDictionary<T> d) {
    gram_tile<T, false>(d, blockIdx.y * static_cast<int64_t>(kTile), blockIdx.x * static_cast<int64_t>(kTile),
                        [&](int64_t atom, int64_t f) { return d.transposed[f * d.ld + atom]; });
}

// The exponent of the largest entry of all atoms that are finite; the others are marked.
template <typename T>
__device__ int survey(const Matrix& atoms, const DeviceDictionary<T>& d, unsigned char* bad) {
    __shared__ T part[kBlock / kWarp];
    const int n_atoms = static_cast<int>(d.n_atoms), n_features = static_cast<int>(d.n_features);
    constexpr int kAtOnce = 8;
    const int down = kBlock / n_features, across = kBlock % n_features;
    for (int k = threadIdx.x; k < n_atoms; k += kBlock) bad[k] = 0;
    __syncthreads();
    T peak = 0;
    const auto look = [&](bool again) {
        bool found = false;
        int k = threadIdx.x / n_features, f = threadIdx.x % n_features;
        peak = 0;
        for (int i = threadIdx.x; i < n_atoms * n_features; i += kAtOnce * kBlock) {
            // All are asked for before any is waited for.
            T entry[kAtOnce];
            int of[kAtOnce];
#pragma unroll
            for (int j = 0; j < kAtOnce; ++j) {
                const bool here = i + j * kBlock < n_atoms * n_features;
                entry[j] = here ? static_cast<const T*>(atoms.data)[k * atoms.row_stride + f * atoms.col_stride] : T(0);
                of[j] = k;
                k += down;
                f += across;
                if (f >= n_features) f -= n_features, ++k;
            }
#pragma unroll
            for (int j = 0; j < kAtOnce; ++j) {
                const T a = fabs(entry[j]);
                if (!is_finite(a)) {
                    if (!again) bad[of[j]] = 1;
                    found = true;
                } else if (a > peak && !(again && bad[of[j]])) {
                    peak = a;
                }
            }
        }
        return found;
    };
    // What is finite in an atom that is not does not count.
    if (__syncthreads_or(look(false))) look(true);
    peak = warp_max(peak);
    if (threadIdx.x % kWarp == 0) part[threadIdx.x / kWarp] = peak;
    __syncthreads();
    for (int i = 0; i < kBlock / kWarp; ++i) peak = part[i] > peak ? part[i] : peak;
    return peak > 0 ? exponent_of(peak) : 0;
}

// All of a small dictionary: the first `writers` blocks do what write_kernel does, each of the others a tile of the
// Gram matrix.
template <typename T>
__global__ void __launch_bounds__(kBlock)
    pack_small_kernel(Matrix atoms, DeviceDictionary<T> d, int writers, int tiles) {
    __shared__ unsigned char bad[kSmallAtoms];
    const int exponent = survey(atoms, d, bad);
    const Shift<T> scale(-exponent);
    const auto entry = [&](int64_t k, int64_t f) {
        const T* const at = static_cast<const T*>(atoms.data) + k * atoms.row_stride + f * atoms.col_stride;
        return k < d.n_atoms && f < d.n_features && !bad[k] ? scale(*at) : T(0);
    };
    const int block = static_cast<int>(blockIdx.x);
    if (block >= writers) {
        const int tile = block - writers;
        gram_tile<T, true>(d, tile / tiles * static_cast<int64_t>(kTile), tile % tiles * static_cast<int64_t>(kTile),
                           entry);
        return;
    }
    if (block == 0 && threadIdx.x == 0) *d.exponent = exponent;
    const int64_t k = block * static_cast<int64_t>(kBlock / kWarp) + threadIdx.x / kWarp;
    if (k >= d.ld) return;
    const T sum = write_atom(d, k, entry);
    if (threadIdx.x % kWarp == 0) {
        // Those of atoms come with the tiles, where there are any.
        if (!tiles || k >= d.n_atoms) d.diagonal[k] = sum;
        d.half[k] = k < d.n_atoms && !bad[k] ? sum / 2 : static_cast<T>(INFINITY);
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
    const auto tiles = static_cast<unsigned>(blocks_for(d.ld, kTile));
    const bool makes_gram = d.gram && !gram.data;
    const int64_t at_once = warps + (makes_gram ? static_cast<int64_t>(tiles) * tiles : 0);
    const bool small = d.n_atoms <= kSmallAtoms && d.n_features <= kSmallEntries / d.n_atoms && at_once <= kSmallBlocks;
    if (small) {
        if (const char* e = SF_LAUNCH((pack_small_kernel<T>), at_once, kBlock, 0, stream, atoms, d,
                                      static_cast<int>(warps), makes_gram ? static_cast<int>(tiles) : 0))
            return e;
    } else {
        if (const char* e = SF_LAUNCH((measure_kernel<T>), warps, kBlock, 0, stream, atoms, d)) return e;
        if (const char* e = SF_LAUNCH((scale_kernel<T>), 1, kBlock, 0, stream, d)) return e;
        if (const char* e = SF_LAUNCH((write_kernel<T>), warps, kBlock, 0, stream, atoms, d)) return e;
    }
    if (d.gram && gram.data) {
        const int64_t blocks = blocks_for(d.n_atoms * d.ld, kBlock);
        const auto grid = static_cast<unsigned>(blocks < (1 << 20) ? blocks : 1 << 20);
        return SF_LAUNCH((copy_gram_kernel<T>), grid, kBlock, 0, stream, gram, d);
    }
    if (!makes_gram || small) return nullptr;
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
