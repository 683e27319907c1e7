// The seam of cuda/platform.cuh on a device: the CUDA runtime, and what it lacks.
#pragma once

#include <cooperative_groups.h>
#include <cuda_runtime.h>
#include <math.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>
#include <utility>

#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 800
// Compute capability 8.0 has an instruction for it.
__device__ __forceinline__ unsigned __reduce_max_sync(unsigned mask, unsigned value) {
    unsigned result = value;
    if (mask == 0xffffffffu) {
        for (int step = 16; step; step >>= 1) result = max(result, __shfl_xor_sync(mask, result, step));
    } else {
        for (unsigned left = mask; left; left &= left - 1)
            result = max(result, __shfl_sync(mask, value, __ffs(static_cast<int>(left)) - 1));
    }
    return result;
}
#endif

namespace sparsefast {

// Of the call that failed, not of whatever failed before it; taken off the runtime's record, which later launches of
// anybody would find.
inline const char* take_error(cudaError_t error) {
    if (error == cudaSuccess) return nullptr;
    cudaGetLastError();
    return cudaGetErrorString(error);
}

// More than what any block may have without asking. What a kernel was allowed once on a device it may have from then
// on: asking costs a small call more than looking it up.
inline const char* allow_shared(const void* function, std::size_t dynamic_bytes) {
    constexpr std::size_t kWithoutAsking = std::size_t(16) << 10;  // of 48, which static arrays share
    if (dynamic_bytes <= kWithoutAsking) return nullptr;
    static std::mutex mutex;
    static std::map<std::pair<const void*, int>, std::size_t> allowed;
    int device = 0;
    if (const char* error = take_error(cudaGetDevice(&device))) return error;
    const std::lock_guard<std::mutex> lock(mutex);
    std::size_t& most = allowed[{function, device}];
    if (dynamic_bytes <= most) return nullptr;
    const char* const error = take_error(
        cudaFuncSetAttribute(function, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(dynamic_bytes)));
    if (!error) most = dynamic_bytes;
    return error;
}

template <bool Cooperative, typename... P, typename... A>
const char* launch(const char*, void (*kernel)(P...), dim3 grid, dim3 block, std::size_t dynamic_bytes,
                   cudaStream_t stream, A&&... args) {
    if (grid.x == 0 || grid.y == 0 || grid.z == 0) return nullptr;
    const void* function = reinterpret_cast<const void*>(kernel);
    if (const char* error = allow_shared(function, dynamic_bytes)) return error;
    return [&](P... parameters) -> const char* {
        void* pointers[] = {const_cast<void*>(static_cast<const void*>(&parameters))..., nullptr};
        if (Cooperative)
            return take_error(cudaLaunchCooperativeKernel(function, grid, block, pointers, dynamic_bytes, stream));
        return take_error(cudaLaunchKernel(function, grid, block, pointers, dynamic_bytes, stream));
    }(static_cast<P>(args)...);
}

// How many blocks of a kernel the device, which is current, has room for at once. Null, or why it cannot launch it
// cooperatively.
template <typename... P>
const char* resident_blocks(void (*kernel)(P...), int threads, std::size_t dynamic_bytes, int device, int* blocks) {
    int cooperative = 0, multiprocessors = 0, of_each = 0;
    const void* function = reinterpret_cast<const void*>(kernel);
    if (const char* error = take_error(cudaDeviceGetAttribute(&cooperative, cudaDevAttrCooperativeLaunch, device)))
        return error;
    if (!cooperative) return "the device cannot launch a kernel cooperatively";
    if (const char* error =
            take_error(cudaDeviceGetAttribute(&multiprocessors, cudaDevAttrMultiProcessorCount, device)))
        return error;
    if (const char* error = allow_shared(function, dynamic_bytes)) return error;
    if (const char* error =
            take_error(cudaOccupancyMaxActiveBlocksPerMultiprocessor(&of_each, function, threads, dynamic_bytes)))
        return error;
    *blocks = multiprocessors * of_each;
    return *blocks > 0 ? nullptr : "a multiprocessor has no room for a block";
}

// Waits for all threads of a cooperative launch, and makes what they wrote visible.
__device__ __forceinline__ void grid_barrier() { cooperative_groups::this_grid().sync(); }

// Makes a device current, and at the end of its scope the one that was.
class DeviceGuard {
   public:
    explicit DeviceGuard(int device) {
        error_ = take_error(cudaGetDevice(&before_));
        if (error_ || device == before_) return;
        error_ = take_error(cudaSetDevice(device));
        changed_ = !error_;
    }
    ~DeviceGuard() {
        if (changed_) cudaSetDevice(before_);
    }
    DeviceGuard(const DeviceGuard&) = delete;
    DeviceGuard& operator=(const DeviceGuard&) = delete;
    const char* error() const { return error_; }

   private:
    int before_ = 0;
    bool changed_ = false;
    const char* error_ = nullptr;
};

// The bytes that a block may have, static ones included, when it asks for them; what every device has if this one does
// not say.
inline int64_t shared_memory_limit(int device) {
    constexpr int kRemembered = 64;
    static std::atomic<int> known[kRemembered];  // 0 where nobody has asked
    const bool remembered = device >= 0 && device < kRemembered;
    int bytes = remembered ? known[device].load(std::memory_order_relaxed) : 0;
    if (bytes) return bytes;
    const cudaError_t error = cudaDeviceGetAttribute(&bytes, cudaDevAttrMaxSharedMemoryPerBlockOptin, device);
    if (take_error(error)) return int64_t(48) << 10;
    if (remembered) known[device].store(bytes, std::memory_order_relaxed);
    return bytes;
}

}  // namespace sparsefast

#define SF_DYNAMIC_SHARED(T, name)                                     \
    extern __shared__ __align__(16) unsigned char sf_dynamic_shared[]; \
    T* name = reinterpret_cast<T*>(sf_dynamic_shared)
