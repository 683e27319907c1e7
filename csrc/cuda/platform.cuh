// The one header of every CUDA source: the CUDA runtime under nvcc, its emulation under a host compiler.
//
// Beside what both have under CUDA's own names: SF_LAUNCH, SF_LAUNCH_COOPERATIVE with resident_blocks and grid_barrier,
// SF_DYNAMIC_SHARED, DeviceGuard and shared_memory_limit.
#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>

#ifdef __CUDACC__
#include "cuda/runtime.cuh"
#else
#include "cuda/emulation/emulation.hpp"
#endif

namespace sparsefast {

// Sizes of a grid or block from an integer of any width: one too large for CUDA's makes a launch fail, not shrink.
template <typename T>
inline dim3 launch_extent(const T& size) {
    if constexpr (std::is_integral<T>::value) {
        const int64_t n = static_cast<int64_t>(size);
        return dim3(n < 0 || n > 0x7fffffff ? 0xffffffffu : static_cast<unsigned>(n));
    } else {
        return size;
    }
}

}  // namespace sparsefast

// const char* SF_LAUNCH((kernel<T, 128>), grid, block, shared_bytes, stream, args...): null, or why it failed. The
// stream comes first in __VA_ARGS__. Nothing is launched on an empty grid; the text lives until the thread's next
// launch.
#define SF_LAUNCH(kernel, grid, block, shared_bytes, ...) \
    SF_LAUNCH_AS(false, kernel, grid, block, shared_bytes, __VA_ARGS__)
// The same for a kernel with a grid_barrier(), which all threads of all blocks must reach: at most as many blocks as
// resident_blocks() says.
#define SF_LAUNCH_COOPERATIVE(kernel, grid, block, shared_bytes, ...) \
    SF_LAUNCH_AS(true, kernel, grid, block, shared_bytes, __VA_ARGS__)
#define SF_LAUNCH_AS(cooperative, kernel, grid, block, shared_bytes, ...)                                         \
    ::sparsefast::launch<cooperative>(#kernel, kernel, ::sparsefast::launch_extent(grid),                         \
                                      ::sparsefast::launch_extent(block), static_cast<std::size_t>(shared_bytes), \
                                      __VA_ARGS__)
