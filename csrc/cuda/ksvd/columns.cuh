// How the threads of a block share rows of features: by columns, to sum over many rows, and by lanes, to go through one
// row. Which thread adds what follows from the number of features alone, so that sums have one order.
#pragma once

#include "cuda/omp/team.cuh"

namespace sparsefast {
namespace {

constexpr int kWarps = kBlock / kWarp;

// Groups of neighbours, as many as there are columns: a thread has a column of each row of its group.
struct Columns {
    int columns = 1, groups, column, group;

    __device__ explicit Columns(int n) {
        while (columns < kBlock && columns < n) columns *= 2;
        groups = kBlock / columns;
        column = static_cast<int>(threadIdx.x) % columns;
        group = static_cast<int>(threadIdx.x) / columns;
    }
};

// put(f, sum over the groups) for the columns f < n_columns that threads have.
template <typename S, typename Put>
__device__ __forceinline__ void sum_groups(const Columns& c, int f, int n_columns, S sum, S* room, const Put& put) {
    if (c.groups > 1) {
        __syncthreads();  // the room may still be read
        room[threadIdx.x] = sum;
        __syncthreads();
        if (c.group == 0)
            for (int q = 1; q < c.groups; ++q) sum += room[q * c.columns + c.column];
    }
    if (c.group == 0 && f < n_columns) put(f, sum);
}

// put(f, sum over i < n of at(i, f)) for each of n_columns columns. `room` holds a number for each thread; all threads
// of the block come here.
template <typename S, typename At, typename Put>
__device__ __forceinline__ void sum_columns(int n_columns, int64_t n, S* room, const At& at, const Put& put) {
    const Columns c(n_columns);
    for (int first = 0; first < n_columns; first += c.columns) {
        const int f = first + c.column;
        S sum = 0;
        if (f < n_columns) {
#pragma unroll 4
            for (int64_t i = c.group; i < n; i += c.groups) sum += at(i, f);
        }
        sum_groups(c, f, n_columns, sum, room, put);
    }
}

// The same over rows that lie anywhere: put(f, sum over i < n of at(i, where(i), f)), of which a thread reads several
// at once.
template <typename S, typename Where, typename At, typename Put>
__device__ __forceinline__ void sum_rows(int n_columns, int64_t n, S* room, const Where& where, const At& at,
                                         const Put& put) {
    constexpr int each = 8;
    const Columns c(n_columns);
    for (int first = 0; first < n_columns; first += c.columns) {
        const int f = first + c.column;
        S sum = 0;
        for (int64_t i = c.group; f < n_columns && i < n; i += each * c.groups) {
            int64_t places[each];
            S parts[each];
#pragma unroll
            for (int j = 0; j < each; ++j) places[j] = i + j * c.groups < n ? where(i + j * c.groups) : 0;
#pragma unroll
            for (int j = 0; j < each; ++j) parts[j] = i + j * c.groups < n ? at(i + j * c.groups, places[j], f) : S(0);
#pragma unroll
            for (int j = 0; j < each; ++j) sum += parts[j];
        }
        sum_groups(c, f, n_columns, sum, room, put);
    }
}

// So many neighbouring lanes go through a row that each has about four elements.
__device__ inline int lanes_of_row(int n_features) {
    int lanes = 1;
    while (lanes < kWarp && 4 * lanes < n_features) lanes *= 2;
    return lanes;
}

template <typename S>
__device__ inline S lanes_sum(S v, int lanes) {
    for (int o = lanes / 2; o; o >>= 1) v += __shfl_xor_sync(kAllLanes, v, o);
    return v;
}

// The sum over f < n of at(f), in every thread of every warp, which all compute it.
template <typename S, typename At>
__device__ __forceinline__ S sum_in_warp(int n, const At& at) {
    S sum = 0;
    for (int f = threadIdx.x % kWarp; f < n; f += kWarp) sum += at(f);
    return warp_sum(sum);
}

}  // namespace
}  // namespace sparsefast
