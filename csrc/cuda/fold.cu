// Weighted overlap-add of patches on a grid:
//     out(c, y, x) = s(y, x) sum over l of w(y - y_l, x - x_l) f_l patch_l(c, y - y_l, x - x_l)
//
// patches (B, C ph pw, L), "columns", or (B, L, C ph pw), "rows"; dense
// out     (B, C, H, W), dense
//
// A block has a tile of pixels of one image, and first finds the patches that cover each row and each column of it: the
// starts of an axis increase, so they are a range. A warp takes pixels whose reads lie together. Columns: 32 of a row,
// each with its own patches, which are neighbours as the pixels are. Rows: 8 by 4, of which all go through the patches
// of any, and take what covers them: so many as 32 consecutive elements of a patch at a time. What bounds it is the
// reading of the patches, once from memory.
//
// Source: col2im of convolution, as a gather.
#include "cuda/patches/fold.cuh"

namespace sparsefast {
namespace {

struct TileShape {
    int height, width_log, cell_log;  // a cell, of one warp, is 2^cell_log pixels wide
    bool joint;                       // its lanes go through the same patches
    int regular;  // patches of a row that start at multiples of the stride: all but the last, or all
};

// Patches [first, end) cover a pixel of an axis.
struct Range {
    int first, end;
};

constexpr int kMostRanges = 256;

// Of pixel `begin + offset`, or the last one.
__device__ inline Range covering(const Axis& axis, int begin, int offset) {
    const int x = offset < axis.size - begin ? begin + offset : axis.size - 1, least = x - (axis.patch - 1);
    Range range{0, axis.count};
    if (x < axis.last) range.end = static_cast<int>(static_cast<unsigned>(x) / static_cast<unsigned>(axis.stride)) + 1;
    if (least > axis.last)
        range.first = axis.count;
    else if (least > 0)
        range.first = static_cast<int>(static_cast<unsigned>(least - 1) / static_cast<unsigned>(axis.stride)) + 1;
    return range;
}

template <typename E, int N>
__global__ void __launch_bounds__(kBlock, sizeof(typename E::Sum) == 8 ? 3 : 4)
    fold_kernel(FoldArguments<E> a, TileShape tile) {
    using Sum = typename E::Sum;
    using Bits = typename E::Bits;
    constexpr int kAhead = N == 1 ? 4 : 2;  // patches that are loaded at once
    SF_DYNAMIC_SHARED(Sum, shared);
    __shared__ Range ranges[kMostRanges];
    __shared__ FoldItem work;
    const Sum* const window = staged_window(a, shared);
    const Axis y = a.patches.y, x = a.patches.x;
    const int width = 1 << tile.width_log, lane = threadIdx.x % kWarp;
    const int cell_width = 1 << tile.cell_log, cell_height = kWarp >> tile.cell_log;
    const int cells_log = tile.width_log - tile.cell_log;  // in a row of them
    const bool windowed = a.window, confident = a.confidence;
    // From an element to that of the next patch of the row under the same pixel.
    const int64_t to_next = a.of_patch - x.stride * a.of_pixel;
    const int cells = (tile.height << tile.width_log) / kWarp;
    for (int64_t item = blockIdx.x; item < a.items; item += gridDim.x) {
        if (threadIdx.x == 0) work = item_of(a, item, tile.height, width, N);
        __syncthreads();
        for (int i = static_cast<int>(threadIdx.x); i < width + tile.height; i += kBlock)
            ranges[i] = i < width ? covering(x, work.x, i) : covering(y, work.y, i - width);
        __syncthreads();
        for (int cell = static_cast<int>(threadIdx.x) / kWarp; cell < cells; cell += kBlock / kWarp) {
            const int left = (cell & ((1 << cells_log) - 1)) << tile.cell_log, top = (cell >> cells_log) * cell_height;
            const int column = left + (lane & (cell_width - 1)), row = top + (lane >> tile.cell_log);
            if (column >= x.size - work.x || row >= y.size - work.y) continue;
            const int px = work.x + column, py = work.y + row;
            Range of_x = ranges[column], of_y = ranges[width + row];
            if (tile.joint) {
                of_x = {ranges[left].first, ranges[left + cell_width - 1].end};
                of_y = {ranges[width + top].first, ranges[width + top + cell_height - 1].end};
            }
            for (int channel = work.first; channel < work.end; channel += N) {
                const int channels = N == 1 ? 1 : work.end - channel;
                Pixel<E, N> pixel;
                for (int i = of_y.first; i < of_y.end; ++i) {
                    const unsigned dy = static_cast<unsigned>(py) - y.start(static_cast<unsigned>(i));
                    if (dy >= static_cast<unsigned>(y.patch)) continue;
                    const int64_t patch = static_cast<int64_t>(i) * x.count;
                    const int64_t row_of_patch = static_cast<int64_t>(dy) * x.patch;
                    const Sum* const window_row = windowed ? window + row_of_patch : nullptr;
                    const Address<Sum> confidence = Address<Sum>(a.confidence) + (work.image_patch + patch);
                    for (int begin = of_x.first, end; begin < of_x.end; begin = end) {
                        end = begin < tile.regular && of_x.end > tile.regular ? tile.regular : of_x.end;
                        unsigned dx = static_cast<unsigned>(px) - x.start(static_cast<unsigned>(begin));
                        Address<Bits> from =
                            Address<Bits>(a.data) +
                            (work.image_at + (patch + begin) * a.of_patch +
                             (row_of_patch + static_cast<int>(dx)) * a.of_pixel + channel * a.of_channel);
                        for (int j = begin; j < end; j += kAhead) {
                            Bits elements[kAhead][N] = {};
                            Sum of_window[kAhead] = {}, of_patch[kAhead] = {};
#pragma unroll
                            for (int u = 0; u < kAhead; ++u) {
                                if (j + u < end && dx < static_cast<unsigned>(x.patch)) {
                                    load_channels(from, a.of_channel, channels, elements[u]);
                                    of_window[u] = windowed ? window_row[dx] : Sum(1);
                                    of_patch[u] = confident ? (confidence + (j + u)).load() : Sum(1);
                                }
                                dx -= static_cast<unsigned>(x.stride);
                                from = from + to_next;
                            }
                            pixel.add(elements, of_window, of_patch);
                        }
                    }
                }
                pixel.write(a, work, channel, py, px);
            }
        }
        __syncthreads();
    }
}

// Columns: as wide as 16-byte runs of patches reach over common strides; rows: square, to share what patches overlap.
template <typename E>
TileShape shape_of(const FoldArguments<E>& a, bool rows) {
    const Axis x = a.patches.x;
    const bool moved = static_cast<int64_t>(x.count - 1) * x.stride > x.last;
    TileShape tile{0, 3, 3, rows, moved ? x.count - 1 : x.count};
    const int widest = rows ? 5 : 7;
    while (tile.width_log < widest && (1 << tile.width_log) < a.patches.x.size) ++tile.width_log;
    if (!rows) tile.cell_log = tile.width_log < 5 ? tile.width_log : 5;
    const auto tiles = [&] {
        return a.batch * divide_up(a.patches.y.size, tile.height) * divide_up(a.patches.x.size, 1 << tile.width_log);
    };
    tile.height = (4 * kBlock) >> tile.width_log;
    if (tiles() < kEnoughBlocks) tile.height = kBlock >> tile.width_log;
    return tile;
}

template <typename E, int N>
const char* launch_fold(FoldArguments<E> a, const TileShape& tile, cudaStream_t stream) {
    a.divide_work(tile.height, 1 << tile.width_log, N);
    return SF_LAUNCH((fold_kernel<E, N>), blocks_for(a.items), kBlock, a.shared_bytes(), stream, a, tile);
}

}  // namespace

const char* cuda_fold(const FoldProblem& p, CudaQueue queue) {
    const DeviceGuard guard(queue.device);
    if (guard.error()) return guard.error();
    if (p.batch == 0 || p.channels == 0) return nullptr;
    if (p.corners.data) return cuda_fold_at(p, queue.stream);
    const auto stream = static_cast<cudaStream_t>(queue.stream);
    return with_element(p.type, [&](auto element) {
        using E = decltype(element);
        FoldArguments<E> a(p);
        if (const char* error = a.place(p)) return error;
        const TileShape tile = shape_of(a, p.rows);
        return p.channels == 1 ? launch_fold<E, 1>(a, tile, stream) : launch_fold<E, kChannels>(a, tile, stream);
    });
}

}  // namespace sparsefast
