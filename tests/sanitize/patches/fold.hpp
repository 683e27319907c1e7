// Fold against a plain loop, and against itself.
#pragma once

#include <cmath>
#include <cstdlib>
#include <vector>

#include "common.hpp"
#include "numbers.hpp"

namespace {

// The patches that touch each tile of the image.
struct Lists {
    std::vector<int64_t> starts{0}, patches;
    Tiles tiles;

    Lists(const Shape& s, const Places& places, int64_t height, int64_t width) {
        for (int64_t b = 0; b < s.batch; ++b)
            for (int64_t y = 0; y < s.height; y += height)
                for (int64_t x = 0; x < s.width; x += width) {
                    for (int64_t l = 0; l < places.n; ++l) {
                        const int64_t* const at = places.at(b, l);
                        if (at[0] > y - s.patch_y && at[0] < std::min(y + height, s.height) && at[1] > x - s.patch_x &&
                            at[1] < std::min(x + width, s.width))
                            patches.push_back(l);
                    }
                    starts.push_back(static_cast<int64_t>(patches.size()));
                }
        tiles = {height, width, starts.data(), patches.data()};
    }
};

struct Weights {
    bool window, confidence, normalize, inverse;
};
constexpr int kNWeights = 9;
constexpr Weights kWeights[kNWeights] = {
    {false, false, false, false}, {false, false, true, false}, {true, false, false, false},
    {true, true, false, false},   {true, true, true, false},   {false, true, true, false},
    {false, true, false, false},  {true, false, true, true},   {false, false, true, true}};

template <typename E>
class Folding {
    typedef typename E::S S;

   public:
    // Exact: quarters, which weights of halves and doubles leave exact in a sum; with large numbers here and there.
    Folding(const Shape& s, const PatchGrid& grid, const Places& places, bool exact)
        : s_(s),
          places_(places),
          grid_(grid),
          n_features_(s.channels * s.patch_y * s.patch_x),
          columns_(s.batch * n_features_ * places.n),
          rows_(columns_.size),
          window_(s.patch_y * s.patch_x),
          confidence_(s.batch * places.n),
          inverse_(s.height * s.width) {
        std::normal_distribution<double> normal;
        for (int64_t i = 0; i < columns_.size; ++i) {
            const double quarters = below(16) ? static_cast<double>(below(65) - 32) / 4 : 2048;
            columns_[i] = E::of(E::kind == 0 ? static_cast<double>(below(256)) : exact ? quarters : normal(generator));
        }
        if (!exact && E::kind && columns_.size > 5) columns_[5] = E::of(std::numeric_limits<double>::infinity());
        const auto fill = [&](const Array<S>& numbers, std::initializer_list<double> of) {
            for (int64_t i = 0; i < numbers.size; ++i)
                numbers[i] = static_cast<S>(exact ? of.begin()[below(static_cast<int64_t>(of.size()))]
                                                  : std::fabs(normal(generator)) + 0.01);
        };
        fill(window_, {0.5, 1, 2, 0});
        fill(confidence_, {1, 2, 0.5, -1});
        fill(inverse_, {0.25, 1, 3});
        for (int64_t b = 0; b < s.batch; ++b)
            for (int64_t k = 0; k < n_features_; ++k)
                for (int64_t l = 0; l < places.n; ++l)
                    rows_[(b * places.n + l) * n_features_ + k] = columns_[(b * n_features_ + k) * places.n + l];
    }

    // On the grid where `tile` is null. All ways to call give the same bits: those of `wanted`, unless that is null.
    Array<E> run(const Weights& weights, bool rows, const Tiles* tile, const Array<E>* wanted,
                 const std::string& where) {
        FoldProblem p{};
        p.type = static_cast<ElementType>(E::kind);
        p.rows = rows;
        p.grid = grid_;
        p.batch = s_.batch;
        p.channels = s_.channels;
        p.patches = (rows ? rows_ : columns_).data();
        p.normalize = weights.normalize;
        p.window = weights.window ? window_.data() : nullptr;
        p.confidence = weights.confidence ? confidence_.data() : nullptr;
        p.inverse = weights.inverse && !tile ? inverse_.data() : nullptr;
        if (tile) p.corners = places_.as_corners(), p.tiles = *tile;
        int byte = 0x5a;
        Array<E> first = written(p, kWays[0], byte);
        if (wanted) check(first == *wanted, "fold", where);
        for (const Way& way : {kWays[1], kWays[2]})
            check(written(p, way, byte ^= 0xff) == first, "fold depends on threads, splits or what was there", where);
        return first;
    }

    Array<E> plain(const Weights& weights) const {
        const int64_t pixels = s_.height * s_.width;
        Array<E> out(s_.batch * s_.channels * pixels);
        Array<S> sums(out.size), totals(out.size);
        for (int64_t b = 0; b < s_.batch; ++b)
            for (int64_t c = 0; c < s_.channels; ++c)
                for (int64_t l = 0; l < places_.n; ++l)
                    for (int64_t k = 0; k < s_.patch_y * s_.patch_x; ++k) {
                        const int64_t at = pixel(places_.at(b, l), k / s_.patch_x, k % s_.patch_x, s_.height, s_.width);
                        if (at < 0) continue;
                        const int64_t i = (b * s_.channels + c) * pixels + at;
                        const S weight = (weights.window ? window_[k] : S(1)) *
                                         (weights.confidence ? confidence_[b * places_.n + l] : S(1));
                        const int64_t feature = c * s_.patch_y * s_.patch_x + k;
                        totals[i] += weight;
                        sums[i] +=
                            weight * static_cast<S>(columns_[(b * n_features_ + feature) * places_.n + l].number());
                    }
        for (int64_t i = 0; i < out.size; ++i) {
            S s = sums[i];
            if (weights.inverse)
                s *= inverse_[i % pixels];
            else if (weights.normalize)
                s = totals[i] != 0 ? s / totals[i] : S(0);
            out[i] = E::of(static_cast<double>(s));
        }
        return out;
    }

   private:
    Array<E> written(FoldProblem p, const Way& way, int byte) const {
        Array<E> out(s_.batch * s_.channels * s_.height * s_.width, byte, below(5));
        p.out = out.data();
        const int64_t bytes = fold_workspace_bytes(p, way.threads);
        check(fold_bytes_a_task(p) >= 0 && bytes % kAlignment == 0, "bytes", "fold");
        const std::unique_ptr<void, void (*)(void*)> workspace(
            std::aligned_alloc(kAlignment, static_cast<std::size_t>(bytes)), std::free);
        std::memset(workspace.get(), byte | 0xf0, static_cast<std::size_t>(bytes));
        way.run(fold_tasks(p),
                [&](int64_t begin, int64_t end, int threads) { fold(p, begin, end, workspace.get(), threads); });
        return out;
    }

    const Shape& s_;
    const Places& places_;
    PatchGrid grid_;
    int64_t n_features_;
    Array<E> columns_, rows_;
    Array<S> window_, confidence_, inverse_;
};

template <typename E>
void fold_all(const Shape& s, const PatchGrid& grid, const Places& places, bool on_grid, const std::string& where) {
    const Lists small(s, places, 5, 7), large(s, places, 128, 128);
    Folding<E> exact(s, grid, places, true), rounded(s, grid, places, false);
    // Each type has a third of the weights, and others for the next places.
    static int turn = 0;
    ++turn;
    for (int n = 0; n < kNWeights; ++n) {
        const Weights& weights = kWeights[n];
        if ((n + turn) % 3 || (weights.inverse && !on_grid)) continue;
        const Array<E> wanted = exact.plain(weights);
        for (int i = 0; i < n_isas; ++i) {
            isa_force(isa_name(isas[i]));
            std::unique_ptr<Array<E>> bits;
            const auto both = [&](bool rows, const Lists* lists, const char* how) {
                const Tiles* const tiles = lists ? &lists->tiles : nullptr;
                exact.run(weights, rows, tiles, &wanted, where + how);
                Array<E> now = rounded.run(weights, rows, tiles, weights.normalize ? nullptr : bits.get(), where + how);
                if (!bits) bits = std::make_unique<Array<E>>(std::move(now));
            };
            for (const bool rows : {false, true}) {
                if (on_grid) both(rows, nullptr, rows ? " rows" : " columns");
                if (weights.inverse) continue;
                both(rows, &small, rows ? " rows at corners, small tiles" : " columns at corners, small tiles");
                both(rows, &large, rows ? " rows at corners" : " columns at corners");
            }
        }
    }
}

}  // namespace
