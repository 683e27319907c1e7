// The threads that work on one signal: a warp, or a whole block. What they gather is the same in every thread of a
// warp, to the bit, and does not depend on when threads arrive.
#pragma once

#include "cuda/platform.cuh"

namespace sparsefast {
namespace {

constexpr int kBlock = 256, kWarp = 32;
constexpr unsigned kAllLanes = 0xffffffffu;

// The largest key above zero seen so far, of equal ones that of the lowest index, with the number that it was made of.
template <typename T>
struct Best {
    T key = 0, value = 0;
    int index = 0x7fffffff;

    __device__ void offer(T other_key, T other_value, int other_index) {
        if (other_key > key || (other_key == key && other_key > 0 && other_index < index)) {
            key = other_key;
            value = other_value;
            index = other_index;
        }
    }
    __device__ bool found() const { return key > 0; }
};

template <typename T>
__device__ inline T warp_sum(T v) {
    for (int o = kWarp / 2; o; o >>= 1) v += __shfl_xor_sync(kAllLanes, v, o);
    return v;
}
template <typename T>
__device__ inline T warp_max(T v) {
    for (int o = kWarp / 2; o; o >>= 1) {
        const T other = __shfl_xor_sync(kAllLanes, v, o);
        v = other > v ? other : v;
    }
    return v;
}
template <typename T>
__device__ inline Best<T> warp_best(Best<T> b) {
    for (int o = kWarp / 2; o; o >>= 1) {
        const T key = __shfl_xor_sync(kAllLanes, b.key, o), value = __shfl_xor_sync(kAllLanes, b.value, o);
        b.offer(key, value, __shfl_xor_sync(kAllLanes, b.index, o));
    }
    return b;
}

template <typename T, int threads>
class Team;

template <typename T>
class Team<T, kWarp> {
   public:
    static constexpr int size = kWarp, count = kBlock / kWarp;
    __device__ int rank() const { return threadIdx.x % kWarp; }
    __device__ int index() const { return threadIdx.x / kWarp; }
    __device__ void sync() const { __syncwarp(kAllLanes); }
    template <typename S>
    __device__ S sum(S v) const {
        return warp_sum(v);
    }

    // The best of all, known to every thread; and whether any is true.
    __device__ bool gather(Best<T>& best, bool any) const {
        best = warp_best(best);
        return __any_sync(kAllLanes, any);
    }
};

template <typename T>
class Team<T, kBlock> {
    static constexpr int kWarps = kBlock / kWarp;

   public:
    static constexpr int size = kBlock, count = 1;
    __device__ int rank() const { return threadIdx.x; }
    __device__ int index() const { return 0; }
    __device__ void sync() const { __syncthreads(); }

    // The same, with one barrier: another must come before the next call.
    __device__ bool gather(Best<T>& best, bool any) const {
        __shared__ T keys[kWarps], values[kWarps];
        __shared__ int indices[kWarps];
        best = warp_best(best);
        if (threadIdx.x % kWarp == 0) {
            const int w = threadIdx.x / kWarp;
            keys[w] = best.key, values[w] = best.value, indices[w] = best.index;
        }
        const bool found = __syncthreads_or(any);
        for (int i = 0; i < kWarps; ++i) best.offer(keys[i], values[i], indices[i]);
        return found;
    }
};

}  // namespace
}  // namespace sparsefast
