// Inner products of four rows with four: each row is read once for four products, and the sums over the lanes of all
// sixteen are taken together.
#pragma once

#include "cpu/bottleneck/rows.hpp"

namespace sparsefast {
namespace {

constexpr int kSide = 4, kSquare = kSide * kSide;

// Where number m of as many as a vector has lanes must stand for `fold_lanes` to end with it in lane m: its bits from
// the other end.
template <typename T>
constexpr int place_of(int m) {
    const int lanes = Lanes<T>::n;
    int place = m / lanes * lanes;
    for (int bit = 1, other = lanes / 2; bit < lanes; bit *= 2, other /= 2) place += (m & bit) ? other : 0;
    return place;
}

// Which lanes of two vectors, of whose numbers `width` lanes are a part each, make the first halves of the parts of
// one.
template <typename T, int width>
struct Halves {
    static constexpr int lanes = Lanes<T>::n;
    Int<T> first[lanes]{}, second[lanes]{};
    constexpr Halves() {
        for (int l = 0; l < lanes; ++l) {
            const int part = l / (width / 2);
            first[l] = (part % 2 ? lanes : 0) + part / 2 * width + l % (width / 2);
            second[l] = first[l] + width / 2;
        }
    }
};

// The sums over the lanes of `left` vectors: pairs of vectors become one that holds half sums of both, until the lanes
// of those that are left hold one sum each. All indices are known to the compiler, which keeps them in registers.
template <typename T, int left = kSquare, int width = Lanes<T>::n>
SF_INLINE void fold_lanes(Vec<T>* sums) {
    if constexpr (width > 1) {
        constexpr Halves<T, width> halves;
        IntVec<T> first{}, second{};
#pragma GCC unroll 16
        for (int l = 0; l < Lanes<T>::n; ++l) first[l] = halves.first[l], second[l] = halves.second[l];
        Vec<T> folded[left / 2];
#pragma GCC unroll 8
        for (int i = 0; i < left / 2; ++i)
            folded[i] = pick_lanes<T>(sums[2 * i], sums[2 * i + 1], first) +
                        pick_lanes<T>(sums[2 * i], sums[2 * i + 1], second);
        fold_lanes<T, left / 2, width / 2>(folded);
#pragma GCC unroll 8
        for (int i = 0; i < kSquare / Lanes<T>::n; ++i) sums[i] = folded[i];
    }
}

// all[i * kSide + j] = <a[i], b[j]> of rows of n numbers.
template <typename T>
__attribute__((noinline)) void products_of_four(const T* const* a, const T* const* b, int64_t n, T* all) {
    Vec<T> sums[kSquare];
#pragma GCC unroll 16
    for (int i = 0; i < kSquare; ++i) sums[i] = Vec<T>{};
    row_pieces<T>(n, [&](int64_t f, auto piece) {
#pragma GCC unroll 4
        for (int v = 0; v < decltype(piece)::vectors; ++v) {
            const Vec<T> x0 = piece.read(a[0] + f, v), x1 = piece.read(a[1] + f, v), x2 = piece.read(a[2] + f, v),
                         x3 = piece.read(a[3] + f, v);
#pragma GCC unroll 4
            for (int j = 0; j < kSide; ++j) {
                const Vec<T> y = piece.read(b[j] + f, v);
                sums[place_of<T>(j)] += x0 * y;
                sums[place_of<T>(kSide + j)] += x1 * y;
                sums[place_of<T>(2 * kSide + j)] += x2 * y;
                sums[place_of<T>(3 * kSide + j)] += x3 * y;
            }
        }
    });
    fold_lanes<T>(sums);
#pragma GCC unroll 8
    for (int i = 0; i < kSquare / Lanes<T>::n; ++i) store(all + i * Lanes<T>::n, sums[i]);
}

}  // namespace
}  // namespace sparsefast
