// The words of CUDA C++ that are neither operations nor arithmetic: qualifiers, built-in variables, vector types.
#pragma once

#include <cstddef>
#include <cstdint>

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)
#define __align__(n) __attribute__((aligned(n)))
// A variable of the thread that runs the launch, which all emulated threads of its block therefore share. __thread, not
// thread_local, so that types with constructors are refused, as nvcc refuses them.
#define __shared__ static __thread
#define SF_HIDDEN __attribute__((visibility("hidden")))

using cudaStream_t = void*;

struct uint3 {
    unsigned x, y, z;
};

struct dim3 {
    unsigned x, y, z;
    constexpr dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
    constexpr dim3(uint3 v) : x(v.x), y(v.y), z(v.z) {}
};

struct __align__(8) float2 {
    float x, y;
};
struct __align__(16) float4 {
    float x, y, z, w;
};
struct __align__(16) double2 {
    double x, y;
};
inline float2 make_float2(float x, float y) { return {x, y}; }
inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }
inline double2 make_double2(double x, double y) { return {x, y}; }

// Of the emulated thread that runs: the scheduler sets them at each switch.
extern __thread SF_HIDDEN uint3 threadIdx;
extern __thread SF_HIDDEN uint3 blockIdx;
extern __thread SF_HIDDEN dim3 blockDim;
extern __thread SF_HIDDEN dim3 gridDim;
constexpr int warpSize = 32;
