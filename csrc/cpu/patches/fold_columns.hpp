// Fold of patches in columns, (B, C, ph, pw, L) on a grid: see fold.hpp.
#pragma once

#include "cpu/patches/fold.hpp"

namespace sparsefast {
namespace {

template <typename E>
class FoldColumns {
    typedef typename Sum<E>::type S;

   public:
    FoldColumns(const FoldProblem& p, const FoldTasks& tasks, void* scratch)
        : p_(p), tasks_(tasks), stride_(stride(p)), order_(stride_, false), sums_(static_cast<S*>(scratch)) {
        weights_ = sums_ + most(p, tasks);
        line_ = weights_ + most(p, tasks);
        converted_ = line_ + tasks.width + stride_ + PhaseOrder<S>::padding(stride_);
    }
    static int64_t scratch_bytes(const FoldProblem& p, const FoldTasks& t) {
        const int64_t s = stride(p), line = t.width + s + PhaseOrder<S>::padding(s);
        return (2 * most(p, t) + line + ceil_div(t.width, s)) * static_cast<int64_t>(sizeof(S));
    }

    void task(int64_t index) {
        const Tile t(p_, tasks_, index);
        const TileOut<E, S> out(p_, &order_, line_);
        const Phases phases(t.width(), stride_, t.y1 - t.y0);
        const std::size_t bytes = static_cast<std::size_t>(phases.numbers()) * sizeof(S);
        const bool sum_weights = p_.normalize && !p_.inverse;
        if (sum_weights) {
            __builtin_memset(weights_, 0, bytes);
            planes(t, phases, -1, weights_);
        }
        for (int64_t c = t.c0; c < t.c1; ++c) {
            __builtin_memset(sums_, 0, bytes);
            planes(t, phases, c, sums_);
            if (sum_weights) divide(sums_, weights_, phases.numbers());
            out.write(t, phases, sums_, c);
        }
    }

   private:
    // Whether elements are the numbers that are summed.
    static constexpr bool kSummedAsGiven = sizeof(E) >= 4;

    // Patches that start a whole image apart, or more, are as if just that: only the first of them is in the image.
    static int64_t stride(const FoldProblem& p) {
        return p.grid.x.stride < p.grid.x.size ? p.grid.x.stride : p.grid.x.size;
    }
    // The numbers of a tile, wherever it ends, with what is read behind them.
    static int64_t most(const FoldProblem& p, const FoldTasks& t) {
        return Phases(t.width, stride(p), t.height).numbers() + Lanes<S>::n;
    }

    // Adds all planes of channel c to the sums of a tile; their weights alone where c < 0.
    void planes(const Tile& t, const Phases& phases, int64_t c, S* sums) {
        const PatchAxis &ay = p_.grid.y, &ax = p_.grid.x;
        const int64_t n_patches = ay.count * ax.count, evenly = regular(ax);
        const S* const window = static_cast<const S*>(p_.window);
        const int64_t length = phases.length;
        const E* const planes_of_c =
            c < 0 ? nullptr
                  : static_cast<const E*>(p_.patches) + (t.b * p_.channels + c) * ay.patch * ax.patch * n_patches;
        const S* const factors = p_.confidence ? static_cast<const S*>(p_.confidence) + t.b * n_patches : nullptr;
        for (int64_t ki = ay.patch - 1; ki >= 0; --ki) {
            // Rows i of the grid with start_of(i) + ki in [y0, y1).
            const int64_t low = t.y0 - ki, high = t.y1 - ki;
            int64_t i = low <= 0 ? 0 : (low + ay.stride - 1) / ay.stride;
            if (i > ay.count - 1) i = ay.count - 1;
            if (start_of(ay, i) < low) continue;
            // All places kj in turn: so a row's sums stay in registers, and as many planes are read side by side as a
            // processor follows.
            for (; i < ay.count && start_of(ay, i) < high; ++i) {
                const int64_t y = start_of(ay, i) + ki - t.y0, l = i * ax.count;
                const auto add_from = [&](int64_t kj, S* at, int64_t j, int64_t n) {
                    run(at, planes_of_c ? planes_of_c + (ki * ax.patch + kj) * n_patches + l + j : nullptr,
                        window ? window[ki * ax.patch + kj] : S(1), factors ? factors + l + j : nullptr, n);
                };
                for (int64_t phase = 0; phase < stride_ && phase < ax.patch; ++phase) {
                    // Places kj = phase + a stride, whose patch j adds to place j + a - x0 / stride of the phase.
                    const int64_t most = (ax.patch - 1 - phase) / stride_, x0 = t.x0 / stride_;
                    S* const row = phases.row(sums, phase, y);
                    int64_t begin = most > x0 ? most - x0 : 0, end = evenly - x0 < length ? evenly - x0 : length;
                    if (end <= begin || factors || !planes_of_c || !kSummedAsGiven) begin = end = length;
                    const auto edges = [&](int64_t low, int64_t high) {
                        for (int64_t a = most; a >= 0; --a) {
                            const int64_t from = a - x0 > low ? a - x0 : low;
                            const int64_t to = evenly + a - x0 < high ? evenly + a - x0 : high;
                            if (to > from) add_from(phase + a * stride_, row + from, from - a + x0, to - from);
                        }
                    };
                    edges(0, begin);
                    if constexpr (kSummedAsGiven)
                        if (begin < end) {
                            const int64_t first = ki * ax.patch + phase;
                            inner(row, planes_of_c + first * n_patches + l + x0, stride_ * n_patches - 1,
                                  window ? window + first : nullptr, most, begin, end);
                        }
                    edges(end, length);
                }
                for (int64_t kj = ax.patch - 1; kj >= 0 && evenly < ax.count; --kj) {
                    const int64_t x = ax.last + kj - t.x0;
                    if (x >= 0 && x < t.width())
                        add_from(kj, phases.row(sums, x % stride_, y) + x / stride_, ax.count - 1, 1);
                }
            }
        }
    }

    // Places [begin, end) of a phase, to which all of its planes add: sums are read and written once for all. Plane a
    // has for place m the element first[a * step + m].
    void inner(S* row, const S* first, int64_t step, const S* window, int64_t most, int64_t begin, int64_t end) const {
        constexpr int64_t lanes = Lanes<S>::n;
        int64_t m = begin;
        for (; m + 4 * lanes <= end; m += 4 * lanes) {
            Vec<S> sum[4];
#pragma GCC unroll 4
            for (int v = 0; v < 4; ++v) sum[v] = load(row + m + v * lanes);
            for (int64_t a = most; a >= 0; --a) {
                const S* const from = first + a * step + m;
                if (window) {
#pragma GCC unroll 4
                    for (int v = 0; v < 4; ++v) sum[v] += window[a * stride_] * load(from + v * lanes);
                } else {
#pragma GCC unroll 4
                    for (int v = 0; v < 4; ++v) sum[v] += load(from + v * lanes);
                }
            }
#pragma GCC unroll 4
            for (int v = 0; v < 4; ++v) store(row + m + v * lanes, sum[v]);
        }
        for (; m < end; m += lanes) {
            const int64_t n = end - m < lanes ? end - m : lanes;
            Vec<S> sum = load_some(row + m, n);
            for (int64_t a = most; a >= 0; --a) {
                const Vec<S> v = load_some(first + a * step + m, n);
                sum += window ? window[a * stride_] * v : v;
            }
            if (n == lanes)
                store(row + m, sum);
            else
                store_first(row + m, sum, n);
        }
    }

    SF_INLINE void run(S* to, const E* from, S weight, const S* factors, int64_t n) {
        if (!from) {
            if (factors)
                add(to, factors, weight, n);
            else
                for (int64_t i = 0; i < n; ++i) to[i] += weight;
            return;
        }
        const S* const x = numbers(from, n, converted_);
        if (factors)
            add(to, x, weight, factors, n);
        else if (p_.window)
            add(to, x, weight, n);
        else
            add(to, x, n);
    }

    FoldProblem p_;
    FoldTasks tasks_;
    int64_t stride_;
    PhaseOrder<S> order_;
    S *sums_, *weights_, *line_, *converted_;
};

}  // namespace
}  // namespace sparsefast
