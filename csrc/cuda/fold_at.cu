// Weighted overlap-add of patches at corners of their own: the sums of fold.cu, with lists of the patches that touch
// each tile of the output in place of a grid.
//
// A block has a tile of 16 by 16 pixels, and goes through its list from the first patch to the last, kBlock at a time,
// whose corners it brings to shared memory. A warp has 8 by 4 pixels, and finds 32 patches at a time which touch them.
// What bounds it is the reading of the patches; in columns each element is a sector of memory of its own.
#include "cuda/patches/fold.cuh"

namespace sparsefast {
namespace {

constexpr int kTileHeight = static_cast<int>(kCudaFoldTileHeight), kTileWidth = static_cast<int>(kCudaFoldTileWidth);
constexpr int kCellWidth = 8, kCellHeight = 4;
static_assert(kTileHeight * kTileWidth == kBlock && kCellWidth * kCellHeight == kWarp, "a thread a pixel");

struct ListedPatch {
    int64_t index;  // among the patches of all images
    int64_t at;     // of its first element
    Place place;
};

// Whether [start, start + extent) and [pixel, pixel + size) have a pixel in common.
__device__ __forceinline__ bool reaches(int start, int extent, unsigned pixel, int size) {
    return pixel + static_cast<unsigned>(size - 1) - static_cast<unsigned>(start) <
           static_cast<unsigned>(extent) + static_cast<unsigned>(size - 1);
}

template <typename E, int N>
__global__ void __launch_bounds__(kBlock, 4) fold_at_kernel(FoldArguments<E> a, Tiles tiles) {
    using Sum = typename E::Sum;
    using Bits = typename E::Bits;
    constexpr int kAhead = N == 1 ? 4 : 2;  // patches that are loaded at once
    SF_DYNAMIC_SHARED(Sum, shared);
    __shared__ ListedPatch listed[kBlock];
    __shared__ FoldItem work;
    const Sum* const window = staged_window(a, shared);
    const Axis y = a.patches.y, x = a.patches.x;
    const bool windowed = a.window, confident = a.confidence;
    const int warp = threadIdx.x / kWarp, lane = threadIdx.x % kWarp, cells = kTileWidth / kCellWidth;
    const int row = warp / cells * kCellHeight + lane / kCellWidth;
    const int column = warp % cells * kCellWidth + lane % kCellWidth;
    for (int64_t item = blockIdx.x; item < a.items; item += gridDim.x) {
        if (threadIdx.x == 0) work = item_of(a, item, kTileHeight, kTileWidth, N);
        __syncthreads();
        const bool here = row < y.size - work.y && column < x.size - work.x;
        const unsigned top = static_cast<unsigned>(work.y) + static_cast<unsigned>(warp / cells * kCellHeight);
        const unsigned left = static_cast<unsigned>(work.x) + static_cast<unsigned>(warp % cells * kCellWidth);
        const int py = here ? work.y + row : 0, px = here ? work.x + column : 0;
        const int64_t end = tiles.starts[work.tile + 1];
        for (int channel = work.first; channel < work.end; channel += N) {
            const int channels = N == 1 ? 1 : work.end - channel;
            Pixel<E, N> pixel;
            for (int64_t from = tiles.starts[work.tile]; from < end; from += kBlock) {
                const int n = static_cast<int>(end - from < kBlock ? end - from : kBlock);
                if (static_cast<int>(threadIdx.x) < n) {
                    const int64_t patch = tiles.patches[from + threadIdx.x];
                    Place place[1];
                    a.patches.places(work.image, patch, place);
                    listed[threadIdx.x] = {work.image_patch + patch,
                                           work.image_at + patch * a.of_patch + channel * a.of_channel, place[0]};
                }
                __syncthreads();
                for (int first = 0; first < n; first += kWarp) {
                    // Each lane looks whether one of them touches the pixels of the warp.
                    bool touches = first + lane < n;
                    if (touches) {
                        const Place place = listed[first + lane].place;
                        touches =
                            reaches(place.y, y.patch, top, kCellHeight) && reaches(place.x, x.patch, left, kCellWidth);
                    }
                    unsigned left_over = __ballot_sync(0xffffffffu, touches);
                    while (left_over) {
                        Bits elements[kAhead][N] = {};
                        Sum of_window[kAhead] = {}, of_patch[kAhead] = {};
#pragma unroll
                        for (int u = 0; u < kAhead; ++u) {
                            if (!left_over) break;
                            const ListedPatch& patch = listed[first + __ffs(static_cast<int>(left_over)) - 1];
                            left_over &= left_over - 1;
                            const unsigned dy = static_cast<unsigned>(py) - static_cast<unsigned>(patch.place.y);
                            const unsigned dx = static_cast<unsigned>(px) - static_cast<unsigned>(patch.place.x);
                            if (!here || dy >= static_cast<unsigned>(y.patch) || dx >= static_cast<unsigned>(x.patch))
                                continue;
                            const int64_t element = static_cast<int64_t>(dy) * x.patch + dx;
                            load_channels(Address<Bits>(a.data) + (patch.at + element * a.of_pixel), a.of_channel,
                                          channels, elements[u]);
                            of_window[u] = windowed ? window[element] : Sum(1);
                            of_patch[u] = confident ? load(a.confidence + patch.index) : Sum(1);
                        }
                        pixel.add(elements, of_window, of_patch);
                    }
                }
                __syncthreads();
            }
            if (here) pixel.write(a, work, channel, py, px);
        }
        __syncthreads();
    }
}

template <typename E, int N>
const char* launch_fold_at(FoldArguments<E> a, const Tiles& tiles, cudaStream_t stream) {
    a.divide_work(kTileHeight, kTileWidth, N);
    return SF_LAUNCH((fold_at_kernel<E, N>), blocks_for(a.items), kBlock, a.shared_bytes(), stream, a, tiles);
}

}  // namespace

const char* cuda_fold_at(const FoldProblem& p, void* on) {
    if (p.tiles.height != kTileHeight || p.tiles.width != kTileWidth) return "tiles must be of 16 by 16 pixels";
    const auto stream = static_cast<cudaStream_t>(on);
    return with_element(p.type, [&](auto element) {
        using E = decltype(element);
        FoldArguments<E> a(p);
        if (const char* error = a.place(p)) return error;
        return p.channels == 1 ? launch_fold_at<E, 1>(a, p.tiles, stream)
                               : launch_fold_at<E, kChannels>(a, p.tiles, stream);
    });
}

}  // namespace sparsefast
