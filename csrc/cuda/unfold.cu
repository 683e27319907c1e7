// Patches out of images, copied bit for bit: patch_l(c, i, j) = image(c, y_l + i, x_l + j), 0 outside of the image.
//
// images  (B, C, H, W), any strides
// patches (B, C ph pw, L), "columns", or (B, L, C ph pw), "rows"; dense
//
// Columns: whole lines of memory at a time (patches/lines.cuh). Where L is short, a thread has one patch (several,
// where a word holds several elements) of one channel and goes through its pixels. Rows: a thread has one pixel of a
// patch and goes through the patches of its group, of which a table in shared memory says where they lie. Either way
// divisions are done once a thread, not once an element. What bounds all is the writing.
//
// Source: im2col of convolution.
#include "cuda/patches/elements.cuh"
#include "cuda/patches/lines.cuh"
#include "cuda/patches/place.cuh"
#include "sparsefast/patches_cuda.hpp"

namespace sparsefast {
namespace {

using Word1 = unsigned char;
using Word2 = unsigned short;
using Word4 = unsigned;
using Word8 = unsigned long long;

// Of what a word is made: V elements E, the first in its lowest bits.
template <typename E, int V>
struct Word {
    using Type = Word4;
    static_assert(sizeof(E) * V == sizeof(Type), "several elements fill a word of four bytes");
};
template <typename E>
struct Word<E, 1> {
    using Type = E;
};

// An element as number v of a word.
template <typename W, typename E>
__device__ __forceinline__ W part(Address<E> at, int v) {
    return static_cast<W>(static_cast<W>(at.load()) << (v * sizeof(E) * 8));
}

struct UnfoldArguments {
    Images images;
    Patches patches;
    void* out;
    int64_t items;   // the work of a block at a time
    int64_t words;   // columns: L / V; rows: C ph pw / V
    int64_t parts;   // columns: into how many the rows of a patch are split; rows: the words of a patch
    int64_t groups;  // rows: of patches,
    int group;       // of so many,
    int at_once;     // of which a block writes so many at once,
    int width;       // so many words of each
};

// Short columns: an item is kBlock words, of one plane (image, channel) or several, in some rows of their patches.
template <typename E, int V>
__global__ void __launch_bounds__(kBlock) unfold_columns_kernel(UnfoldArguments a) {
    using W = typename Word<E, V>::Type;
    const Axis y = a.patches.y, x = a.patches.x;
    const int64_t plane_words = static_cast<int64_t>(y.patch) * x.patch * a.words;
    for (int64_t item = blockIdx.x; item < a.items; item += gridDim.x) {
        const Division of_part = divide(item, a.parts);
        const Division of_word = divide(of_part.quotient * kBlock + threadIdx.x, a.words);
        const Division of_channel = divide(of_word.quotient, a.images.channels);
        const int64_t plane = of_word.quotient, word = of_word.remainder;
        if (of_channel.quotient >= a.images.batch) continue;
        const E* const image = static_cast<const E*>(a.images.data) + of_channel.quotient * a.images.batch_stride +
                               of_channel.remainder * a.images.channel_stride;
        Place place[V];
        a.patches.places(of_channel.quotient, word * V, place);
        const int first = static_cast<int>(y.patch * of_part.remainder / a.parts);
        const int end = static_cast<int>(y.patch * (of_part.remainder + 1) / a.parts);
        W* to = static_cast<W*>(a.out) + plane * plane_words + first * (x.patch * a.words) + word;
        for (int i = first; i < end; ++i) {
            bool row_inside[V];
            Address<E> from[V];
#pragma unroll
            for (int v = 0; v < V; ++v) {
                row_inside[v] = within(place[v].y, i, y.size);
                const int64_t row = static_cast<int64_t>(place[v].y) + i;
                from[v] = Address<E>(image) + (row * a.images.y_stride + place[v].x * a.images.x_stride);
            }
#pragma unroll(4 / V)
            for (int j = 0; j < x.patch; ++j, to += a.words) {
                W value = 0;
#pragma unroll
                for (int v = 0; v < V; ++v) {
                    if (row_inside[v] && within(place[v].x, j, x.size)) value |= part<W>(from[v], v);
                    from[v] = from[v] + a.images.x_stride;
                }
                store_once(to, value);
            }
        }
    }
}

// Rows: an item is one image, a group of its patches, and `width` words of each.
template <typename E, int V>
__global__ void __launch_bounds__(kBlock, 4) unfold_rows_kernel(UnfoldArguments a) {
    using W = typename Word<E, V>::Type;
    SF_DYNAMIC_SHARED(Origin<false>, origins);
    const Axis y = a.patches.y, x = a.patches.x;
    const int64_t pixels = static_cast<int64_t>(y.patch) * x.patch;
    const int slot = static_cast<int>(threadIdx.x) / a.width;
    for (int64_t item = blockIdx.x; item < a.items; item += gridDim.x) {
        const Division of_group = divide(item, a.groups);
        const Division of_part = divide(of_group.quotient, a.parts);
        const int64_t begin = of_group.remainder * a.group, left = a.patches.count - begin;
        const int n = static_cast<int>(left < a.group ? left : a.group);
        for (int i = static_cast<int>(threadIdx.x); i < n; i += static_cast<int>(blockDim.x)) {
            Place place[1];
            a.patches.places(of_part.quotient, begin + i, place);
            origins[i] = Origin<false>(place[0], a.images);
        }
        __syncthreads();
        const int64_t word = of_part.remainder * a.width + (static_cast<int>(threadIdx.x) - slot * a.width);
        if (slot < a.at_once && word < a.words) {
            const E* const image = static_cast<const E*>(a.images.data) + of_part.quotient * a.images.batch_stride;
            Place pixel[V];
            Address<E> from[V];
            const Division of_channel = divide(word * V, pixels);
            const Division of_row = divide(of_channel.remainder, x.patch);
            Place next{static_cast<int>(of_row.quotient), static_cast<int>(of_row.remainder)};
            int64_t channel = of_channel.quotient * a.images.channel_stride;
#pragma unroll
            for (int v = 0; v < V; ++v) {
                pixel[v] = next;
                from[v] = Address<E>(image) + (channel + next.y * a.images.y_stride + next.x * a.images.x_stride);
                if (++next.x < x.patch) continue;
                next.x = 0;
                if (++next.y < y.patch) continue;
                next.y = 0;
                channel += a.images.channel_stride;
            }
            W* to = static_cast<W*>(a.out) + (of_part.quotient * a.patches.count + begin + slot) * a.words + word;
            const int64_t step = a.at_once * a.words;
#pragma unroll 4
            for (int i = slot; i < n; i += a.at_once, to += step) {
                const Origin<false> origin = origins[i];
                W value = 0;
#pragma unroll
                for (int v = 0; v < V; ++v) {
                    const Address<E> at = from[v] + origin.at;
                    if (within(origin.place.y, pixel[v].y, y.size) && within(origin.place.x, pixel[v].x, x.size))
                        value |= part<W>(at, v);
                }
                store_once(to, value);
            }
        }
        __syncthreads();
    }
}

template <typename E, int V>
const char* launch_columns(UnfoldArguments a, cudaStream_t stream) {
    using W = typename Word<E, V>::Type;
    a.words = a.patches.count / V;
    if (a.words >= LineShape<W, V, true>::kChunk) return launch_lines<E, W, V>(a.images, a.patches, a.out, stream);
    const int64_t whole = divide_up(a.images.batch * a.images.channels * a.words, kBlock);
    const int64_t wanted = divide_up(kEnoughBlocks, whole);
    a.parts = wanted < a.patches.y.patch ? wanted : a.patches.y.patch;
    a.items = whole * a.parts;
    return SF_LAUNCH((unfold_columns_kernel<E, V>), blocks_for(a.items), kBlock, 0, stream, a);
}

template <typename E, int V>
const char* launch_rows(UnfoldArguments a, cudaStream_t stream) {
    // Patches a thread: enough that what it does once does not count.
    constexpr int64_t kTurns = 32, kMostInGroup = 1024;
    const int64_t pixels = static_cast<int64_t>(a.patches.y.patch) * a.patches.x.patch;
    a.words = a.images.channels * pixels / V;
    a.parts = divide_up(a.words, kBlock);
    a.width = static_cast<int>(divide_up(a.words, a.parts));
    a.at_once = a.parts > 1 ? 1 : kBlock / a.width;
    int64_t group = kTurns * a.at_once;
    if (group > kMostInGroup) group = kMostInGroup;
    while (group > a.at_once && a.images.batch * a.parts * divide_up(a.patches.count, group) < kEnoughBlocks)
        group = group / 2 > a.at_once ? group / 2 : a.at_once;
    if (group > a.patches.count) group = a.patches.count;
    a.group = static_cast<int>(group);
    a.groups = divide_up(a.patches.count, group);
    a.items = a.images.batch * a.parts * a.groups;
    const int64_t threads = divide_up(static_cast<int64_t>(a.at_once) * a.width, kWarp) * kWarp;
    return SF_LAUNCH((unfold_rows_kernel<E, V>), blocks_for(a.items), threads,
                     group * static_cast<int64_t>(sizeof(Origin<false>)), stream, a);
}

template <typename E, int V>
const char* launch_unfold(const UnfoldArguments& a, bool rows, cudaStream_t stream) {
    return rows ? launch_rows<E, V>(a, stream) : launch_columns<E, V>(a, stream);
}

}  // namespace

const char* cuda_unfold(const UnfoldProblem& p, CudaQueue queue) {
    const DeviceGuard guard(queue.device);
    if (guard.error()) return guard.error();
    UnfoldArguments a{};
    a.images = p.images;
    // The stride of an axis of one pixel says nothing, and can be so large that its products overflow.
    if (p.grid.y.size == 1) a.images.y_stride = 0;
    if (p.grid.x.size == 1) a.images.x_stride = 0;
    a.out = p.patches;
    if (const char* error = patches_of(p.grid, p.corners, &a.patches)) return error;
    if (a.patches.count == 0 || a.images.batch == 0 || a.images.channels == 0) return nullptr;
    const auto stream = static_cast<cudaStream_t>(queue.stream);
    // Small elements are written four bytes at a time, where every run begins at such a word.
    const int64_t run = p.rows ? a.images.channels * p.grid.y.patch * p.grid.x.patch : a.patches.count;
    const bool in_words = run * p.itemsize % 4 == 0 && reinterpret_cast<std::uintptr_t>(a.out) % 4 == 0;
    switch (p.itemsize) {
        case 1:
            return in_words ? launch_unfold<Word1, 4>(a, p.rows, stream) : launch_unfold<Word1, 1>(a, p.rows, stream);
        case 2:
            return in_words ? launch_unfold<Word2, 2>(a, p.rows, stream) : launch_unfold<Word2, 1>(a, p.rows, stream);
        case 4: return launch_unfold<Word4, 1>(a, p.rows, stream);
        case 8: return launch_unfold<Word8, 1>(a, p.rows, stream);
        default: return "elements must have 1, 2, 4 or 8 bytes";
    }
}

}  // namespace sparsefast
