// The patches family on a CUDA device: the problems of patches.hpp with all pointers in device memory.
//
// Nothing here allocates, synchronises or reads back: work is queued on the stream, and can be captured in a graph. The
// functions return null, or why the work could not be queued. An axis of an image or a patch has at most 2^30 pixels;
// products of them may be larger.
#pragma once

#include "sparsefast/cuda_queue.hpp"
#include "sparsefast/patches.hpp"

namespace sparsefast {

// The tiles of which a FoldProblem with corners has lists.
constexpr int64_t kCudaFoldTileHeight = 16, kCudaFoldTileWidth = 16;

const char* cuda_unfold(const UnfoldProblem& problem, CudaQueue queue);
const char* cuda_fold(const FoldProblem& problem, CudaQueue queue);

}  // namespace sparsefast
