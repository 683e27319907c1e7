// The entries of sparse codes in the order of their atoms: a counting sort, stable, so that the entries of an atom
// stand in increasing row.
//
// counts (n_atoms, n_chunks)          of each atom in each chunk of consecutive entries; then where they begin
// starts (n_atoms + 1,)               atom k has entries [starts[k], starts[k + 1])
// rows, slots, values (n_entries,)    sorted
//
// A warp counts a chunk, a block sums over the chunks of an atom, a warp places its chunk, 32 entries at a time: lanes
// of one atom find each other by a ballot for each bit of its index, and the first of them counts for all. A chunk is
// at least as long as there are atoms, so that counts never take more room than entries. Entries that name no atom, and
// those of signals that are left out, go nowhere.
//
// Source: the split of D. Merrill and A. Grimshaw, High performance and scalable radix sorting, 2011, with an atom a
// digit.
#pragma once

#include "common/arena.hpp"
#include "cuda/ksvd/columns.cuh"
#include "sparsefast/ksvd_cuda.hpp"

namespace sparsefast {
namespace {

constexpr int64_t kChunk = 1024;
constexpr int64_t kMostBlocks = 1 << 20;

inline int64_t blocks_for(int64_t n, int64_t each) {
    const int64_t blocks = (n + each - 1) / each;
    return blocks < kMostBlocks ? blocks : kMostBlocks;
}

__device__ inline int64_t index_of(const SparseCodes& codes, int64_t entry) {
    return codes.index_type == IndexType::int64 ? static_cast<const int64_t*>(codes.indices)[entry]
                                                : static_cast<const int32_t*>(codes.indices)[entry];
}

// How many entries of a signal are in use.
__device__ inline int64_t used_of(const SparseCodes& codes, int64_t row) {
    const int64_t count = codes.counts[row];
    return count <= codes.n_nonzero && count > 0 ? count : 0;
}

__device__ inline bool is_finite_square(double square) { return square - square == 0; }

// The atom of an entry; n_atoms where it is none. `squares` of the signals, or null: one that is not finite is left
// out.
__device__ inline unsigned atom_of(const SparseCodes& codes, int64_t entry, int64_t n_atoms, const double* squares) {
    const int64_t row = entry / codes.n_nonzero, none = n_atoms;
    if (entry - row * codes.n_nonzero >= used_of(codes, row) || (squares && !is_finite_square(squares[row])))
        return static_cast<unsigned>(none);
    const int64_t k = index_of(codes, entry);
    return static_cast<unsigned>(k >= 0 && k < n_atoms ? k : none);
}

template <typename T>
struct Entries {
    int64_t n, n_atoms, chunk, n_chunks;
    int64_t *counts, *starts, *rows;
    int32_t* slots;
    T* values;

    Entries(Arena& arena, const SparseCodes& codes, int64_t n_atoms) : n_atoms(n_atoms) {
        n = codes.n_signals * codes.n_nonzero;
        chunk = round_up(n_atoms > kChunk ? n_atoms : kChunk, kWarp);
        n_chunks = (n + chunk - 1) / chunk;
        counts = arena.take<int64_t>(n_chunks * n_atoms);
        starts = arena.take<int64_t>(n_atoms + 1);
        rows = arena.take<int64_t>(n);
        slots = arena.take<int32_t>(n);
        values = arena.take<T>(n);
    }
};

// Calls visit(entry, atom, lanes of the same atom) for the entries of a chunk in their order, 32 at a time. Lanes past
// the end, and those of entries that are left out, come as well, with the atom n_atoms.
template <typename T, typename Visit>
__device__ __forceinline__ void visit_chunk(const Entries<T>& e, const SparseCodes& codes, const double* squares,
                                            int64_t chunk, const Visit& visit) {
    const int bits = 32 - __clz(static_cast<int>(e.n_atoms));
    const int64_t begin = chunk * e.chunk, end = begin + e.chunk < e.n ? begin + e.chunk : e.n;
    for (int64_t first = begin; first < end; first += kWarp) {
        const int64_t entry = first + threadIdx.x % kWarp;
        const unsigned atom =
            entry < end ? atom_of(codes, entry, e.n_atoms, squares) : static_cast<unsigned>(e.n_atoms);
        unsigned same = kAllLanes;
        for (int b = 0; b < bits; ++b) {
            const unsigned votes = __ballot_sync(kAllLanes, static_cast<int>(atom >> b & 1));
            same &= atom >> b & 1 ? votes : ~votes;
        }
        visit(entry, static_cast<int64_t>(atom), same);
    }
}

template <typename T>
__global__ void __launch_bounds__(kBlock, 2) count_kernel(Entries<T> e, SparseCodes codes, const double* squares) {
    const int lane = threadIdx.x % kWarp;
    for (int64_t chunk = blockIdx.x * static_cast<int64_t>(kWarps) + threadIdx.x / kWarp; chunk < e.n_chunks;
         chunk += gridDim.x * static_cast<int64_t>(kWarps)) {
        for (int64_t k = lane; k < e.n_atoms; k += kWarp) e.counts[k * e.n_chunks + chunk] = 0;
        __syncwarp(kAllLanes);
        visit_chunk(e, codes, squares, chunk, [&](int64_t, int64_t k, unsigned same) {
            if (k < e.n_atoms && lane == __ffs(static_cast<int>(same)) - 1)
                e.counts[k * e.n_chunks + chunk] += __popc(same);
            __syncwarp(kAllLanes);
        });
    }
}

// In each row of (n_rows, n) numbers each becomes the sum of those before it; totals[row] is the sum of all.
__global__ void __launch_bounds__(kBlock) scan_kernel(int64_t* numbers, int64_t n_rows, int64_t n, int64_t* totals) {
    __shared__ int64_t sums[kWarps];
    const int lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp;
    for (int64_t row = blockIdx.x; row < n_rows; row += gridDim.x) {
        int64_t before = 0;
        for (int64_t first = 0; first < n; first += kBlock) {
            const int64_t i = first + threadIdx.x;
            const int64_t own = i < n ? numbers[row * n + i] : 0;
            int64_t sum = own;
            for (int o = 1; o < kWarp; o *= 2) {
                const int64_t other = __shfl_up_sync(kAllLanes, sum, static_cast<unsigned>(o));
                if (lane >= o) sum += other;
            }
            __syncthreads();
            if (lane == kWarp - 1) sums[warp] = sum;
            __syncthreads();
            int64_t all = 0;
            for (int w = 0; w < kWarps; ++w) {
                if (w == warp) sum += all;
                all += sums[w];
            }
            if (i < n) numbers[row * n + i] = before + sum - own;
            before += all;
        }
        if (threadIdx.x == 0) totals[row] = before;
    }
}

// starts[k] from the numbers of entries of each atom.
__global__ void __launch_bounds__(kBlock) copy_counts_kernel(const int64_t* usage, int64_t n_atoms, int64_t* starts) {
    for (int64_t k = blockIdx.x * static_cast<int64_t>(kBlock) + threadIdx.x; k < n_atoms;
         k += gridDim.x * static_cast<int64_t>(kBlock))
        starts[k] = usage[k];
}

template <typename T>
__global__ void __launch_bounds__(kBlock, 2) place_kernel(Entries<T> e, SparseCodes codes, const double* squares) {
    const int lane = threadIdx.x % kWarp;
    const T* const values = static_cast<const T*>(codes.values);
    for (int64_t chunk = blockIdx.x * static_cast<int64_t>(kWarps) + threadIdx.x / kWarp; chunk < e.n_chunks;
         chunk += gridDim.x * static_cast<int64_t>(kWarps))
        visit_chunk(e, codes, squares, chunk, [&](int64_t entry, int64_t k, unsigned same) {
            const int64_t count = k * e.n_chunks + chunk, before = k < e.n_atoms ? e.counts[count] : 0;
            __syncwarp(kAllLanes);
            const int rank = __popc(same & ((1u << lane) - 1));
            if (k < e.n_atoms) {
                if (rank == 0) e.counts[count] = before + __popc(same);
                const int64_t at = e.starts[k] + before + rank, row = entry / codes.n_nonzero;
                e.rows[at] = row;
                e.slots[at] = static_cast<int32_t>(entry - row * codes.n_nonzero);
                e.values[at] = values[entry];
            }
            __syncwarp(kAllLanes);
        });
}

// Sorts the entries, and writes how many each atom has (n_atoms,).
template <typename T>
const char* sort_entries(const Entries<T>& e, const SparseCodes& codes, const double* squares, int64_t* usage,
                         cudaStream_t stream) {
    const int64_t blocks = blocks_for(e.n_chunks, kWarps);
    const char* error = SF_LAUNCH((count_kernel<T>), blocks, kBlock, 0, stream, e, codes, squares);
    if (!error)
        error =
            SF_LAUNCH(scan_kernel, blocks_for(e.n_atoms, 1), kBlock, 0, stream, e.counts, e.n_atoms, e.n_chunks, usage);
    if (!error)
        error =
            SF_LAUNCH(copy_counts_kernel, blocks_for(e.n_atoms, kBlock), kBlock, 0, stream, usage, e.n_atoms, e.starts);
    if (!error)
        error = SF_LAUNCH(scan_kernel, 1, kBlock, 0, stream, e.starts, int64_t(1), e.n_atoms, e.starts + e.n_atoms);
    if (!error) error = SF_LAUNCH((place_kernel<T>), blocks, kBlock, 0, stream, e, codes, squares);
    return error;
}

}  // namespace
}  // namespace sparsefast
