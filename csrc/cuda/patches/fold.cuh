// What the two kernels that fold have in common: their arguments, the sums of a pixel, and what is made of them.
//
// A thread sums the pixels that it writes itself, over patches in increasing order: no atomic operations, one order
// whatever the grid. It takes several channels at a time, which share all that is known of patch and pixel.
#pragma once

#include "cuda/patches/elements.cuh"
#include "cuda/patches/place.cuh"
#include "sparsefast/patches_cuda.hpp"

namespace sparsefast {
namespace {

constexpr int kChannels = 4;
// A larger window than this is read through the first-level cache instead.
constexpr int64_t kWindowBytes = 16 << 10;

template <typename E>
struct FoldArguments {
    using Bits = typename E::Bits;
    using Sum = typename E::Sum;
    Patches patches;
    const Bits* data;
    const Sum *window, *confidence, *inverse;
    Bits* out;
    int64_t batch, channels;
    int64_t of_image, of_patch, of_pixel, of_channel;  // how far they lie apart in `data`
    bool normalize, staged;                            // staged: the window is brought to shared memory
    int64_t items, tiles_y, tiles_x, parts;            // an item is a tile of an image, and one part of its channels

    FoldArguments() = default;
    explicit FoldArguments(const FoldProblem& p)
        : data(static_cast<const Bits*>(p.patches)),
          window(static_cast<const Sum*>(p.window)),
          confidence(static_cast<const Sum*>(p.confidence)),
          inverse(static_cast<const Sum*>(p.inverse)),
          out(static_cast<Bits*>(p.out)),
          batch(p.batch),
          channels(p.channels),
          normalize(p.normalize) {}

    const char* place(const FoldProblem& p) {
        const char* error = patches_of(p.grid, p.corners, &patches);
        if (channels > 1 << 30) error = "images have more than 2^30 channels";
        const int64_t pixels = p.grid.y.patch * p.grid.x.patch;
        of_image = patches.count * channels * pixels;
        of_patch = p.rows ? channels * pixels : 1;
        of_pixel = p.rows ? 1 : patches.count;
        of_channel = pixels * of_pixel;
        staged = window && pixels * static_cast<int64_t>(sizeof(Sum)) <= kWindowBytes;
        return error;
    }
    int64_t shared_bytes() const {
        return staged ? static_cast<int64_t>(sizeof(Sum)) * patches.y.patch * patches.x.patch : 0;
    }
    // Of images in tiles of this size, with channels `at_once` at a time.
    void divide_work(int64_t height, int64_t width, int64_t at_once) {
        tiles_y = divide_up(patches.y.size, height);
        tiles_x = divide_up(patches.x.size, width);
        const int64_t whole = batch * tiles_y * tiles_x, steps = divide_up(channels, at_once);
        const int64_t wanted = divide_up(kEnoughBlocks, whole);
        parts = wanted < steps ? wanted : steps;
        items = whole * parts;
    }
};

// The item of a block: channels [first, end) of a tile of an image.
struct FoldItem {
    int64_t image, tile;
    int64_t image_at, image_out, image_patch;  // the first elements of the image in patches and out; its first patch
    int y, x;                                  // the first pixel of the tile
    int first, end;
};

// Known to one thread, which does the divisions; the others read it after the next barrier.
template <typename E>
__device__ FoldItem item_of(const FoldArguments<E>& a, int64_t item, int height, int width, int at_once) {
    const Division of_column = divide(item, a.tiles_x);
    const Division of_row = divide(of_column.quotient, a.tiles_y);
    const Division of_part = divide(of_row.quotient, a.parts);
    const int64_t steps = (a.channels + at_once - 1) / at_once;
    const Division first = divide(steps * of_part.remainder, a.parts);
    const Division end = divide(steps * (of_part.remainder + 1), a.parts);
    FoldItem work;
    work.image = of_part.quotient;
    work.tile = (work.image * a.tiles_y + of_row.remainder) * a.tiles_x + of_column.remainder;
    work.image_patch = work.image * a.patches.count;
    work.image_at = work.image * a.of_image;
    work.image_out = work.image * a.channels * a.patches.y.size * a.patches.x.size;
    work.y = static_cast<int>(of_row.remainder * height);
    work.x = static_cast<int>(of_column.remainder * width);
    work.first = static_cast<int>(first.quotient * at_once);
    work.end = static_cast<int>(end.quotient * at_once < a.channels ? end.quotient * at_once : a.channels);
    return work;
}

// The window where it is read fastest, from the block's next barrier on.
template <typename E>
__device__ const typename E::Sum* staged_window(const FoldArguments<E>& a, typename E::Sum* shared) {
    if (!a.staged) return a.window;
#pragma unroll 1
    for (int i = static_cast<int>(threadIdx.x); i < a.patches.y.patch * a.patches.x.patch; i += kBlock)
        shared[i] = load(a.window + i);
    return shared;
}

// An element of a patch in each of up to N channels, the rest zeros.
template <typename T, int N>
__device__ __forceinline__ void load_channels(Address<T> from, int64_t of_channel, int channels, T (&elements)[N]) {
#pragma unroll
    for (int k = 0; k < N; ++k)
        if (N == 1 || k < channels) elements[k] = (from + k * of_channel).load();
}

// The sums of one pixel in up to N channels.
template <typename E, int N>
struct Pixel {
    using Sum = typename E::Sum;
    Sum sum[N] = {};
    Sum weights = 0;

    // U patches with both factors of what they count; those that do not are zeros. All that is loaded must be before
    // anything is computed of it, so that a thread waits once.
    template <int U>
    __device__ void add(const typename E::Bits (&elements)[U][N], const Sum (&of_window)[U], const Sum (&of_patch)[U]) {
#pragma unroll
        for (int u = 0; u < U; ++u) {
            const Sum weight = of_window[u] * of_patch[u];
#pragma unroll
            for (int k = 0; k < N; ++k) sum[k] = fma(weight, E::widen(elements[u][k]), sum[k]);
            weights += weight;
        }
    }
    __device__ void write(const FoldArguments<E>& a, const FoldItem& work, int channel, int y, int x) const {
        const int64_t pixels = static_cast<int64_t>(a.patches.y.size) * a.patches.x.size;
        const int64_t pixel = static_cast<int64_t>(y) * a.patches.x.size + x;
        typename E::Bits* to = a.out + (work.image_out + channel * pixels + pixel);
        const Sum scale = a.inverse ? load(a.inverse + pixel) : Sum(1);
#pragma unroll
        for (int k = 0; k < N; ++k) {
            if (channel + k >= work.end) break;
            Sum v = sum[k] * scale;
            if (a.normalize && !a.inverse) v = weights == 0 ? Sum(0) : sum[k] / weights;
            store_once(to + k * pixels, E::narrow(v));
        }
    }
};

// One function for each type of element: f(Float32()) and so on.
template <typename F>
const char* with_element(ElementType type, const F& f) {
    switch (type) {
        case ElementType::uint8: return f(UInt8());
        case ElementType::float16: return f(Float16());
        case ElementType::bfloat16: return f(BFloat16());
        case ElementType::float32: return f(Float32());
        case ElementType::float64: return f(Float64());
    }
    return "elements of an unknown type";
}

}  // namespace

// Patches at corners of their own, in csrc/cuda/fold_at.cu.
const char* cuda_fold_at(const FoldProblem& problem, void* stream);

}  // namespace sparsefast
