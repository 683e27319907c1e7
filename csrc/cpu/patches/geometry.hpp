// How the work of unfold and fold falls into tasks: the same for every instruction set, since it is part of no result.
#pragma once

#include "sparsefast/patches.hpp"

namespace sparsefast {
namespace {

inline int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
inline int64_t between(int64_t low, int64_t x, int64_t high) { return x < low ? low : x < high ? x : high; }

inline int64_t patch_pixels(const PatchGrid& g) { return g.y.patch * g.x.patch; }

// Where more than this moves, what is written is not found in the cache by whoever reads it, in all likelihood.
constexpr int64_t kStreamedBytes = int64_t(32) << 20;

// The output of a task of unfold: far more than a task costs, and less than the second-level cache where the images,
// which are read again for each pixel of a patch, are to stay.
constexpr int64_t kUnfoldBytes = int64_t(1) << 19;

// Rows of an image in phases, see phases.hpp: as many as stay in the first-level cache, nearly.
constexpr int64_t kPhaseBytes = int64_t(1) << 16, kPhaseStride = 8;

// Tasks are (image, channel, part) for columns and (image, part) for rows; a part is some rows of patches of the grid,
// or some of the patches at corners.
struct UnfoldTasks {
    int64_t items, items_a_part, parts, channels;
    bool by_phases;  // columns of a stride that can be had from rows in phases, of elements that vectors pick

    explicit UnfoldTasks(const UnfoldProblem& p) {
        const int64_t patches_an_item = p.corners.data ? 1 : p.grid.x.count;
        items = p.corners.data ? p.corners.n_patches : p.grid.y.count;
        channels = p.rows ? 1 : p.images.channels;
        const int64_t bytes =
            patches_an_item * patch_pixels(p.grid) * (p.rows ? p.images.channels : 1) * int64_t(p.itemsize);
        items_a_part = between(1, kUnfoldBytes / (bytes > 0 ? bytes : 1), items > 0 ? items : 1);
        const PatchAxis &y = p.grid.y, &x = p.grid.x;
        const bool strided = x.stride >= 2 && x.stride <= kPhaseStride && x.stride < x.size;
        by_phases = strided && !p.corners.data && !p.rows && p.itemsize >= 4 && p.images.x_stride == 1;
        if (by_phases) {
            const int64_t rows = kPhaseBytes / (p.itemsize * ceil_div(x.size, x.stride) * x.stride);
            const int64_t items_of_rows = rows >= y.patch ? (rows - y.patch) / y.stride + 1 : 0;
            by_phases = items_of_rows > 0;
            if (by_phases && items_of_rows < items_a_part) items_a_part = items_of_rows;
        }
        parts = ceil_div(items, items_a_part);
    }
    int64_t count(const UnfoldProblem& p) const { return p.images.batch * channels * parts; }
};

// A tile of sums that stays in the first-level cache, or just behind it, while patches stream by.
constexpr int64_t kFoldBytes = int64_t(1) << 18;
constexpr int64_t kFoldWidth = 512, kFoldRows = 16, kFoldTasks = 16;
constexpr int64_t kFoldChannels = 8;

// Tasks are (image, group of channels, tile of the image).
struct FoldTasks {
    int64_t height, width, rows, cols, group, groups;
    int64_t sum_size;  // bytes of a number in which sums run

    explicit FoldTasks(const FoldProblem& p) {
        sum_size = p.type == ElementType::float64 ? 8 : 4;
        const bool sums_weights = p.normalize && !p.inverse;
        // Planes of patches belong to a channel each; where weights are summed, once for all that a task has.
        group = p.rows || sums_weights ? between(1, p.channels, kFoldChannels) : 1;
        const int64_t h = p.grid.y.size, w = p.grid.x.size;
        if (p.corners.data) {
            height = p.tiles.height;
            width = p.tiles.width;
        } else {
            // Whole strides, so that each tile begins with the same phase.
            const int64_t stride = p.rows ? 1 : p.grid.x.stride;
            width = between(1, w, (stride < kFoldWidth ? kFoldWidth / stride : 1) * stride);
            const int64_t a_row = width * sum_size * (p.rows ? group : 1);
            height = between(1, kFoldBytes / a_row, h);
            // A single picture should keep some threads busy.
            const int64_t others = p.batch * ceil_div(p.channels, group) * ceil_div(w, width);
            while (height >= 2 * kFoldRows && others * ceil_div(h, height) < kFoldTasks) height /= 2;
        }
        rows = ceil_div(h, height);
        cols = ceil_div(w, width);
        groups = ceil_div(p.channels, group);
    }
    int64_t tiles() const { return rows * cols; }
    int64_t count(const FoldProblem& p) const { return p.batch * groups * tiles(); }
};

}  // namespace
}  // namespace sparsefast
