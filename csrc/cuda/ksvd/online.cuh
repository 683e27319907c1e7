// Block coordinate descent on the atoms from the statistics A and B: for one atom after the other
//
//     u = d_k + (b_k - sum_j A_kj d_j) / A_kk,   d_k = u / max(||u||, 1), with `sphere` u / ||u||
//
// in float64, on a copy of the dictionary that stays in the second-level cache.
//
// What fits into the shared memory of one block is done by it (online_block.cuh). Else a block has a slice of features
// of all atoms: all that couples the slices is the norm, for which the blocks, all of them resident, wait for each
// other once an atom. Squares of slices are added in the order of the slices.
//
// Source: Mairal, Bach, Ponce, Sapiro 2009, Algorithm 2.
#pragma once

#include "common/arena.hpp"
#include "cuda/ksvd/online_block.cuh"
#include "sparsefast/ksvd_cuda.hpp"

namespace sparsefast {
namespace {

template <typename T>
struct OnlineArguments {
    OnlineProblem p;
    double* atoms;    // (n_atoms, n_features)
    double* u;        // (n_features,)
    double* squares;  // (2, n_slices), the halves taking turns
    int64_t n_slices;
};

template <typename T>
__global__ void __launch_bounds__(kBlock, 2) online_kernel(OnlineArguments<T> a) {
    __shared__ double room[kBlock];
    const Matrix& d = a.p.dictionary;
    const int64_t n_atoms = d.rows, n_features = d.cols;
    const T* const from = static_cast<const T*>(d.data);
    T* const to = static_cast<T*>(a.p.atoms);
    const auto of_slice = [&](int64_t slice) {
        return static_cast<int>((slice + 1) * kSlice < n_features ? kSlice : n_features - slice * kSlice);
    };
    // Calls visit(element of the dictionary) for those of this block's slices.
    const auto for_elements = [&](const auto& visit) {
        for (int64_t slice = blockIdx.x; slice < a.n_slices; slice += gridDim.x) {
            const int n = of_slice(slice);
            for (int64_t i = threadIdx.x; i < n_atoms * n; i += kBlock) visit(i / n, slice * kSlice + i % n);
        }
    };
    for_elements([&](int64_t k, int64_t f) {
        a.atoms[k * n_features + f] = static_cast<double>(from[k * d.row_stride + f * d.col_stride]);
    });
    __syncthreads();
    int half = 0;
    for (int64_t i = 0; i < a.p.n_iterations; ++i)
        for (int64_t k = 0; k < n_atoms; ++k) {
            const double* const row = a.p.a + k * n_atoms;
            const double diagonal = row[k];
            if (!(diagonal > 0)) continue;
            half ^= 1;
            for (int64_t slice = blockIdx.x; slice < a.n_slices; slice += gridDim.x) {
                const int64_t first = slice * kSlice;
                const int n = of_slice(slice);
                const double* const slice_of = a.atoms + first;
                sum_columns(
                    n, n_atoms, room, [&](int64_t j, int f) { return row[j] * slice_of[j * n_features + f]; },
                    [&](int f, double sum) {
                        const double rest = a.p.b[k * n_features + first + f] - sum;
                        a.u[first + f] = slice_of[k * n_features + f] + rest / diagonal;
                    });
                __syncthreads();
                const double squares = sum_in_warp<double>(n, [&](int f) { return a.u[first + f] * a.u[first + f]; });
                if (threadIdx.x == 0) a.squares[half * a.n_slices + slice] = squares;
            }
            grid_barrier();
            double squares = 0;
            for (int64_t slice = 0; slice < a.n_slices; ++slice) squares += a.squares[half * a.n_slices + slice];
            const double norm = sqrt(squares);
            if (!(norm > 0 && norm - norm == 0)) continue;
            const double factor = a.p.sphere || norm > 1 ? 1 / norm : 1;
            for (int64_t slice = blockIdx.x; slice < a.n_slices; slice += gridDim.x)
                for (int f = threadIdx.x; f < of_slice(slice); f += kBlock) {
                    const int64_t at = slice * kSlice + f;
                    a.atoms[k * n_features + at] = a.u[at] * factor;
                }
            __syncthreads();
        }
    for_elements([&](int64_t k, int64_t f) { to[k * n_features + f] = static_cast<T>(a.atoms[k * n_features + f]); });
}

template <typename T>
struct Online {
    const OnlineProblem& p;
    Arena arena;
    OnlineArguments<T> arguments;

    Online(const OnlineProblem& p, void* workspace) : p(p), arena(workspace) {
        const int64_t n_features = p.dictionary.cols, n_slices = (n_features + kSlice - 1) / kSlice;
        double* const atoms = arena.take<double>(p.dictionary.rows * n_features);
        double* const u = arena.take<double>(n_features);
        arguments = {p, atoms, u, arena.take<double>(2 * n_slices), n_slices};
    }

    const char* run(CudaQueue queue) const {
        constexpr int64_t kStatic = 4 << 10;  // at most, of the kernel
        const int64_t of_block = online_block_bytes(p);
        if (p.dictionary.cols <= kMostOfBlock && of_block + kStatic <= shared_memory_limit(queue.device))
            return SF_LAUNCH((online_block_kernel<T>), 1, kBlock, of_block, static_cast<cudaStream_t>(queue.stream), p);
        int resident = 0;
        if (const char* error = resident_blocks(online_kernel<T>, kBlock, 0, queue.device, &resident)) return error;
        return SF_LAUNCH_COOPERATIVE((online_kernel<T>), resident < arguments.n_slices ? resident : arguments.n_slices,
                                     kBlock, 0, static_cast<cudaStream_t>(queue.stream), arguments);
    }
};

}  // namespace
}  // namespace sparsefast
