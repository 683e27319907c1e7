#include "tests/emulation/kernels.hpp"

#include "cuda/async_copy.cuh"
#include "cuda/platform.cuh"

namespace emulation_tests {
namespace {

constexpr unsigned kAll = 0xffffffffu;

template <int Width, typename T>
__device__ void warp_argmax(T& value, int& index) {
#pragma unroll
    for (int step = Width / 2; step; step /= 2) {
        const T other = __shfl_xor_sync(kAll, value, step);
        const int other_index = __shfl_xor_sync(kAll, index, step);
        if (other > value || (other == value && other_index < index)) value = other, index = other_index;
    }
}

template <typename T, int Threads>
__global__ void __launch_bounds__(Threads) row_argmax_kernel(const T* __restrict__ x, int n, T* values, int* indices) {
    __shared__ T warp_values[Threads / 32];
    __shared__ int warp_indices[Threads / 32];
    const T* row = x + static_cast<int64_t>(blockIdx.x) * n;
    const int thread = threadIdx.x;
    T value = -1;
    int index = n;
    for (int k = thread; k < n; k += Threads) {
        const T a = fabs(__ldg(row + k));
        if (a > value) value = a, index = k;
    }
    warp_argmax<32>(value, index);
    if (thread % 32 == 0) warp_values[thread / 32] = value, warp_indices[thread / 32] = index;
    __syncthreads();
    if (thread < 32) {
        value = thread < Threads / 32 ? warp_values[thread] : T(-1);
        index = thread < Threads / 32 ? warp_indices[thread] : n;
        warp_argmax<32>(value, index);
        if (thread == 0) values[blockIdx.x] = value, indices[blockIdx.x] = index;
    }
}

template <typename T>
__global__ void row_sum_kernel(const T* x, int n, T* sums) {
    SF_DYNAMIC_SHARED(T, partial);
    T sum = 0;
    for (int k = threadIdx.x; k < n; k += blockDim.x) sum += x[static_cast<int64_t>(blockIdx.x) * n + k];
    partial[threadIdx.x] = sum;
    __syncthreads();
    for (unsigned half = blockDim.x / 2; half; half /= 2) {
        if (threadIdx.x < half) partial[threadIdx.x] += partial[threadIdx.x + half];
        __syncthreads();
    }
    if (threadIdx.x == 0) sums[blockIdx.x] = partial[0];
}

template <typename T>
__global__ void transpose_kernel(const T* x, int rows, int columns, T* out) {
    __shared__ T tile[32][33];
    const int column = blockIdx.x * 32 + threadIdx.x;
    for (int r = threadIdx.y; r < 32; r += blockDim.y) {
        const int row = blockIdx.y * 32 + r;
        if (row < rows && column < columns) tile[r][threadIdx.x] = x[row * columns + column];
    }
    __syncthreads();
    const int row = blockIdx.y * 32 + threadIdx.x;
    for (int c = threadIdx.y; c < 32; c += blockDim.y) {
        if (row < rows && static_cast<int>(blockIdx.x) * 32 + c < columns)
            out[(blockIdx.x * 32 + c) * rows + row] = tile[threadIdx.x][c];
    }
}

// Halves of a warp go different ways, with masks of their own and a different number of operations.
__global__ void warp_functions_kernel(int* out) {
    const int thread = threadIdx.x, lane = thread % 32;
    int* mine = out + thread * kWarpFunctions;
    mine[0] = __shfl_sync(kAll, thread, 5);
    mine[1] = __shfl_sync(kAll, thread, 3, 8);
    mine[2] = __shfl_xor_sync(kAll, thread, 1);
    mine[3] = __shfl_down_sync(kAll, thread, 3);
    mine[4] = __shfl_up_sync(kAll, thread, 3, 16);
    mine[5] = static_cast<int>(__ballot_sync(kAll, lane % 3 == 0));
    mine[6] = __any_sync(kAll, thread == 40) * 2 + __all_sync(kAll, thread < 32);
    mine[7] = static_cast<int>(__reduce_max_sync(kAll, thread ^ 21));
    mine[8] = static_cast<int>(__shfl_sync(kAll, 1ll << (30 + lane), 11) >> 32);
    mine[9] = static_cast<int>(__shfl_xor_sync(kAll, thread + 0.5, 2) * 2);
    if (lane < 16) {
        const unsigned low = 0xffffu;
        int sum = 0;
        for (int i = 0; i < 3; ++i) sum += __shfl_xor_sync(low, thread, 1 << i);
        mine[10] = sum;
        mine[11] = static_cast<int>(__ballot_sync(low, lane & 1));
    } else {
        const unsigned high = 0xffff0000u;
        int sum = 0;
        for (int i = 0; i < 7; ++i) sum += __shfl_sync(high, thread, 16 + i);
        mine[10] = sum;
        mine[11] = static_cast<int>(__reduce_max_sync(high, thread)) + __all_sync(high, lane > 15);
        __syncwarp(high);
    }
    __syncwarp();
}

__global__ void block_functions_kernel(int* out) {
    const int thread = threadIdx.x;
    const int predicates[3] = {thread % 3 == 1, 1, 0};
    for (int p = 0; p < 3; ++p) {
        out[thread * 9 + p * 3] = __syncthreads_count(predicates[p]);
        out[thread * 9 + p * 3 + 1] = __syncthreads_and(predicates[p]) != 0;
        out[thread * 9 + p * 3 + 2] = __syncthreads_or(predicates[p]) != 0;
    }
}

__global__ void arithmetic_kernel(double* out) {
    double* o = out;
    *o++ = __clz(1) + __clz(0) * 100;
    *o++ = __clzll(1ll << 40);
    *o++ = __popc(0xf0f0u);
    *o++ = __ffs(8) + __ffs(0);
    *o++ = __float_as_int(1.0f);
    *o++ = __int_as_float(0x40000000);
    *o++ = __uint_as_float(__float_as_uint(-3.5f));
    *o++ = __longlong_as_double(__double_as_longlong(2.25) + (1ll << 52));
    *o++ = max(NAN, 2.0f) + min(3.0f, NAN);
    *o++ = max(2, -3) + min(2u, 3u);
    *o++ = static_cast<double>(max(int64_t(1) << 40, int64_t(2)));
    *o++ = fma(2.0, 3.0, 4.0) + fmaf(2.0f, 3.0f, 0.5f);
    *o++ = sqrt(16.0f) + sqrtf(9.0f) + fabs(-2.0f) + fabsf(-1.0f);
    *o++ = make_float2(1, 2).y + make_float4(1, 2, 3, 4).w + make_double2(5, 6).x;
    int maximum = 3;
    *o++ = atomicMax(&maximum, 7) * 10 + maximum;
    *o++ = atomicAdd(&maximum, 2) * 10 + maximum;
}

__global__ void indices_kernel(int* visits) {
    const int64_t block = blockIdx.x + int64_t(gridDim.x) * (blockIdx.y + int64_t(gridDim.y) * blockIdx.z);
    const int thread = threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z);
    const int64_t before = block * blockDim.x * blockDim.y * blockDim.z;
    __syncthreads();  // the indices are restored by the switches
    const int again = threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z);
    visits[before + thread] += again == thread ? 1 : 100;
}

__global__ void deep_stack_kernel(int* out) {
    volatile int numbers[8192];
    for (int i = 0; i < 8192; ++i) numbers[i] = i + static_cast<int>(threadIdx.x);
    __syncthreads();
    int sum = 0;
    for (int i = 0; i < 8192; i += 1024) sum += numbers[i];
    out[threadIdx.x] = sum;
}

__global__ void tickets_kernel(int* out, int* counter) {
    const int place = blockIdx.x * blockDim.x + threadIdx.x;
    out[place * 2] = atomicAdd(counter, 1);
    __syncthreads();
    out[place * 2 + 1] = atomicAdd(counter, 1);
}

}  // namespace

template <typename T>
Error row_argmax(const T* x, int rows, int n, T* values, int* indices) {
    return SF_LAUNCH((row_argmax_kernel<T, 128>), rows, 128, 0, nullptr, x, n, values, indices);
}
template Error row_argmax(const float*, int, int, float*, int*);
template Error row_argmax(const double*, int, int, double*, int*);

template <typename T>
Error row_sum(const T* x, int rows, int n, T* sums, int threads) {
    return SF_LAUNCH((row_sum_kernel<T>), rows, threads, threads * sizeof(T), nullptr, x, n, sums);
}
template Error row_sum(const float*, int, int, float*, int);
template Error row_sum(const double*, int, int, double*, int);

template <typename T>
Error transpose(const T* x, int rows, int columns, T* out) {
    const dim3 grid((columns + 31) / 32, (rows + 31) / 32);
    return SF_LAUNCH((transpose_kernel<T>), grid, dim3(32, 4), 0, nullptr, x, rows, columns, out);
}
template Error transpose(const float*, int, int, float*);
template Error transpose(const double*, int, int, double*);

Error warp_functions(int* out) { return SF_LAUNCH(warp_functions_kernel, 1, 64, 0, nullptr, out); }
Error block_functions(int* out) { return SF_LAUNCH(block_functions_kernel, 1, 48, 0, nullptr, out); }
Error arithmetic(double* out) { return SF_LAUNCH(arithmetic_kernel, 1, 1, 0, nullptr, out); }
Error indices(int* visits, int gx, int gy, int gz, int bx, int by, int bz) {
    return SF_LAUNCH(indices_kernel, dim3(gx, gy, gz), dim3(bx, by, bz), 0, nullptr, visits);
}
Error deep_stack(int* out, int threads) { return SF_LAUNCH(deep_stack_kernel, 1, threads, 0, nullptr, out); }
Error tickets(int* out, int blocks, int threads) {
    int counter = 0;
    return SF_LAUNCH(tickets_kernel, blocks, threads, 0, nullptr, out, &counter);
}

}  // namespace emulation_tests
