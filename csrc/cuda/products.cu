// Products of sparse codes and dictionaries: signals out of codes, correlations with the atoms of a code, and sums over
// the entries of each atom. With the atoms d_i of entries (n, j), i = indices[n, j]:
//
//     decode      out_n  = sum over j of values[n, j] d_i                  a thread has a feature of a signal
//     correlate   out_nj = <signals_n, d_i>                                a warp has an entry
//     accumulate  out_i  = sum over (n, j) of values[n, j] signals_n       a block has a part of an atom's entries
//
// For the last the entries are sorted by atom (ksvd/entries.cuh). Where there are many, or few atoms, each atom's list
// is cut into parts of one length, whose sums are added in their order: a code that most signals have would keep one
// block busy alone. Sums are in double precision. Which block sums what follows from the sizes.
#include "sparsefast/products_cuda.hpp"

#include "cuda/ksvd/entries.cuh"

namespace sparsefast {
namespace {

// Parts of a list: enough blocks to fill a device, where there are entries for them.
constexpr int64_t kFewEntries = 1 << 13, kFill = 1 << 12, kLongPart = 256, kMostParts = 16;

__device__ inline int64_t row_at(const Matrix& m, int64_t row) { return row * m.row_stride; }

template <typename T>
__global__ void __launch_bounds__(kBlock) decode_kernel(CudaProduct p) {
    const T *const values = static_cast<const T*>(p.codes.values), *const atoms = static_cast<const T*>(p.rows.data);
    const int64_t n_features = p.rows.cols, s = p.codes.n_nonzero, n = p.codes.n_signals * n_features;
    for (int64_t i = blockIdx.x * static_cast<int64_t>(kBlock) + threadIdx.x; i < n;
         i += gridDim.x * static_cast<int64_t>(kBlock)) {
        const int64_t row = i / n_features, f = i - row * n_features;
        T sum = 0;
        for (int64_t j = 0; j < s; ++j) {
            const int64_t k = index_of(p.codes, row * s + j);
            const T atom =
                k >= 0 && k < p.n_atoms ? atoms[row_at(p.rows, k) + f * p.rows.col_stride] : static_cast<T>(NAN);
            sum = fma(values[row * s + j], atom, sum);
        }
        static_cast<T*>(p.out)[i] = sum;
    }
}

template <typename T>
__global__ void __launch_bounds__(kBlock) correlate_kernel(CudaProduct p) {
    const T *const x = static_cast<const T*>(p.signals.data), *const atoms = static_cast<const T*>(p.rows.data);
    const int64_t s = p.codes.n_nonzero, n = p.codes.n_signals * s;
    for (int64_t i = blockIdx.x * static_cast<int64_t>(kWarps) + threadIdx.x / kWarp; i < n;
         i += gridDim.x * static_cast<int64_t>(kWarps)) {
        const int64_t row = i / s;
        T sum = 0;
        if (i - row * s < used_of(p.codes, row)) {
            const int64_t signal = row_at(p.signals, row), k = index_of(p.codes, i);
            if (k < 0 || k >= p.n_atoms)
                sum = static_cast<T>(NAN);
            else
                for (int64_t f = threadIdx.x % kWarp; f < p.rows.cols; f += kWarp)
                    sum = fma(x[signal + f * p.signals.col_stride], atoms[row_at(p.rows, k) + f * p.rows.col_stride],
                              sum);
        }
        sum = warp_sum(sum);
        if (threadIdx.x % kWarp == 0) static_cast<T*>(p.out)[i] = sum;
    }
}

template <typename T>
__global__ void __launch_bounds__(kBlock, 2)
    accumulate_kernel(CudaProduct p, Entries<T> e, int64_t n_parts, double* sums) {
    __shared__ double room[kBlock];
    const T *const rows = static_cast<const T*>(p.rows.data), *const less_rows =
                                                                  static_cast<const T*>(p.less_rows.data);
    const T* const less = static_cast<const T*>(p.less_values);
    const int n_features = static_cast<int>(p.rows.cols);
    for (int64_t task = blockIdx.x; task < p.n_atoms * n_parts; task += gridDim.x) {
        const int64_t k = task / n_parts, part = task - k * n_parts, all = e.starts[k + 1] - e.starts[k];
        const int64_t begin = e.starts[k] + all * part / n_parts, end = e.starts[k] + all * (part + 1) / n_parts;
        sum_columns(
            n_features, end - begin, room,
            [&](int64_t i, int f) {
                const int64_t n = e.rows[begin + i];
                double v = static_cast<double>(e.values[begin + i]) *
                           static_cast<double>(rows[row_at(p.rows, n) + f * p.rows.col_stride]);
                if (less)
                    v -= static_cast<double>(less[n * p.codes.n_nonzero + e.slots[begin + i]]) *
                         static_cast<double>(less_rows[row_at(p.less_rows, n) + f * p.less_rows.col_stride]);
                return v;
            },
            [&](int f, double sum) {
                if (n_parts == 1)
                    static_cast<T*>(p.out)[k * n_features + f] = static_cast<T>(sum);
                else
                    sums[task * n_features + f] = sum;
            });
    }
}

// out (n_atoms, n_features) from the sums (n_atoms, n_parts, n_features) of the parts.
template <typename T>
__global__ void __launch_bounds__(kBlock)
    join_kernel(const double* sums, int64_t n, int64_t n_parts, int64_t n_features, T* out) {
    for (int64_t i = blockIdx.x * static_cast<int64_t>(kBlock) + threadIdx.x; i < n;
         i += gridDim.x * static_cast<int64_t>(kBlock)) {
        const int64_t k = i / n_features, f = i - k * n_features;
        double sum = 0;
        for (int64_t part = 0; part < n_parts; ++part) sum += sums[(k * n_parts + part) * n_features + f];
        out[i] = static_cast<T>(sum);
    }
}

template <typename T>
struct Accumulate {
    const CudaProduct& p;
    Arena arena;
    Entries<T> entries;
    int64_t* usage;
    int64_t n_parts;
    double* sums;

    Accumulate(const CudaProduct& p, void* workspace)
        : p(p), arena(workspace), entries(arena, p.codes, p.n_atoms), usage(arena.take<int64_t>(p.n_atoms)) {
        const int64_t fill = kFill / p.n_atoms, full = entries.n / (kLongPart * p.n_atoms);
        const int64_t parts = fill > full ? fill : full;
        n_parts = entries.n < kFewEntries || parts < 1 ? 1 : parts < kMostParts ? parts : kMostParts;
        sums = arena.take<double>(n_parts > 1 ? p.n_atoms * n_parts * p.rows.cols : 0);
    }

    const char* run(cudaStream_t stream) const {
        const char* error = sort_entries(entries, p.codes, nullptr, usage, stream);
        if (!error)
            error = SF_LAUNCH((accumulate_kernel<T>), blocks_for(p.n_atoms * n_parts, 1), kBlock, 0, stream, p, entries,
                              n_parts, sums);
        const int64_t n = p.n_atoms * p.rows.cols;
        if (!error && n_parts > 1)
            error = SF_LAUNCH((join_kernel<T>), blocks_for(n, kBlock), kBlock, 0, stream, sums, n, n_parts, p.rows.cols,
                              static_cast<T*>(p.out));
        return error;
    }
};

}  // namespace

const char* cuda_decode(const CudaProduct& p, CudaQueue queue) {
    const DeviceGuard guard(queue.device);
    if (guard.error()) return guard.error();
    const auto stream = static_cast<cudaStream_t>(queue.stream);
    const int64_t blocks = blocks_for(p.codes.n_signals * p.rows.cols, kBlock);
    return p.dtype == DType::float32 ? SF_LAUNCH((decode_kernel<float>), blocks, kBlock, 0, stream, p)
                                     : SF_LAUNCH((decode_kernel<double>), blocks, kBlock, 0, stream, p);
}

const char* cuda_correlate(const CudaProduct& p, CudaQueue queue) {
    const DeviceGuard guard(queue.device);
    if (guard.error()) return guard.error();
    const auto stream = static_cast<cudaStream_t>(queue.stream);
    const int64_t blocks = blocks_for(p.codes.n_signals * p.codes.n_nonzero, kWarps);
    return p.dtype == DType::float32 ? SF_LAUNCH((correlate_kernel<float>), blocks, kBlock, 0, stream, p)
                                     : SF_LAUNCH((correlate_kernel<double>), blocks, kBlock, 0, stream, p);
}

int64_t cuda_accumulate_workspace_bytes(const CudaProduct& p) {
    return p.dtype == DType::float32 ? Accumulate<float>(p, nullptr).arena.used()
                                     : Accumulate<double>(p, nullptr).arena.used();
}

const char* cuda_accumulate(const CudaProduct& p, void* workspace, CudaQueue queue) {
    const DeviceGuard guard(queue.device);
    if (guard.error()) return guard.error();
    const auto stream = static_cast<cudaStream_t>(queue.stream);
    return p.dtype == DType::float32 ? Accumulate<float>(p, workspace).run(stream)
                                     : Accumulate<double>(p, workspace).run(stream);
}

}  // namespace sparsefast
