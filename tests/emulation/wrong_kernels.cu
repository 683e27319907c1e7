// Kernels with a fault, and those that use shared memory before it is written.
#include "cuda/async_copy.cuh"
#include "cuda/platform.cuh"
#include "tests/emulation/kernels.hpp"

namespace emulation_tests {
namespace {

constexpr unsigned kAll = 0xffffffffu;
constexpr int kMost = 128;

template <bool Barrier>
__global__ void rotate_kernel(const float* x, float* out) {
    __shared__ float s[kMost];
    const int thread = threadIdx.x, n = blockDim.x;
    s[thread] = x[thread];
    if constexpr (Barrier) __syncthreads();
    out[thread] = s[(thread + 1) % n];
}

template <bool Barrier>
__global__ void shift_in_place_kernel(const float* x, float* out) {
    SF_DYNAMIC_SHARED(float, s);
    const int thread = threadIdx.x, last = blockDim.x - 1;
    s[thread] = x[thread];
    __syncthreads();
    const float next = s[thread == last ? last : thread + 1];
    if constexpr (Barrier) __syncthreads();
    s[thread] = next;
    out[thread] = s[thread];
}

template <bool Barrier>
__global__ void pass_in_warp_kernel(const float* x, float* out) {
    __shared__ float s[32];
    const int lane = threadIdx.x;
    s[lane] = x[lane];
    if constexpr (Barrier) __syncwarp();
    out[lane] = s[lane ^ 1];
}

template <typename T, int N>
__global__ void unwritten_kernel(T* out) {
    __shared__ T of_template[N];
    __shared__ float2 fixed[3];
    SF_DYNAMIC_SHARED(T, dynamic);
    if (blockIdx.x == 0) {
        of_template[threadIdx.x] = dynamic[threadIdx.x] = 1;
        fixed[threadIdx.x % 3] = make_float2(1, 1);
    }
    __syncthreads();
    T* mine = out + (blockIdx.x * blockDim.x + threadIdx.x) * 3;
    mine[0] = of_template[threadIdx.x];
    mine[1] = fixed[threadIdx.x % 3].y;
    mine[2] = dynamic[threadIdx.x];
}

__global__ void async_copies_kernel(const float* x, float* out, Copies how) {
    SF_DYNAMIC_SHARED(float, s);
    __shared__ float4 tail[32];
    const int thread = threadIdx.x;
    const int off = how == Copies::misaligned ? 1 : 0;
    float* to = how == Copies::not_shared ? out : s;
    sparsefast::copy_async<16>(to + thread * 4, x + thread * 4 + off);
    sparsefast::copy_commit();
    sparsefast::copy_async<8>(&tail[thread].x, x + thread * 2);
    sparsefast::copy_async<4>(&tail[thread].z, x + thread);
    if (how != Copies::no_commit) sparsefast::copy_commit();
    if (how == Copies::one_left)
        sparsefast::copy_wait<1>();
    else if (how != Copies::no_wait)
        sparsefast::copy_wait<0>();
    __syncthreads();
    for (int i = 0; i < 4; ++i) out[thread * 8 + i] = s[(31 - thread) * 4 + i];
    out[thread * 8 + 4] = tail[31 - thread].x;
    out[thread * 8 + 5] = tail[31 - thread].y;
    out[thread * 8 + 6] = tail[31 - thread].z;
    out[thread * 8 + 7] = 0;
}

template <int N>
__global__ void wrong_kernel(Wrong what) {
    SF_DYNAMIC_SHARED(int, s);
    const int thread = threadIdx.x;
    switch (what) {
        case Wrong::barrier_of_some:
            if (thread < N) __syncthreads();
            break;
        case Wrong::barriers_of_two_lines:
            if (thread < N)
                __syncthreads();
            else
                __syncthreads();
            break;
        case Wrong::lanes_that_never_come:
            if (thread % 32 != 3) s[thread] = __shfl_xor_sync(kAll, thread, 1);
            __syncthreads();
            break;
        case Wrong::lane_that_ended:
            if (thread == 40) return;
            s[thread] = static_cast<int>(__ballot_sync(kAll, thread));
            break;
        case Wrong::lanes_that_are_not: s[thread] = __any_sync(kAll, thread); break;
        case Wrong::not_in_own_mask: s[thread] = __shfl_sync(0x0fffffffu, thread, 0); break;
        case Wrong::two_operations:
            if (thread % 2)
                s[thread] = __any_sync(kAll, thread);
            else
                s[thread] = __all_sync(kAll, thread);
            break;
        case Wrong::throws:
            if (thread == N) throw 1;
            break;
        case Wrong::past_shared_memory: s[blockDim.x + (thread == N)] = thread; break;
    }
}

__global__ void nothing_kernel(int) {}

}  // namespace

Error rotate(const float* x, float* out, int n, bool barrier) {
    if (barrier) return SF_LAUNCH(rotate_kernel<true>, 1, n, 0, nullptr, x, out);
    return SF_LAUNCH(rotate_kernel<false>, 1, n, 0, nullptr, x, out);
}
Error shift_in_place(const float* x, float* out, int n, bool barrier) {
    if (barrier) return SF_LAUNCH(shift_in_place_kernel<true>, 1, n, n * sizeof(float), nullptr, x, out);
    return SF_LAUNCH(shift_in_place_kernel<false>, 1, n, n * sizeof(float), nullptr, x, out);
}
Error pass_in_warp(const float* x, float* out, bool barrier) {
    if (barrier) return SF_LAUNCH(pass_in_warp_kernel<true>, 1, 32, 0, nullptr, x, out);
    return SF_LAUNCH(pass_in_warp_kernel<false>, 1, 32, 0, nullptr, x, out);
}
Error unwritten(float* out, int blocks) {
    return SF_LAUNCH((unwritten_kernel<float, 8>), blocks, 8, 8 * sizeof(float), nullptr, out);
}
Error async_copies(const float* x, float* out, Copies how) {
    return SF_LAUNCH(async_copies_kernel, 1, 32, 128 * sizeof(float), nullptr, x, out, how);
}
Error wrong(Wrong what) {
    const int threads = what == Wrong::lanes_that_are_not ? 48 : 64;
    return SF_LAUNCH((wrong_kernel<20>), 2, threads, threads * sizeof(int), nullptr, what);
}
Error many_threads(int x, int y, int z, int64_t grid_x, int grid_y, int64_t shared_bytes) {
    const dim3 block(x, y, z);
    if (grid_y == 1) return SF_LAUNCH(nothing_kernel, grid_x, block, shared_bytes, nullptr, 0);
    return SF_LAUNCH(nothing_kernel, dim3(1, grid_y), block, shared_bytes, nullptr, 0);
}

}  // namespace emulation_tests
