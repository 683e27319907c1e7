// Copies from global to shared memory that go on while the thread computes.
//
// copy_async<N>(to, from) starts one of N bytes (4, 8 or 16, both addresses multiples of N); copy_commit() closes the
// thread's group of those started since the last; copy_wait<M>() returns once all but its latest M groups are there,
// for this thread: others see them after the next barrier. `to` may not be touched, and `from` not be written, before.
//
// prefetch(from, bytes) asks for bytes, 16 or more and a multiple of that, in the second-level cache, from compute
// capability 9.0 on; elsewhere it does nothing.
//
// cp.async from compute capability 8.0 on; an ordinary copy below. Emulated, the bytes arrive at the wait and are ones,
// a NaN, before.
#pragma once

#include "cuda/platform.cuh"

namespace sparsefast {

#ifdef __CUDACC__

template <int N>
__device__ __forceinline__ void copy_async(void* to_shared, const void* from_global) {
    static_assert(N == 4 || N == 8 || N == 16, "cp.async copies 4, 8 or 16 bytes");
#if __CUDA_ARCH__ >= 800
    const unsigned to = static_cast<unsigned>(__cvta_generic_to_shared(to_shared));
    const std::size_t from = __cvta_generic_to_global(from_global);
    if constexpr (N == 16)  // .cg keeps what is read once out of the L1 cache, and exists for 16 bytes alone
        asm volatile("cp.async.cg.shared.global [%0], [%1], 16;\n" ::"r"(to), "l"(from) : "memory");
    else
        asm volatile("cp.async.ca.shared.global [%0], [%1], %2;\n" ::"r"(to), "l"(from), "n"(N) : "memory");
#else
    if constexpr (N == 16)
        *static_cast<uint4*>(to_shared) = *static_cast<const uint4*>(from_global);
    else if constexpr (N == 8)
        *static_cast<uint2*>(to_shared) = *static_cast<const uint2*>(from_global);
    else
        *static_cast<unsigned*>(to_shared) = *static_cast<const unsigned*>(from_global);
#endif
}

__device__ __forceinline__ void copy_commit() {
#if __CUDA_ARCH__ >= 800
    asm volatile("cp.async.commit_group;\n" ::: "memory");
#endif
}

template <int M>
__device__ __forceinline__ void copy_wait() {
#if __CUDA_ARCH__ >= 800
    asm volatile("cp.async.wait_group %0;\n" ::"n"(M) : "memory");
#endif
}

__device__ __forceinline__ void prefetch(const void* from_global, unsigned bytes) {
#if __CUDA_ARCH__ >= 900 && __CUDACC_VER_MAJOR__ >= 12  // PTX 8.0
    const std::size_t from = __cvta_generic_to_global(from_global);
    asm volatile("cp.async.bulk.prefetch.L2.global [%0], %1;\n" ::"l"(from), "r"(bytes) : "memory");
#endif
}

#else

inline void prefetch(const void*, unsigned) {}

template <int N>
inline void copy_async(void* to_shared, const void* from_global) {
    static_assert(N == 4 || N == 8 || N == 16, "cp.async copies 4, 8 or 16 bytes");
    emulation::copy_start(to_shared, from_global, N);
}

inline void copy_commit() { emulation::copy_commit(); }

template <int M>
inline void copy_wait() {
    emulation::copy_wait(M);
}

#endif

}  // namespace sparsefast
