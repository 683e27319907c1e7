// Fold of patches that are taken one after the other, in increasing l: those in rows, (B, L, C, ph, pw), and those at
// corners of either layout. See fold.hpp.
#pragma once

#include "cpu/patches/fold.hpp"

namespace sparsefast {
namespace {

template <typename E>
class FoldRows {
    typedef typename Sum<E>::type S;

   public:
    FoldRows(const FoldProblem& p, const FoldTasks& tasks, void* scratch)
        : p_(p), tasks_(tasks), sums_(static_cast<S*>(scratch)) {
        weights_ = sums_ + tasks.group * tasks.height * tasks.width;
        converted_ = weights_ + tasks.height * tasks.width;
        turned_ = converted_ + kConverted;
    }
    static int64_t scratch_bytes(const FoldProblem& p, const FoldTasks& t) {
        const int64_t numbers_turned = p.rows ? 0 : turned(p) * patch_pixels(p.grid);
        return ((t.group + 1) * t.height * t.width + kConverted + numbers_turned) * static_cast<int64_t>(sizeof(S));
    }

    void task(int64_t index) {
        const Tile t(p_, tasks_, index);
        const TileOut<E, S> out(p_, nullptr, nullptr);
        const Phases plain(t.width(), 1, t.y1 - t.y0);
        const int64_t n_patches = p_.corners.data ? p_.corners.n_patches : p_.grid.y.count * p_.grid.x.count;
        const int64_t channels = t.c1 - t.c0, pixels = plain.numbers();
        const bool sum_weights = p_.normalize && !p_.inverse;
        __builtin_memset(sums_, 0, static_cast<std::size_t>(channels * pixels) * sizeof(S));
        if (sum_weights) __builtin_memset(weights_, 0, static_cast<std::size_t>(pixels) * sizeof(S));

        const auto each = [&](int64_t l, int64_t y, int64_t x) {
            const S factor = factor_of(t, n_patches, l);
            patch(t, n_patches, l, y, x, factor);
            if (sum_weights) weigh(t, y, x, factor);
        };
        if (!p_.corners.data) {
            on_grid(t, each);
        } else {
            const int64_t* const corners = p_.corners.data + t.b * p_.corners.batch_stride;
            int64_t found[kTurned], n = 0;
            for (int64_t k = p_.tiles.starts[t.index]; k < p_.tiles.starts[t.index + 1]; ++k) {
                const int64_t l = p_.tiles.patches[k];
                if (l < 0 || l >= n_patches) continue;
                if (p_.rows) {
                    each(l, corners[2 * l], corners[2 * l + 1]);
                    continue;
                }
                found[n++] = l;
                if (n < turned(p_)) continue;
                columns(t, n_patches, corners, found, n, sum_weights);
                n = 0;
            }
            columns(t, n_patches, corners, found, n, sum_weights);
        }
        for (int64_t c = t.c0; c < t.c1; ++c) {
            S* const sums = sums_ + (c - t.c0) * pixels;
            if (sum_weights) divide(sums, weights_, pixels);
            out.write(t, plain, sums, c);
        }
    }

   private:
    // The patches [begin, end) of an axis that touch the pixels [low, high).
    static void touching(const PatchAxis& a, int64_t low, int64_t high, int64_t* begin, int64_t* end) {
        const int64_t first = low - a.patch + 1;
        int64_t i = first <= 0 ? 0 : (first + a.stride - 1) / a.stride;
        if (i > a.count - 1) i = a.count - 1;
        if (start_of(a, i) < first) ++i;
        *begin = i;
        while (i < a.count && start_of(a, i) < high) ++i;
        *end = i;
    }

    template <typename Each>
    void on_grid(const Tile& t, const Each& each) const {
        const PatchAxis &ay = p_.grid.y, &ax = p_.grid.x;
        int64_t i0, i1, j0, j1;
        touching(ay, t.y0, t.y1, &i0, &i1);
        touching(ax, t.x0, t.x1, &j0, &j1);
        for (int64_t i = i0; i < i1; ++i)
            for (int64_t j = j0; j < j1; ++j) each(i * ax.count + j, start_of(ay, i), start_of(ax, j));
    }

    // The part of a patch at `start` that lies in [low, high): pixels [from, to) of the patch.
    static bool part(int64_t start, int64_t patch, int64_t low, int64_t high, int64_t* from, int64_t* to) {
        if (start >= high || start <= low - patch) return false;
        *from = start < low ? low - start : 0;
        *to = start > high - patch ? high - start : patch;
        return true;
    }

    SF_INLINE S factor_of(const Tile& t, int64_t n_patches, int64_t l) const {
        return p_.confidence ? static_cast<const S*>(p_.confidence)[t.b * n_patches + l] : S(1);
    }

    // Patches of columns lie apart, pixel by pixel, but next to each other: some of them are brought together first.
    static constexpr int64_t kTurned = 16, kTurnedNumbers = 1 << 14;
    static int64_t turned(const FoldProblem& p) { return between(1, kTurnedNumbers / patch_pixels(p.grid), kTurned); }

    void columns(const Tile& t, int64_t n_patches, const int64_t* corners, const int64_t* found, int64_t n,
                 bool sum_weights) {
        const int64_t ph = p_.grid.y.patch, pw = p_.grid.x.patch, width = t.width(), pixels = (t.y1 - t.y0) * width;
        for (int64_t c = t.c0; c < t.c1; ++c) {
            const E* plane = static_cast<const E*>(p_.patches) + (t.b * p_.channels + c) * ph * pw * n_patches;
            for (int64_t k = 0; k < ph * pw; ++k, plane += n_patches)
                for (int64_t m = 0; m < n; ++m) turned_[m * ph * pw + k] = number(plane[found[m]]);
            for (int64_t m = 0; m < n; ++m) {
                const int64_t y = corners[2 * found[m]], x = corners[2 * found[m] + 1];
                int64_t top, bottom, left, right;
                if (!part(y, ph, t.y0, t.y1, &top, &bottom) || !part(x, pw, t.x0, t.x1, &left, &right)) continue;
                S* to = sums_ + (c - t.c0) * pixels + (y + top - t.y0) * width + x + left - t.x0;
                const S* from = turned_ + m * ph * pw + top * pw + left;
                const S factor = factor_of(t, n_patches, found[m]);
                for (int64_t ki = top; ki < bottom; ++ki, to += width, from += pw) {
                    if (p_.window)
                        add(to, from, factor, static_cast<const S*>(p_.window) + ki * pw + left, right - left);
                    else
                        add(to, from, factor, right - left);
                }
            }
        }
        if (!sum_weights) return;
        for (int64_t m = 0; m < n; ++m)
            weigh(t, corners[2 * found[m]], corners[2 * found[m] + 1], factor_of(t, n_patches, found[m]));
    }

    SF_INLINE void patch(const Tile& t, int64_t n_patches, int64_t l, int64_t y, int64_t x, S factor) {
        const int64_t ph = p_.grid.y.patch, pw = p_.grid.x.patch, width = t.width(), pixels = (t.y1 - t.y0) * width;
        int64_t top, bottom, left, right;
        if (!part(y, ph, t.y0, t.y1, &top, &bottom) || !part(x, pw, t.x0, t.x1, &left, &right)) return;
        const E* const patches = static_cast<const E*>(p_.patches);
        const bool whole_rows = left == 0 && right == pw && !p_.window && !p_.confidence;
        for (int64_t c = t.c0; c < t.c1; ++c) {
            S* const to = sums_ + (c - t.c0) * pixels + (y + top - t.y0) * width + x + left - t.x0;
            const E* const at = patches + ((t.b * n_patches + l) * p_.channels + c) * ph * pw;
            if (whole_rows && (bottom - top) * pw <= kConverted) {
                add_rows(to, numbers(at + top * pw, (bottom - top) * pw, converted_), bottom - top, pw, width);
                continue;
            }
            for (int64_t ki = top; ki < bottom; ++ki)
                for (int64_t kj = left; kj < right; kj += kConverted)
                    run(to + (ki - top) * width + kj - left, at + ki * pw + kj, ki, kj,
                        right - kj < kConverted ? right - kj : kConverted, factor);
        }
    }

    // Rows of `pw` numbers below each other, to rows of sums.
    SF_INLINE static void add_rows(S* to, const S* from, int64_t n, int64_t pw, int64_t width) {
        switch (pw) {
#define SF_WIDTH(N)                                                               \
    case N:                                                                       \
        for (int64_t i = 0; i < n; ++i, to += width, from += N) add(to, from, N); \
        break;
            SF_PATCH_WIDTHS(SF_WIDTH)
#undef SF_WIDTH
            default:
                for (int64_t i = 0; i < n; ++i, to += width, from += pw) add(to, from, pw);
        }
    }

    SF_INLINE void run(S* to, const E* from, int64_t ki, int64_t kj, int64_t n, S factor) {
        const S* const x = numbers(from, n, converted_);
        if (p_.window)
            add(to, x, factor, static_cast<const S*>(p_.window) + ki * p_.grid.x.patch + kj, n);
        else
            add(to, x, factor, n);
    }

    SF_INLINE S weight(int64_t ki, int64_t kj, S factor) const {
        return p_.window ? factor * static_cast<const S*>(p_.window)[ki * p_.grid.x.patch + kj] : factor;
    }

    void weigh(const Tile& t, int64_t y, int64_t x, S factor) {
        const int64_t ph = p_.grid.y.patch, pw = p_.grid.x.patch, width = t.width();
        int64_t top, bottom, left, right;
        if (!part(y, ph, t.y0, t.y1, &top, &bottom) || !part(x, pw, t.x0, t.x1, &left, &right)) return;
        for (int64_t ki = top; ki < bottom; ++ki) {
            S* const to = weights_ + (y + ki - t.y0) * width + x - t.x0;
            for (int64_t kj = left; kj < right; ++kj) to[kj] += weight(ki, kj, factor);
        }
    }

    FoldProblem p_;
    FoldTasks tasks_;
    S *sums_, *weights_, *converted_, *turned_;
};

}  // namespace
}  // namespace sparsefast
