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
#include "cpu/patches/phases.hpp"
#include "cpu/patches/unfold.hpp"

namespace sparsefast {
namespace {

// What stays of a run of patches on the way to their sums: converted elements.
constexpr int64_t kConverted = 1024;

// to += value(i, lanes) for n numbers, whole vectors first; `value` loads so many lanes at i as it is told to.
template <typename S, typename Value>
SF_INLINE void add_values(S* to, int64_t n, const Value& value) {
    constexpr int64_t lanes = Lanes<S>::n;
    int64_t i = 0;
    for (; i + lanes <= n; i += lanes) store(to + i, load(to + i) + value(i, lanes));
    if (i < n) store_first(to + i, load_first(to + i, n - i) + value(i, n - i), n - i);
}
template <typename S>
SF_INLINE Vec<S> load_some(const S* p, int64_t lanes) {
    return lanes == Lanes<S>::n ? load(p) : load_first(p, lanes);
}
template <typename S>
SF_INLINE void add(S* to, const S* from, int64_t n) {
    add_values(to, n, [&](int64_t i, int64_t lanes) { return load_some(from + i, lanes); });
}
template <typename S>
SF_INLINE void add(S* to, const S* from, S weight, int64_t n) {
    add_values(to, n, [&](int64_t i, int64_t lanes) { return weight * load_some(from + i, lanes); });
}
template <typename S>
SF_INLINE void add(S* to, const S* from, S weight, const S* factors, int64_t n) {
    add_values(to, n, [&](int64_t i, int64_t lanes) {
        return weight * load_some(factors + i, lanes) * load_some(from + i, lanes);
    });
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

// Writes a tile, by `inverse` where it is given, into its rows of a plane of the output. `line` has room for a row of
// sums in order, and `order` is for phases.
template <typename E, typename S>
class TileOut {
   public:
    TileOut(const FoldProblem& p, const PhaseOrder<S>* order, S* line) : p_(p), order_(order), line_(line) {
        const int64_t patches = p.corners.data ? p.corners.n_patches : p.grid.y.count * p.grid.x.count;
        const int64_t elements = patch_pixels(p.grid) * patches + p.grid.y.size * p.grid.x.size;
        stream_ = p.batch * p.channels * elements > kStreamedBytes / static_cast<int64_t>(sizeof(E));
    }
    void write(const Tile& t, const Phases& phases, const S* sums, int64_t c) const {
        const int64_t w = p_.grid.x.size;
        E* const to = static_cast<E*>(p_.out) + ((t.b * p_.channels + c) * p_.grid.y.size + t.y0) * w + t.x0;
        if (stream_ && t.width() == w)
            rows(StreamWriter<E>(to), t, phases, sums);
        else if (t.width() == w)
            rows(DirectWriter<E>(to), t, phases, sums);
        else
            for (int64_t y = t.y0; y < t.y1; ++y) row(DirectWriter<E>(to + (y - t.y0) * w), t, phases, sums, y);
    }

   private:
    template <typename Writer>
    void rows(Writer writer, const Tile& t, const Phases& phases, const S* sums) const {
        for (int64_t y = t.y0; y < t.y1; ++y) row(writer, t, phases, sums, y);
        writer.finish();
    }
    template <typename Writer>
    void row(Writer&& writer, const Tile& t, const Phases& phases, const S* sums, int64_t y) const {
        const int64_t n = t.width();
        const S* values = phases.row(sums, 0, y - t.y0);
        if (phases.stride > 1) {
            order_->in_order(values, phases.length, phases.height * phases.length, line_);
            values = line_;
        }
        const S* const s = p_.inverse ? static_cast<const S*>(p_.inverse) + y * p_.grid.x.size + t.x0 : nullptr;
        for (int64_t x = 0; x < n;) {
            E elements[kAtOnce];
            const int64_t m = n - x < kAtOnce ? n - x : kAtOnce;
            if (s)
                for (int64_t i = 0; i < m; ++i) put(values[x + i] * s[x + i], elements + i);
            else
                for (int64_t i = 0; i < m; ++i) put(values[x + i], elements + i);
            writer.run(elements, m, 1);
            x += m;
        }
    }

    static constexpr int64_t kAtOnce = 256;
    FoldProblem p_;
    const PhaseOrder<S>* order_;
    S* line_;
    bool stream_;
};

// Where no weight was summed there is nothing.
template <typename S>
void divide(S* __restrict sums, const S* __restrict weights, int64_t n) {
    for (int64_t i = 0; i < n; ++i) sums[i] = weights[i] != 0 ? sums[i] / weights[i] : S(0);
}

}  // namespace
}  // namespace sparsefast
