// Kernels that show what the emulation does, right ones and wrong ones, as functions that launch them: each returns
// what SF_LAUNCH returned.
#pragma once

#include <cstdint>

namespace emulation_tests {

using Error = const char*;

// Right in every order.
template <typename T>
Error row_argmax(const T* x, int rows, int n, T* values, int* indices);  // by warp shuffles, static shared memory
template <typename T>
Error row_sum(const T* x, int rows, int n, T* sums, int threads);  // dynamic shared memory, a barrier a step
template <typename T>
Error transpose(const T* x, int rows, int columns, T* out);  // a tile of 32 x 33
Error warp_functions(int* out);                              // kWarpFunctions numbers for each of 64 threads
Error block_functions(int* out);                             // count, and, or: for a predicate of some, of all, of none
Error arithmetic(double* out);                               // kArithmetic numbers
Error indices(int* visits, int gx, int gy, int gz, int bx, int by, int bz);  // one more for each thread
Error deep_stack(int* out, int threads);
Error tickets(int* out, int blocks, int threads);  // by which turn each thread came: depends on the order
constexpr int kWarpFunctions = 12;
constexpr int kArithmetic = 16;

// With a barrier, or without the one that they need.
Error rotate(const float* x, float* out, int n, bool barrier);          // reads what a neighbour writes
Error shift_in_place(const float* x, float* out, int n, bool barrier);  // writes what a neighbour reads
Error pass_in_warp(const float* x, float* out, bool barrier);           // as rotate, with __syncwarp

// Shared memory that was not written: static of a template, static, dynamic. Block 0 writes it, later ones only read.
Error unwritten(float* out, int blocks);

enum class Copies { right, no_wait, no_commit, one_left, misaligned, not_shared };
Error async_copies(const float* x, float* out, Copies how);

enum class Wrong {
    barrier_of_some,
    barriers_of_two_lines,
    lanes_that_never_come,
    lane_that_ended,
    lanes_that_are_not,
    not_in_own_mask,
    two_operations,
    throws,
    past_shared_memory,
};
Error wrong(Wrong what);
Error many_threads(int x, int y, int z, int64_t grid_x, int grid_y, int64_t shared_bytes);

}  // namespace emulation_tests
