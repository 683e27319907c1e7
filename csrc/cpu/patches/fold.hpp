// Patches summed into images, weighted: out(c, y, x) = s(y, x) sum over l of w(y - y_l, x - x_l) f_l patch_l(...).
//
// patches  (B, C, ph, pw, L), "columns", or (B, L, C, ph, pw), "rows"; dense     out  (B, C, H, W), dense
//
// A task owns a tile of the output for some channels, and its sums stay in the cache while all patches that touch it
// stream by: each is read once, from front to back, and nothing is written but the result. That is the bound: the bytes
// of the patches. Sums run in float (double for double), whatever the elements, in increasing l for both layouts:
// planes (ki, kj) of columns are taken from the last to the first. So layouts, grids and corners give the same bits.
//
// In columns the pixels that a plane (ki, kj) of patches covers lie a stride apart, so the sums of a tile are kept by
// the remainder of x by the stride ("phases"): then a row of patches adds to consecutive sums, and is vectorised for
// any stride. Phases are put in order when the tile is written. Source: col2im of convolution, written as a gather.
#pragma once

#include "cpu/patches/geometry.hpp"
#include "cpu/patches/numbers.hpp"
#include "cpu/patches/unfold.hpp"

namespace sparsefast {
namespace {

// What stays of a run of patches on the way to their sums: converted elements.
constexpr int64_t kConverted = 1024;

template <typename S>
SF_INLINE void add(S* __restrict to, const S* __restrict from, int64_t n) {
    for (int64_t i = 0; i < n; ++i) to[i] += from[i];
}
template <typename S>
SF_INLINE void add(S* __restrict to, const S* __restrict from, S weight, int64_t n) {
    for (int64_t i = 0; i < n; ++i) to[i] += weight * from[i];
}
template <typename S>
SF_INLINE void add(S* __restrict to, const S* __restrict from, S weight, const S* __restrict factors, int64_t n) {
    for (int64_t i = 0; i < n; ++i) to[i] += weight * factors[i] * from[i];
}

// A tile of the image that a task owns: pixels [y0, y1) x [x0, x1), channels [c0, c1) of image b.
struct Tile {
    int64_t index, b, c0, c1, y0, y1, x0, x1;

    Tile(const FoldProblem& p, const FoldTasks& t, int64_t task) {
        index = task % t.tiles();
        const int64_t groups = task / t.tiles();
        b = groups / t.groups;
        c0 = groups % t.groups * t.group;
        c1 = c0 + t.group < p.channels ? c0 + t.group : p.channels;
        y0 = index / t.cols * t.height;
        x0 = index % t.cols * t.width;
        y1 = y0 + t.height < p.grid.y.size ? y0 + t.height : p.grid.y.size;
        x1 = x0 + t.width < p.grid.x.size ? x0 + t.width : p.grid.x.size;
        index += b * t.tiles();
    }
    int64_t width() const { return x1 - x0; }
};

// How a tile's sums are kept: phase by phase, each a row of `length` numbers for each row of pixels. Without phases
// (stride 1) a plain tile. Pixel x has phase (x - x0) % stride, and place (x - x0) / stride in it.
struct Phases {
    int64_t stride, length, height;

    Phases(int64_t width, int64_t stride_, int64_t height_)
        : stride(stride_), length(ceil_div(width, stride_)), height(height_) {}
    int64_t numbers() const { return stride * length * height; }
    template <typename S>
    S* row(S* sums, int64_t phase, int64_t y) const {
        return sums + (phase * height + y) * length;
    }
};

// Puts the phases of a row in order: line[place * stride + phase]. `line` has room for whole vectors of places, and
// what is read behind a row of sums is sums too, or padding.
template <typename S>
class InOrder {
   public:
    static constexpr int64_t kMostStride = SPARSEFAST_ISA_LEVEL >= 3 ? 8 : 1;

    explicit InOrder(int64_t stride) {
        if (stride < 2 || stride > kMostStride) return;
        for (int64_t o = 0; o < stride; ++o)
            for (int64_t r = 0; r < stride; ++r)
                for (int64_t lane = 0; lane < kLanes; ++lane) {
                    const int64_t pixel = o * kLanes + lane;
                    picks_[o * stride + r][lane] =
                        static_cast<Int<S>>(pixel % stride == r ? kLanes + pixel / stride : lane);
                }
    }
    void operator()(const Phases& phases, const S* sums, int64_t y, S* line) const {
        switch (phases.stride <= kMostStride ? phases.stride : 0) {
            case 2: return by_vectors<2>(phases, sums, y, line);
            case 3: return by_vectors<3>(phases, sums, y, line);
            case 4: return by_vectors<4>(phases, sums, y, line);
            case 5: return by_vectors<5>(phases, sums, y, line);
            case 6: return by_vectors<6>(phases, sums, y, line);
            case 7: return by_vectors<7>(phases, sums, y, line);
            case 8: return by_vectors<8>(phases, sums, y, line);
            default:
                for (int64_t r = 0; r < phases.stride; ++r) {
                    const S* const of = phases.row(sums, r, y);
                    for (int64_t m = 0; m < phases.length; ++m) line[m * phases.stride + r] = of[m];
                }
        }
    }
    // Numbers behind those of a row that are read or written.
    static int64_t padding(int64_t stride) { return kLanes * (stride <= kMostStride ? stride : 1); }

   private:
    static constexpr int64_t kLanes = Lanes<S>::n;

    template <int Stride>
    SF_INLINE void by_vectors(const Phases& phases, const S* sums, int64_t y, S* line) const {
        for (int64_t m = 0; m < phases.length; m += kLanes) {
            Vec<S> of[Stride];
#pragma GCC unroll 8
            for (int r = 0; r < Stride; ++r) of[r] = load(phases.row(sums, r, y) + m);
#pragma GCC unroll 8
            for (int o = 0; o < Stride; ++o) {
                Vec<S> pixels = of[0];
#pragma GCC unroll 8
                for (int r = 0; r < Stride; ++r) pixels = pick_lanes<S>(pixels, of[r], picks_[o * Stride + r]);
                store(line + m * Stride + o * kLanes, pixels);
            }
        }
    }

    IntVec<S> picks_[kMostStride * kMostStride];
};

// Writes a tile, by `inverse` where it is given, into its rows of a plane of the output; in_order and line are for
// phases.
template <typename E, typename S>
void write_tile(const FoldProblem& p, const Tile& t, const Phases& phases, const InOrder<S>* in_order, const S* sums,
                int64_t c, S* line) {
    const int64_t h = p.grid.y.size, w = p.grid.x.size, n = t.width();
    E* const plane = static_cast<E*>(p.out) + (t.b * p.channels + c) * h * w;
    for (int64_t y = t.y0; y < t.y1; ++y) {
        const S* values = phases.row(sums, 0, y - t.y0);
        if (phases.stride > 1) {
            (*in_order)(phases, sums, y - t.y0, line);
            values = line;
        }
        E* const to = plane + y * w + t.x0;
        if (p.inverse) {
            const S* const s = static_cast<const S*>(p.inverse) + y * w + t.x0;
            for (int64_t i = 0; i < n; ++i) put(values[i] * s[i], to + i);
        } else {
            for (int64_t i = 0; i < n; ++i) put(values[i], to + i);
        }
    }
}

// Where no weight was summed there is nothing.
template <typename S>
void divide(S* __restrict sums, const S* __restrict weights, int64_t n) {
    for (int64_t i = 0; i < n; ++i) sums[i] = weights[i] != 0 ? sums[i] / weights[i] : S(0);
}

}  // namespace
}  // namespace sparsefast
