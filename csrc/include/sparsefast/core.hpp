// Types shared by every family of the native core. Nothing here knows Python or PyTorch.
#pragma once

#include <cstdint>

namespace sparsefast {

// The element type of floating arrays. The numbers are part of the binding's interface.
enum class DType : int { float32 = 0, float64 = 1 };

// The width of index outputs: int32 for NumPy, int64 through PyTorch.
enum class IndexType : int { int32 = 0, int64 = 1 };

// Alignment of every packed layout and workspace, in bytes: a cache line, and the widest vector.
constexpr int64_t kAlignment = 64;

// A strided matrix of an element type known to the caller; strides are in elements and may be zero or negative.
struct Matrix {
    const void* data;
    int64_t rows;
    int64_t cols;
    int64_t row_stride;
    int64_t col_stride;
};

}  // namespace sparsefast
