// Where patches lie, on the device. Pixels of an axis are counted in 32 bits, which divide and compare fast; all that
// is a product of two axes in 64.
#pragma once

#include "cuda/platform.cuh"
#include "sparsefast/patches.hpp"

namespace sparsefast {
namespace {

constexpr int kBlock = 256, kWarp = 32;
// Blocks go on to further items from here on, by when each multiprocessor has had many.
constexpr int64_t kMostBlocks = 1 << 14;
// What keeps every multiprocessor of a large device busy: work is split finer where there are fewer blocks.
constexpr int64_t kEnoughBlocks = 1024;

__host__ __device__ inline int64_t divide_up(int64_t n, int64_t by) { return (n + by - 1) / by; }

inline int64_t blocks_for(int64_t items) { return items < kMostBlocks ? items : kMostBlocks; }

struct Division {
    int64_t quotient, remainder;
};

// Of numbers that are not negative: most fit into 32 bits, where it takes a fifth of the time.
__device__ inline Division divide(int64_t n, int64_t by) {
    if ((n | by) >> 32 == 0) {
        const unsigned a = static_cast<unsigned>(n), b = static_cast<unsigned>(by), q = a / b;
        return {q, a - q * b};
    }
    const int64_t q = n / by;
    return {q, n - q * by};
}

// PatchAxis in 32 bits. Where a stride passes the image, so does what starts there: both may be held to its size.
struct Axis {
    int size, patch, stride, count, last;

    // The first pixel of patch i.
    __device__ unsigned start(unsigned i) const {
        const unsigned regular = i * static_cast<unsigned>(stride);
        return regular < static_cast<unsigned>(last) ? regular : static_cast<unsigned>(last);
    }
};

struct Place {
    int y, x;
};

struct Patches {
    Axis y, x;
    int64_t count;
    const int64_t* corners;  // or null: on the grid
    int64_t corners_stride;

    // The first rows and columns of V patches one after the other, held to where they lie just outside of the image.
    template <int V>
    __device__ void places(int64_t image, int64_t first, Place (&place)[V]) const {
        if (corners) {
            const int64_t* const corner = corners + image * corners_stride + 2 * first;
#pragma unroll
            for (int v = 0; v < V; ++v) place[v] = {held(corner[2 * v], y), held(corner[2 * v + 1], x)};
            return;
        }
        const Division at = divide(first, x.count);
        unsigned row = static_cast<unsigned>(at.quotient), column = static_cast<unsigned>(at.remainder);
#pragma unroll
        for (int v = 0; v < V; ++v) {
            place[v] = {static_cast<int>(y.start(row)), static_cast<int>(x.start(column))};
            if (++column == static_cast<unsigned>(x.count)) column = 0, ++row;
        }
    }
    static __device__ int held(int64_t start, const Axis& axis) {
        const int64_t first = -static_cast<int64_t>(axis.patch), end = axis.size;
        return static_cast<int>(start < first ? first : start > end ? end : start);
    }
};

// Whether a pixel that is `offset` behind a start lies within `size`; exact although the sum may pass 32 bits.
__device__ __forceinline__ bool within(int start, int offset, int size) {
    return static_cast<unsigned>(start) + static_cast<unsigned>(offset) < static_cast<unsigned>(size);
}

// Null, or why not.
inline const char* narrow(const PatchAxis& from, bool at_corners, Axis* to) {
    // Sums of two and ends of loops stay within 32 bits.
    constexpr int64_t kMost = 1 << 30;
    if (from.size > kMost || from.patch > kMost || (!at_corners && from.count > kMost))
        return "an axis of images or patches has more than 2^30 pixels";
    const auto at_most_size = [&](int64_t n) { return static_cast<int>(n < 0 ? 0 : n < from.size ? n : from.size); };
    *to = {static_cast<int>(from.size), static_cast<int>(from.patch), at_most_size(from.stride),
           at_corners ? 0 : static_cast<int>(from.count), at_most_size(from.last)};
    return nullptr;
}

inline const char* patches_of(const PatchGrid& grid, const Corners& corners, Patches* patches) {
    const bool at_corners = corners.data != nullptr;
    if (const char* error = narrow(grid.y, at_corners, &patches->y)) return error;
    if (const char* error = narrow(grid.x, at_corners, &patches->x)) return error;
    patches->count = at_corners ? corners.n_patches : grid.y.count * grid.x.count;
    patches->corners = corners.data;
    patches->corners_stride = corners.batch_stride;
    return nullptr;
}

}  // namespace
}  // namespace sparsefast
