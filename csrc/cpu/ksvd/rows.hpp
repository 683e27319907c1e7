// What is done with rows of the residual: all of them padded to whole vectors, the padding zero.
//
// Rows of an atom are scattered, 256 bytes each at 64 features: they are asked for some rows ahead, since the hardware
// does not foresee them.
#pragma once

#include "common/vec.hpp"

namespace sparsefast {
namespace {

constexpr int64_t kAhead = 8;
// Vectors of a row that are summed over all rows at once, in registers.
constexpr int kBlock = SPARSEFAST_ISA_LEVEL >= 4 ? 8 : 4;

template <typename T>
SF_INLINE void prefetch_row(const T* row, int64_t n) {
    for (int64_t f = 0; f < n; f += 64 / static_cast<int64_t>(sizeof(T))) __builtin_prefetch(row + f);
}

// sum[0, V vectors) = sum over entries of g r, of columns from `first` on.
template <typename T, int V>
void weighted_sum_block(const T* residual, int64_t width, const int64_t* rows, const T* g, int64_t n, int64_t first,
                        T* sum) {
    constexpr int64_t lanes = Lanes<T>::n;
    Vec<T> acc[V] = {};
    for (int64_t i = 0; i < n; ++i) {
        if (i + kAhead < n) prefetch_row(residual + rows[i + kAhead] * width + first, V * lanes);
        const T* const r = residual + rows[i] * width + first;
        const Vec<T> weight = broadcast(g[i]);
#pragma GCC unroll 8
        for (int v = 0; v < V; ++v) acc[v] += weight * load(r + v * lanes);
    }
#pragma GCC unroll 8
    for (int v = 0; v < V; ++v) store(sum + first + v * lanes, acc[v]);
}

// sum (width,) = sum over n entries of g r.
template <typename T>
void weighted_sum(const T* residual, int64_t width, const int64_t* rows, const T* g, int64_t n, T* sum) {
    constexpr int64_t lanes = Lanes<T>::n;
    int64_t first = 0;
    for (; first + kBlock * lanes <= width; first += kBlock * lanes)
        weighted_sum_block<T, kBlock>(residual, width, rows, g, n, first, sum);
    for (; first + 4 * lanes <= width; first += 4 * lanes)
        weighted_sum_block<T, 4>(residual, width, rows, g, n, first, sum);
    for (; first < width; first += lanes) weighted_sum_block<T, 1>(residual, width, rows, g, n, first, sum);
}

template <typename T>
SF_INLINE T dot(const T* a, const T* b, int64_t width) {
    constexpr int64_t lanes = Lanes<T>::n;
    Vec<T> even{}, odd{};
    int64_t f = 0;
    for (; f + 2 * lanes <= width; f += 2 * lanes) {
        even += load(a + f) * load(b + f);
        odd += load(a + f + lanes) * load(b + f + lanes);
    }
    if (f < width) even += load(a + f) * load(b + f);
    return sum_of_lanes<T>(even + odd);
}

template <typename T>
SF_INLINE void add_scaled(T* out, T factor, const T* x, int64_t width) {
    constexpr int64_t lanes = Lanes<T>::n;
    const Vec<T> weight = broadcast(factor);
    for (int64_t f = 0; f < width; f += lanes) store(out + f, load(out + f) + weight * load(x + f));
}

// One visit of a row for its coefficient and residual without the old atom and with the new one:
// g' = r . d' + g (d . d'), r += g d - g' d'. A row of V vectors stays in registers.
template <typename T, int V>
void exchange_rows(T* residual, int64_t width, const int64_t* rows, const T* g, int64_t n, const T* before,
                   const T* after, T product, T* new_g) {
    constexpr int64_t lanes = Lanes<T>::n;
    for (int64_t i = 0; i < n; ++i) {
        if (i + kAhead < n) prefetch_row(residual + rows[i + kAhead] * width, width);
        T* const r = residual + rows[i] * width;
        const T old = g[i];
        if constexpr (V > 0) {
            Vec<T> row[V], even{}, odd{};
#pragma GCC unroll 8
            for (int v = 0; v < V; ++v) {
                row[v] = load(r + v * lanes);
                (v % 2 ? odd : even) += row[v] * load(after + v * lanes);
            }
            const T now = sum_of_lanes<T>(even + odd) + old * product;
            const Vec<T> plus = broadcast(old), minus = broadcast(now);
#pragma GCC unroll 8
            for (int v = 0; v < V; ++v)
                store(r + v * lanes, row[v] + plus * load(before + v * lanes) - minus * load(after + v * lanes));
            new_g[i] = now;
        } else {
            const T now = dot(r, after, width) + old * product;
            const Vec<T> plus = broadcast(old), minus = broadcast(now);
            for (int64_t f = 0; f < width; f += lanes)
                store(r + f, load(r + f) + plus * load(before + f) - minus * load(after + f));
            new_g[i] = now;
        }
    }
}

template <typename T>
void exchange(T* residual, int64_t width, const int64_t* rows, const T* g, int64_t n, const T* before, const T* after,
              T product, T* new_g) {
    switch (width / Lanes<T>::n) {
        case 1: return exchange_rows<T, 1>(residual, width, rows, g, n, before, after, product, new_g);
        case 2: return exchange_rows<T, 2>(residual, width, rows, g, n, before, after, product, new_g);
        case 4: return exchange_rows<T, 4>(residual, width, rows, g, n, before, after, product, new_g);
        case 8: return exchange_rows<T, 8>(residual, width, rows, g, n, before, after, product, new_g);
        default: return exchange_rows<T, 0>(residual, width, rows, g, n, before, after, product, new_g);
    }
}

// The coefficients alone: g' = r . d' + g (d . d').
template <typename T>
void project(const T* residual, int64_t width, const int64_t* rows, const T* g, int64_t n, const T* after, T product,
             T* new_g) {
    for (int64_t i = 0; i < n; ++i) {
        if (i + kAhead < n) prefetch_row(residual + rows[i + kAhead] * width, width);
        new_g[i] = dot(residual + rows[i] * width, after, width) + g[i] * product;
    }
}

}  // namespace
}  // namespace sparsefast
