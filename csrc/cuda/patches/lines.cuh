// Columns of patches, written in lines of 128 bytes: out[r][l] = image(c, y_l + i, x_l + j) for row r = (c, i, j).
//
// L is often odd: rows of the output begin anywhere in a line, and the words of a warp would belong to two, of which
// each is sent and merged on its own. So what a block writes of a row begins at a line, wherever that row has one. A
// block has kChunk words in `group` rows of one plane (image, channel): where its patches lie is worked out once, for a
// line more than it writes, and waits in shared memory. Blocks follow one another as the output does, so that what is
// in flight at a time lies close together; and stores are ordinary ones, whose lines stay in the cache until all of
// their neighbours are there.
#pragma once

#include "cuda/patches/elements.cuh"
#include "cuda/patches/place.cuh"

namespace sparsefast {
namespace {

// Where a patch begins: anywhere, or (`Inside`) with all of it in the image and within 2^31 elements of its first.
template <bool Inside>
struct Origin {
    unsigned at;

    Origin() = default;
    __device__ Origin(Place place, const Images& images)
        : at(static_cast<unsigned>(place.y) * static_cast<unsigned>(images.y_stride) +
             static_cast<unsigned>(place.x) * static_cast<unsigned>(images.x_stride)) {}
    __device__ bool covers(int, int, const Patches&) const { return true; }
};
template <>
struct alignas(16) Origin<false> {
    int64_t at;
    Place place;

    Origin() = default;
    __device__ Origin(Place where, const Images& images)
        : at(where.y * images.y_stride + where.x * images.x_stride), place(where) {}
    __device__ bool covers(int i, int j, const Patches& patches) const {
        return within(place.y, i, patches.y.size) && within(place.x, j, patches.x.size);
    }
};

// Of words W that are V elements each.
template <typename W, int V, bool Inside>
struct LineShape {
    static constexpr int kTurns = (Inside ? 8 : 4) / V;  // words of a row that a thread has: their loads overlap
    static constexpr int kChunk = kTurns * kBlock;
    static constexpr int kLine = 128 / static_cast<int>(sizeof(W));
    static constexpr int kPlaces = (kLine + kChunk) * V;
};

struct LinesArguments {
    Images images;
    Patches patches;
    void* out;
    int64_t words;  // L / V
    int64_t planes;
    int64_t groups;     // of the rows of a plane,
    int group;          // of so many
    int rows, columns;  // of the grid, from a patch to that kBlock behind it
};

// Origins of kLine words from `first` on, if they are there, and kChunk behind these; where there are no more patches,
// anything that may be read.
template <typename Shape, int V, bool Inside>
__device__ __forceinline__ void list_origins(const LinesArguments& a, int64_t image, int64_t first,
                                             Origin<Inside>* origins) {
    constexpr int kHead = Shape::kLine * V;
    static_assert(kHead <= kBlock && Shape::kPlaces == kHead + Shape::kTurns * V * kBlock, "each thread has as many");
    const int thread = static_cast<int>(threadIdx.x);
    if (first >= 0 && thread < kHead) {
        Place place[1];
        a.patches.places(image, first * V + thread, place);
        origins[thread] = Origin<Inside>(place[0], a.images);
    }
    int64_t l = first * V + kHead + thread;
    if (!Inside && a.patches.corners) {
        for (int p = kHead + thread; p < Shape::kPlaces; p += kBlock, l += kBlock) {
            Place place[1];
            a.patches.places(image, l < a.patches.count ? l : 0, place);
            origins[p] = Origin<Inside>(place[0], a.images);
        }
        return;
    }
    const Axis y = a.patches.y, x = a.patches.x;
    const Division at = divide(l, x.count);
    int row = static_cast<int>(at.quotient), column = static_cast<int>(at.remainder);
#pragma unroll
    for (int n = 0; n < Shape::kTurns * V; ++n) {
        const Place place{static_cast<int>(y.start(static_cast<unsigned>(row))),
                          static_cast<int>(x.start(static_cast<unsigned>(column)))};
        origins[kHead + thread + n * kBlock] = Origin<Inside>(place, a.images);
        row += a.rows;
        column += a.columns;
        if (column >= x.count) column -= x.count, ++row;
    }
}

// A word of each turn, of which the first is number `first` of its row; `All` where none lies outside of the row.
template <typename E, typename W, int V, bool Inside, bool All>
__device__ __forceinline__ void write_row(const Origin<Inside>* origins, Address<E> pixel, int i, int j,
                                          const Patches& patches, int64_t first, int64_t words, W* to) {
    constexpr int kTurns = LineShape<W, V, Inside>::kTurns;
    W value[kTurns];
#pragma unroll
    for (int n = 0; n < kTurns; ++n) {
        value[n] = 0;
        if (!All && (first + n * kBlock < 0 || first + n * kBlock >= words)) continue;
#pragma unroll
        for (int v = 0; v < V; ++v) {
            const Origin<Inside> origin = origins[n * kBlock * V + v];
            if (!origin.covers(i, j, patches)) continue;
            const W element = static_cast<W>((pixel + origin.at).load());
            value[n] |= static_cast<W>(element << (v * (sizeof(E) % sizeof(W)) * 8));
        }
    }
#pragma unroll
    for (int n = 0; n < kTurns; ++n)
        if (All || (first + n * kBlock >= 0 && first + n * kBlock < words)) to[n * kBlock] = value[n];
}

template <typename E, typename W, int V, bool Inside>
__global__ void __launch_bounds__(kBlock, 5) unfold_lines_kernel(LinesArguments a) {
    using Shape = LineShape<W, V, Inside>;
    SF_DYNAMIC_SHARED(Origin<Inside>, origins);
    const int64_t begin = static_cast<int64_t>(blockIdx.x) * Shape::kChunk;
    const int pw = a.patches.x.patch;
    const int64_t rows = static_cast<int64_t>(a.patches.y.patch) * pw;
    const bool inner = begin > 0 && begin + Shape::kChunk <= a.words;
    for (int64_t plane = blockIdx.z; plane < a.planes; plane += gridDim.z) {
        const Division of_channel = divide(plane, a.images.channels);
        list_origins<Shape, V>(a, of_channel.quotient, begin - Shape::kLine, origins);
        __syncthreads();
        for (int64_t group = blockIdx.y; group < a.groups; group += gridDim.y) {
            const int64_t row = group * a.group;
            const Division at = divide(row, pw);
            int i = static_cast<int>(at.quotient), j = static_cast<int>(at.remainder);
            int n = static_cast<int>(rows - row < a.group ? rows - row : a.group);
            Address<E> pixel =
                Address<E>(static_cast<const E*>(a.images.data)) +
                (of_channel.quotient * a.images.batch_stride + of_channel.remainder * a.images.channel_stride +
                 i * a.images.y_stride + j * a.images.x_stride);
            const int64_t next_row = a.images.y_stride - (pw - 1) * a.images.x_stride;
            W* to = static_cast<W*>(a.out) + ((plane * rows + row) * a.words + begin);
            for (; n > 0; --n, to += a.words) {
                // So far behind the begin of a line is the first word of the chunk: that much earlier it starts.
                const int behind = static_cast<int>(reinterpret_cast<std::uintptr_t>(to) / sizeof(W) % Shape::kLine);
                const int shift = static_cast<int>(threadIdx.x) - behind;
                const Origin<Inside>* const from = origins + (Shape::kLine + shift) * V;
                if (inner)
                    write_row<E, W, V, Inside, true>(from, pixel, i, j, a.patches, 0, 0, to + shift);
                else
                    write_row<E, W, V, Inside, false>(from, pixel, i, j, a.patches, shift + begin, a.words, to + shift);
                pixel = pixel + (j + 1 < pw ? a.images.x_stride : next_row);
                if (++j == pw) j = 0, ++i;
            }
        }
        __syncthreads();
    }
}

// Whether no patch leaves the image, and all pixels of a plane are within 2^31 elements of its first.
inline bool inside(const Images& images, const Patches& patches) {
    if (patches.corners) return false;
    const auto fits = [](const Axis& axis, int64_t stride) {
        const int64_t regular = (axis.count - int64_t(1)) * axis.stride;
        constexpr int64_t kMost = (int64_t(1) << 30) - 1;
        return (regular < axis.last ? regular : axis.last) + axis.patch <= axis.size && stride >= 0 &&
               stride <= kMost / axis.size;
    };
    return fits(patches.y, images.y_stride) && fits(patches.x, images.x_stride);
}

template <typename E, typename W, int V, bool Inside>
const char* launch_lines_kernel(LinesArguments a, cudaStream_t stream) {
    using Shape = LineShape<W, V, Inside>;
    constexpr int kRows = 8;
    constexpr int64_t kMostInGrid = 65535;
    const int64_t rows = static_cast<int64_t>(a.patches.y.patch) * a.patches.x.patch;
    // A chunk begins up to a line, less a word, before its multiple of kChunk.
    const int64_t chunks = divide_up(a.words + Shape::kLine - 1, Shape::kChunk);
    a.group = kRows;
    while (a.group > 1 && a.planes * chunks * divide_up(rows, a.group) < kEnoughBlocks) a.group /= 2;
    a.groups = divide_up(rows, a.group);
    const int64_t of_y = a.groups < kMostInGrid ? a.groups : kMostInGrid;
    const int64_t of_z = a.planes < kMostInGrid ? a.planes : kMostInGrid;
    if (chunks > 0x7fffffff) return "an image has more patches than blocks can write";
    const dim3 grid(static_cast<unsigned>(chunks), static_cast<unsigned>(of_y), static_cast<unsigned>(of_z));
    return SF_LAUNCH((unfold_lines_kernel<E, W, V, Inside>), grid, kBlock, Shape::kPlaces * sizeof(Origin<Inside>),
                     stream, a);
}

template <typename E, typename W, int V>
const char* launch_lines(const Images& images, const Patches& patches, void* out, cudaStream_t stream) {
    LinesArguments a{};
    a.images = images;
    a.patches = patches;
    a.out = out;
    a.words = patches.count / V;
    a.planes = images.batch * images.channels;
    if (!patches.corners) {
        a.rows = kBlock / patches.x.count;
        a.columns = kBlock % patches.x.count;
    }
    if (inside(images, patches)) return launch_lines_kernel<E, W, V, true>(a, stream);
    return launch_lines_kernel<E, W, V, false>(a, stream);
}

}  // namespace
}  // namespace sparsefast
