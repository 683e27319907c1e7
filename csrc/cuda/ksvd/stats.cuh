// The sufficient statistics of online dictionary learning: A += sum of code code^T, B += sum of code x^T, in float64.
//
// A block has an atom, and with it a row of A and of B, and the atom's entries in increasing row. For A its warps have
// parts of the entries, each with sums for all atoms of its own, which are added in order; a lane has an entry of the
// row. For B a thread has a feature. Which entries are whose depends on their number alone.
//
// The sum of ||x||^2 is carried in twice the digits, so that its order, and signals that are left out, do not matter.
//
// Sources: Mairal, Bach, Ponce, Sapiro 2009, Algorithm 1; T. Ogita, S. Rump, S. Oishi, Accurate sum and dot product,
// 2005 (the sum).
#pragma once

#include "cuda/ksvd/entries.cuh"

namespace sparsefast {
namespace {

// Sums of all atoms that fit into the shared memory of any device, over the parts of a block.
constexpr int64_t kMostSums = 2048;
constexpr int64_t kSquaresABlock = 2048;

// high + low, of twice the digits.
struct Wide {
    double high, low;

    __device__ void add(double v) {
        const double sum = high + v, back = sum - high;
        low += (high - (sum - back)) + (v - back);
        high = sum;
    }
    __device__ void add(const Wide& other) {
        add(other.high);
        low += other.low;
    }
};

struct Totals {
    double count;
    Wide sum;
};

// In thread 0, of all threads of the block.
__device__ inline Totals sum_of_block(Totals own) {
    __shared__ Totals all[kBlock];
    __syncthreads();
    all[threadIdx.x] = own;
    __syncthreads();
    if (threadIdx.x == 0)
        for (int i = 1; i < kBlock; ++i) {
            own.count += all[i].count;
            own.sum.add(all[i].sum);
        }
    return own;
}

// squares (n_signals,) = ||x||^2, and the totals of each kSquaresABlock of them.
template <typename T>
__global__ void __launch_bounds__(kBlock)
    squares_kernel(Matrix signals, double* squares, Totals* totals, int64_t n_blocks) {
    const T* const x = static_cast<const T*>(signals.data);
    const int lanes = lanes_of_row(static_cast<int>(signals.cols)), lane = static_cast<int>(threadIdx.x) % lanes;
    const int64_t of_block = kBlock / lanes;
    for (int64_t block = blockIdx.x; block < n_blocks; block += gridDim.x) {
        Totals own{0, {0, 0}};
        const int64_t begin = block * kSquaresABlock,
                      end = begin + kSquaresABlock < signals.rows ? begin + kSquaresABlock : signals.rows;
        for (int64_t first = begin; first < end; first += of_block) {
            const int64_t n = first + threadIdx.x / lanes;
            double sum = 0;
            if (n < end)
                for (int64_t f = lane; f < signals.cols; f += lanes) {
                    const double v = static_cast<double>(x[n * signals.row_stride + f * signals.col_stride]);
                    sum += v * v;
                }
            sum = lanes_sum(sum, lanes);
            if (n < end && lane == 0) {
                squares[n] = sum;
                if (is_finite_square(sum)) {
                    own.count += 1;
                    own.sum.add(sum);
                }
            }
        }
        own = sum_of_block(own);
        if (threadIdx.x == 0) totals[block] = own;
    }
}

// One block.
__global__ void __launch_bounds__(kBlock) totals_kernel(const Totals* totals, int64_t n, double* out) {
    Totals own{0, {0, 0}};
    for (int64_t i = threadIdx.x; i < n; i += kBlock) {
        own.count += totals[i].count;
        own.sum.add(totals[i].sum);
    }
    own = sum_of_block(own);
    if (threadIdx.x == 0) {
        out[0] += own.count;
        out[1] += own.sum.high + own.sum.low;
    }
}

template <typename T>
struct StatsArguments {
    Matrix signals;
    SparseCodes codes;
    const int64_t *starts, *rows;
    const T* g;
    int64_t n_atoms, n_parts;  // 0 parts: the sums of an atom are its row of A itself
    double *a, *b, *usage;
};

template <typename T>
__global__ void __launch_bounds__(kBlock, 2) stats_kernel(StatsArguments<T> p) {
    SF_DYNAMIC_SHARED(double, sums);
    __shared__ double room[kBlock];
    const int lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp;
    const int64_t n_parts = p.n_parts ? p.n_parts : 1, s = p.codes.n_nonzero;
    const int n_features = static_cast<int>(p.signals.cols);
    const T *const values = static_cast<const T*>(p.codes.values), *const x = static_cast<const T*>(p.signals.data);
    for (int64_t k = blockIdx.x; k < p.n_atoms; k += gridDim.x) {
        const int64_t begin = p.starts[k], n = p.starts[k + 1] - begin;
        double* const row_of_a = p.a + k * p.n_atoms;
        __syncthreads();
        for (int64_t j = threadIdx.x; j < p.n_parts * p.n_atoms; j += kBlock) sums[j] = 0;
        __syncthreads();
        if (warp < n_parts) {
            double* const mine = p.n_parts ? sums + warp * p.n_atoms : row_of_a;
            for (int64_t i = begin + n * warp / n_parts; i < begin + n * (warp + 1) / n_parts; ++i) {
                const int64_t first = p.rows[i] * s, used = used_of(p.codes, p.rows[i]);
                const double g = static_cast<double>(p.g[i]);
                for (int64_t slot = lane; slot < used; slot += kWarp) {
                    const int64_t j = index_of(p.codes, first + slot);
                    if (j >= 0 && j < p.n_atoms) mine[j] += g * static_cast<double>(values[first + slot]);
                }
                __syncwarp(kAllLanes);
            }
        }
        __syncthreads();
        for (int64_t j = threadIdx.x; p.n_parts && j < p.n_atoms; j += kBlock) {
            double sum = 0;
            for (int64_t w = 0; w < p.n_parts; ++w) sum += sums[w * p.n_atoms + j];
            row_of_a[j] += sum;
        }
        sum_columns(
            n_features, n, room,
            [&](int64_t i, int f) {
                const int64_t at = p.rows[begin + i] * p.signals.row_stride + f * p.signals.col_stride;
                return static_cast<double>(p.g[begin + i]) * static_cast<double>(x[at]);
            },
            [&](int f, double sum) { p.b[k * n_features + f] += sum; });
        if (threadIdx.x == 0) p.usage[k] += static_cast<double>(n);
    }
}

template <typename T>
struct Stats {
    const StatsProblem& p;
    Arena arena;
    Entries<T> entries;
    double* squares;
    Totals* totals;
    int64_t* usage;
    int64_t n_blocks;

    Stats(const StatsProblem& p, void* workspace) : p(p), arena(workspace), entries(arena, p.codes, p.n_atoms) {
        n_blocks = (p.signals.rows + kSquaresABlock - 1) / kSquaresABlock;
        squares = arena.take<double>(p.signals.rows);
        totals = arena.take<Totals>(n_blocks);
        usage = arena.take<int64_t>(p.n_atoms);
    }

    const char* run(CudaQueue queue) const {
        const auto stream = static_cast<cudaStream_t>(queue.stream);
        const char* error = SF_LAUNCH((squares_kernel<T>), blocks_for(n_blocks, 1), kBlock, 0, stream, p.signals,
                                      squares, totals, n_blocks);
        if (!error) error = SF_LAUNCH(totals_kernel, 1, kBlock, 0, stream, totals, n_blocks, p.totals);
        if (!error) error = sort_entries(entries, p.codes, squares, usage, stream);
        const int64_t fit = kMostSums / p.n_atoms, n_parts = fit < kWarps ? fit : kWarps;
        const StatsArguments<T> a{p.signals, p.codes, entries.starts, entries.rows, entries.values, p.n_atoms, n_parts,
                                  p.a,       p.b,     p.usage};
        return error ? error
                     : SF_LAUNCH((stats_kernel<T>), blocks_for(p.n_atoms, 1), kBlock,
                                 n_parts * p.n_atoms * static_cast<int64_t>(sizeof(double)), stream, a);
    }
};

}  // namespace
}  // namespace sparsefast
