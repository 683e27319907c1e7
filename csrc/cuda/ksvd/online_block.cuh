// Block coordinate descent by one block, where all atoms fit into its shared memory: nobody waits for another block.
// The sums are those of online.cuh, slice by slice, to the bit.
//
// shared memory, in double: atoms (n_atoms, n_features), u (n_features,), and twice a row of A and a row of B, of which
// one is on its way while the other is used.
#pragma once

#include "cuda/async_copy.cuh"
#include "cuda/ksvd/columns.cuh"
#include "sparsefast/ksvd_cuda.hpp"

namespace sparsefast {
namespace {

constexpr int64_t kSlice = 32;         // features whose squares are added at once
constexpr int64_t kMostOfBlock = 128;  // features, past which several blocks are worth their barriers

inline int64_t online_block_bytes(const OnlineProblem& p) {
    const int64_t n_atoms = p.dictionary.rows, n_features = p.dictionary.cols;
    return (n_atoms * n_features + n_features + 2 * (n_atoms + n_features)) * static_cast<int64_t>(sizeof(double));
}

template <typename T>
__global__ void __launch_bounds__(kBlock) online_block_kernel(OnlineProblem p) {
    SF_DYNAMIC_SHARED(double, atoms);
    __shared__ double room[kBlock];
    const Matrix& d = p.dictionary;
    const int64_t n_atoms = d.rows;
    const int n_features = static_cast<int>(d.cols), size = static_cast<int>(n_atoms) * n_features;
    double *const u = atoms + size, *const rows = u + n_features;
    const T* const from = static_cast<const T*>(d.data);
    T* const to = static_cast<T*>(p.atoms);
    const auto bring = [&](int64_t k, double* row) {
        for (int j = threadIdx.x; j < n_atoms + n_features; j += kBlock)
            copy_async<8>(row + j, j < n_atoms ? p.a + k * n_atoms + j : p.b + k * n_features + j - n_atoms);
        copy_commit();
    };
    bring(0, rows);
    for (int i = threadIdx.x; i < size; i += kBlock)
        atoms[i] = static_cast<double>(from[i / n_features * d.row_stride + i % n_features * d.col_stride]);
    int half = 0;
    for (int64_t i = 0; i < p.n_iterations; ++i)
        for (int64_t k = 0; k < n_atoms; ++k) {
            const double* const row = rows + half * (n_atoms + n_features);
            half ^= 1;
            copy_wait<0>();
            __syncthreads();  // behind which nobody uses the other row, or writes atoms
            bring(k + 1 < n_atoms ? k + 1 : 0, rows + half * (n_atoms + n_features));
            const double diagonal = row[k];
            if (!(diagonal > 0)) continue;
            double* const own = atoms + k * n_features;
            double squares = 0;
            for (int first = 0; first < n_features; first += kSlice) {
                const int n = first + kSlice < n_features ? static_cast<int>(kSlice) : n_features - first;
                sum_columns(
                    n, n_atoms, room, [&](int64_t j, int f) { return row[j] * atoms[j * n_features + first + f]; },
                    [&](int f, double sum) {
                        u[first + f] = own[first + f] + (row[n_atoms + first + f] - sum) / diagonal;
                    });
            }
            __syncthreads();
            for (int first = 0; first < n_features; first += kSlice) {
                const int n = first + kSlice < n_features ? static_cast<int>(kSlice) : n_features - first;
                squares += sum_in_warp<double>(n, [&](int f) { return u[first + f] * u[first + f]; });
            }
            const double norm = sqrt(squares);
            if (!(norm > 0 && norm - norm == 0)) continue;
            const double factor = p.sphere || norm > 1 ? 1 / norm : 1;
            for (int f = threadIdx.x; f < n_features; f += kBlock) own[f] = u[f] * factor;
        }
    copy_wait<0>();
    __syncthreads();
    for (int i = threadIdx.x; i < size; i += kBlock) to[i] = static_cast<T>(atoms[i]);
}

}  // namespace
}  // namespace sparsefast
