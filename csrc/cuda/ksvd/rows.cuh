// What is done with the rows of the residual that the signals of an atom have: lanes go through a row.
#pragma once

#include "cuda/ksvd/columns.cuh"

namespace sparsefast {
namespace {

// The residual, and the entries in the order of their atoms.
template <typename T>
struct Rows {
    T* residual;    // (n_signals, width), the padding zero
    int64_t width;  // whole sectors of the second-level cache
    int n_features;
    const int64_t* rows;    // (n_entries,)
    const T* g;             // (n_entries,)
    const int64_t* starts;  // (n_atoms + 1,)

    __device__ T* row(int64_t i) const { return residual + rows[i] * width; }
    // An element of e = r + g d.
    __device__ T error(int64_t i, int f, const T* atom) const { return row(i)[f] + g[i] * atom[f]; }
};

// Elements of a row that a lane keeps in registers, and rows that it loads at once: 16 registers of either type.
constexpr int kHeld = 8;
template <typename T>
constexpr int kAtOnce = sizeof(T) == 4 ? 2 : 1;

// Calls visit(i, r . x, lane, lanes, the first kHeld elements of r that the lane has) for the entries [begin, end) of
// teams of lanes, of which block `rank` of `count` has its share. The visitor comes with all lanes of a team.
template <typename T, typename Visit>
__device__ __forceinline__ void dot_rows(const Rows<T>& r, int64_t begin, int64_t end, int64_t rank, int64_t count,
                                         const T* x, const Visit& visit) {
    const int lanes = lanes_of_row(r.n_features), lane = static_cast<int>(threadIdx.x) % lanes;
    const int64_t of_block = kBlock / lanes, teams = count * of_block;
    // All threads of a block go round equally often.
    for (int64_t first = begin + rank * of_block; first < end; first += teams * kAtOnce<T>) {
        T held[kAtOnce<T>][kHeld], sums[kAtOnce<T>];
#pragma unroll
        for (int j = 0; j < kAtOnce<T>; ++j) {
            const int64_t i = first + threadIdx.x / lanes + j * teams;
            sums[j] = 0;
            const T* const row = r.row(i < end ? i : begin);
#pragma unroll
            for (int v = 0; v < kHeld; ++v) {
                const int f = lane + v * lanes;
                held[j][v] = f < r.n_features ? row[f] : T(0);
                sums[j] += held[j][v] * (f < r.n_features ? x[f] : T(0));
            }
            for (int f = lane + kHeld * lanes; f < r.n_features; f += lanes) sums[j] += row[f] * x[f];
        }
#pragma unroll
        for (int j = 0; j < kAtOnce<T>; ++j) {
            const int64_t i = first + threadIdx.x / lanes + j * teams;
            const T sum = lanes_sum(sums[j], lanes);
            if (i < end) visit(i, sum, lane, lanes, held[j]);
        }
    }
}

}  // namespace
}  // namespace sparsefast
