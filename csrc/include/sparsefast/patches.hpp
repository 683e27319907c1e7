// Patches of images: unfold copies them out, fold sums them up again, weighted; each is the other's adjoint.
//
//     unfold   patch_l(c, i, j) = image(c, y_l + i, x_l + j), 0 outside of the image
//     fold     out(c, y, x) = s(y, x) sum over l of w(y - y_l, x - x_l) f_l patch_l(c, y - y_l, x - x_l)
//
// with a window w, a confidence f for each patch, and s the inverse of the sum of w f, or 1. Sources: im2col and col2im
// of convolution; the weighted average of overlapping patches is that of Dabov et al. 2007 (BM3D), equation 12.
//
// The functions take pointers and sizes, never allocate and never throw; the caller checks shapes. Every element of an
// output is summed in one order, whatever the threads and the batch.
#pragma once

#include "sparsefast/core.hpp"

namespace sparsefast {

// The numbers that are part of the binding's interface.
enum class ElementType : int { uint8 = 0, float16 = 1, bfloat16 = 2, float32 = 3, float64 = 4 };

// Patch i of `count` starts at min(i * stride, last), of pixels 0 to size - 1.
struct PatchAxis {
    int64_t size, patch, stride, count, last;
};
struct PatchGrid {
    PatchAxis y, x;
};

// (batch, channels, height, width) of any strides, in elements; the grid has height and width.
struct Images {
    void* data;
    int64_t batch, channels, batch_stride, channel_stride, y_stride, x_stride;
};

// Patches that lie on no grid: their first row and column, (batch, n_patches, 2); any values. Of the grid only the
// sizes count then. data is null for patches on the grid; batch_stride, in elements, is 0 where all images have the
// same.
struct Corners {
    const int64_t* data;
    int64_t n_patches, batch_stride;
};

struct UnfoldProblem {
    int itemsize;  // 1, 2, 4 or 8: elements are copied as they are
    bool rows;     // patches (batch, n_patches, channels * ph * pw), else (batch, channels * ph * pw, n_patches); dense
    PatchGrid grid;
    Corners corners;
    Images images;
    void* patches;
};

// Of patches at corners: those that touch a tile of the output, in increasing order, are patches[starts[t]] to
// patches[starts[t + 1] - 1], for tile t = (image, row of tiles, column of tiles).
struct Tiles {
    int64_t height, width;
    const int64_t* starts;
    const int64_t* patches;
};

// Window, confidence and inverse are double where the patches are, else float, in which sums run.
struct FoldProblem {
    ElementType type;
    bool rows;
    bool normalize;
    PatchGrid grid;
    Corners corners;
    Tiles tiles;
    int64_t batch, channels;
    const void* patches;     // dense, as above
    const void* window;      // (ph, pw), or null: ones
    const void* confidence;  // (batch, n_patches), or null: ones
    const void* inverse;     // (height, width): s; or null: computed where `normalize` says so, else 1
    void* out;               // (batch, channels, height, width), dense
};

// The tasks that the work falls into, each of about the same size, and a count of the bytes that one moves, by which
// callers choose threads and split long calls.
int64_t unfold_tasks(const UnfoldProblem& problem);
double unfold_bytes_a_task(const UnfoldProblem& problem);
void unfold(const UnfoldProblem& problem, int64_t begin, int64_t end, int n_threads);

int64_t fold_tasks(const FoldProblem& problem);
double fold_bytes_a_task(const FoldProblem& problem);
int64_t fold_workspace_bytes(const FoldProblem& problem, int n_threads);
void fold(const FoldProblem& problem, int64_t begin, int64_t end, void* workspace, int n_threads);

}  // namespace sparsefast
