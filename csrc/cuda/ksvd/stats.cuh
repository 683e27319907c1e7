// The sufficient statistics of online dictionary learning: A += sum of code code^T, B += sum of code x^T, in float64.
//
// The entries of an atom, in increasing row, are in up to kMostTiles tiles. A block has a tile, and with it a part of a
// row of A and of B. For A its warps have parts of the entries, each with sums for all atoms of its own, which are
// added in order; lanes have the entries of rows, of which as many are read at once as fit. For B a thread has a
// feature. Sums of several tiles are added in order by another kernel. Which entries are whose depends on their number
// alone.
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
// Tiles of an atom, of at least so many entries; less with many atoms, so that sums of tiles take little memory.
constexpr int64_t kMostTiles = 16, kTileEntries = 256, kTilesOfAll = 4096;

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
    int64_t most_tiles;
    double* tiles;  // (n_atoms, most_tiles, n_atoms + n_features): of a row of A and of B
    double *a, *b, *usage;

    __device__ int64_t n_tiles(int64_t n_entries) const {
        const int64_t n = (n_entries + kTileEntries - 1) / kTileEntries;
        return n < most_tiles ? (n > 1 ? n : 1) : most_tiles;
    }
    __device__ double* tile(int64_t k, int64_t t) const {
        return tiles + (k * most_tiles + t) * (n_atoms + signals.cols);
    }
};

// sums += g code, for the codes of entries [begin, end), by a warp.
template <typename T>
__device__ __forceinline__ void add_codes(const StatsArguments<T>& p, int64_t begin, int64_t end, double* sums) {
    constexpr int each = 4;
    const int lane = threadIdx.x % kWarp;
    const int64_t s = p.codes.n_nonzero;
    if (begin == end) return;
    const int width = s < kWarp ? static_cast<int>(s) : kWarp, rows = kWarp / width, own = lane / width;
    const T* const values = static_cast<const T*>(p.codes.values);
    for (int64_t first = begin; first < end; first += each * rows)
        for (int64_t slot = lane % width; slot - lane % width < s; slot += width) {
            int64_t atoms[each];
            double products[each];
#pragma unroll
            for (int j = 0; j < each; ++j) {
                const int64_t i = first + j * rows + own;
                const bool inside = own < rows && i < end && slot < s;
                const int64_t row = p.rows[inside ? i : begin], at = row * s + (inside ? slot : 0);
                const int64_t k = index_of(p.codes, at);
                atoms[j] = inside && slot < used_of(p.codes, row) && k >= 0 && k < p.n_atoms ? k : -1;
                products[j] = static_cast<double>(p.g[inside ? i : begin]) * static_cast<double>(values[at]);
            }
#pragma unroll
            for (int j = 0; j < each; ++j)
                for (int r = 0; r < rows; ++r) {
                    if (own == r && atoms[j] >= 0) sums[atoms[j]] += products[j];
                    __syncwarp(kAllLanes);
                }
        }
}

template <typename T>
__global__ void __launch_bounds__(kBlock, 3) stats_kernel(StatsArguments<T> p) {
    SF_DYNAMIC_SHARED(double, sums);
    __shared__ double room[kBlock];
    const int warp = threadIdx.x / kWarp;
    const int64_t n_parts = p.n_parts ? p.n_parts : 1;
    const int n_features = static_cast<int>(p.signals.cols);
    const T* const x = static_cast<const T*>(p.signals.data);
    for (int64_t block = blockIdx.x; block < p.n_atoms * p.most_tiles; block += gridDim.x) {
        const int64_t k = block / p.most_tiles, t = block - k * p.most_tiles;
        const int64_t start = p.starts[k], all = p.starts[k + 1] - start, n_tiles = p.n_tiles(all);
        if (t >= n_tiles) continue;
        const int64_t begin = start + all * t / n_tiles, n = start + all * (t + 1) / n_tiles - begin;
        double* const row_of_a = n_tiles > 1 ? p.tile(k, t) : p.a + k * p.n_atoms;
        double* const row_of_b = n_tiles > 1 ? row_of_a + p.n_atoms : p.b + k * n_features;
        __syncthreads();
        for (int64_t j = threadIdx.x; j < p.n_parts * p.n_atoms; j += kBlock) sums[j] = 0;
        __syncthreads();
        // Without parts there is one tile.
        if (warp < n_parts)
            add_codes(p, begin + n * warp / n_parts, begin + n * (warp + 1) / n_parts,
                      p.n_parts ? sums + warp * p.n_atoms : row_of_a);
        __syncthreads();
        for (int64_t j = threadIdx.x; p.n_parts && j < p.n_atoms; j += kBlock) {
            double sum = 0;
            for (int64_t w = 0; w < p.n_parts; ++w) sum += sums[w * p.n_atoms + j];
            row_of_a[j] = n_tiles > 1 ? sum : row_of_a[j] + sum;
        }
        sum_rows(
            n_features, n, room, [&](int64_t i) { return p.rows[begin + i] * p.signals.row_stride; },
            [&](int64_t i, int64_t at, int f) {
                return static_cast<double>(p.g[begin + i]) * static_cast<double>(x[at + f * p.signals.col_stride]);
            },
            [&](int f, double sum) { row_of_b[f] = n_tiles > 1 ? sum : row_of_b[f] + sum; });
        if (t == 0 && threadIdx.x == 0) p.usage[k] += static_cast<double>(all);
    }
}

// Adds the sums of the tiles of atoms that have several.
template <typename T>
__global__ void __launch_bounds__(kBlock) add_tiles_kernel(StatsArguments<T> p) {
    const int64_t width = p.n_atoms + p.signals.cols;
    for (int64_t k = blockIdx.x; k < p.n_atoms; k += gridDim.x) {
        const int64_t n_tiles = p.n_tiles(p.starts[k + 1] - p.starts[k]);
        if (n_tiles == 1) continue;
        for (int64_t j = threadIdx.x; j < width; j += kBlock) {
            double sum = 0;
#pragma unroll 4
            for (int64_t t = 0; t < n_tiles; ++t) sum += p.tile(k, t)[j];
            (j < p.n_atoms ? p.a[k * p.n_atoms + j] : p.b[k * p.signals.cols + j - p.n_atoms]) += sum;
        }
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
    int64_t n_blocks, most_tiles;
    double* tiles;

    Stats(const StatsProblem& p, void* workspace) : p(p), arena(workspace), entries(arena, p.codes, p.n_atoms) {
        n_blocks = (p.signals.rows + kSquaresABlock - 1) / kSquaresABlock;
        squares = arena.take<double>(p.signals.rows);
        totals = arena.take<Totals>(n_blocks);
        usage = arena.take<int64_t>(p.n_atoms);
        const int64_t share = kTilesOfAll / p.n_atoms, useful = (entries.n + kTileEntries - 1) / kTileEntries;
        // An atom cannot have more tiles than all entries.
        most_tiles = share < kMostTiles ? share : kMostTiles;
        most_tiles = useful < most_tiles ? useful : most_tiles;
        most_tiles = most_tiles > 1 && p.n_atoms <= kMostSums ? most_tiles : 1;
        tiles = arena.take<double>(most_tiles > 1 ? p.n_atoms * most_tiles * (p.n_atoms + p.signals.cols) : 0);
    }

    const char* run(CudaQueue queue) const {
        const auto stream = static_cast<cudaStream_t>(queue.stream);
        const char* error = SF_LAUNCH((squares_kernel<T>), blocks_for(n_blocks, 1), kBlock, 0, stream, p.signals,
                                      squares, totals, n_blocks);
        if (!error) error = SF_LAUNCH(totals_kernel, 1, kBlock, 0, stream, totals, n_blocks, p.totals);
        if (!error) error = sort_entries(entries, p.codes, squares, usage, stream);
        const int64_t fit = kMostSums / p.n_atoms, n_parts = fit < kWarps ? fit : kWarps;
        const StatsArguments<T> a{p.signals, p.codes, entries.starts, entries.rows, entries.values,
                                  p.n_atoms, n_parts, most_tiles,     tiles,        p.a,
                                  p.b,       p.usage};
        if (!error)
            error = SF_LAUNCH((stats_kernel<T>), blocks_for(p.n_atoms * most_tiles, 1), kBlock,
                              n_parts * p.n_atoms * static_cast<int64_t>(sizeof(double)), stream, a);
        if (!error && most_tiles > 1)
            error = SF_LAUNCH((add_tiles_kernel<T>), blocks_for(p.n_atoms, 1), kBlock, 0, stream, a);
        return error;
    }
};

}  // namespace
}  // namespace sparsefast
