// What is done with rows of the residual: all of them padded to whole vectors, the padding zero.
//
// Rows of an atom are scattered, 256 bytes each at 64 features: they are asked for some rows ahead, since the hardware
// does not foresee them.
#pragma once

#include "common/vec.hpp"

namespace sparsefast {
namespace {

// One coefficient: of which signal, and where in the signal's code. All of it lies together, so that a sort by atom
// writes to one place an atom: three would be more than the first-level cache has lines.
template <typename T>
struct Entry {
    int64_t row;
    T value;
    int32_t slot;
};

constexpr int64_t kAhead = 8;
// Vectors of a row that are summed over all rows at once, in registers.
constexpr int kBlock = SPARSEFAST_ISA_LEVEL >= 4 ? 8 : 4;

template <typename T>
SF_INLINE void prefetch_row(const T* row, int64_t n) {
    for (int64_t f = 0; f < n; f += 64 / static_cast<int64_t>(sizeof(T))) __builtin_prefetch(row + f);
}

// In double, and in eight chains: a single one would wait for each addition.
template <typename T>
double sum_of_squares(const T* x, int64_t n) {
    typedef double Eight __attribute__((vector_size(64)));
    typedef T Numbers __attribute__((vector_size(8 * sizeof(T)), aligned(sizeof(T)), may_alias));
    Eight sum{};
    int64_t f = 0;
    for (; f + 8 <= n; f += 8) {
        const Eight v = __builtin_convertvector(*reinterpret_cast<const Numbers*>(x + f), Eight);
        sum += v * v;
    }
    double total = ((sum[0] + sum[1]) + (sum[2] + sum[3])) + ((sum[4] + sum[5]) + (sum[6] + sum[7]));
    for (; f < n; ++f) total += static_cast<double>(x[f]) * static_cast<double>(x[f]);
    return total;
}

// sum[0, V vectors) = sum over entries of g r, of columns from `first` on.
template <typename T, int V>
void weighted_sum_block(const T* residual, int64_t width, const Entry<T>* entries, int64_t n, int64_t first, T* sum) {
    constexpr int64_t lanes = Lanes<T>::n;
    Vec<T> acc[V] = {};
    for (int64_t i = 0; i < n; ++i) {
        if (i + kAhead < n) prefetch_row(residual + entries[i + kAhead].row * width + first, V * lanes);
        const T* const r = residual + entries[i].row * width + first;
        const Vec<T> weight = broadcast(entries[i].value);
#pragma GCC unroll 8
        for (int v = 0; v < V; ++v) acc[v] += weight * load(r + v * lanes);
    }
#pragma GCC unroll 8
    for (int v = 0; v < V; ++v) store(sum + first + v * lanes, acc[v]);
}

// sum (width,) = sum over n entries of g r.
template <typename T>
void weighted_sum(const T* residual, int64_t width, const Entry<T>* entries, int64_t n, T* sum) {
    constexpr int64_t lanes = Lanes<T>::n;
    int64_t first = 0;
    for (; first + kBlock * lanes <= width; first += kBlock * lanes)
        weighted_sum_block<T, kBlock>(residual, width, entries, n, first, sum);
    for (; first + 4 * lanes <= width; first += 4 * lanes)
        weighted_sum_block<T, 4>(residual, width, entries, n, first, sum);
    for (; first < width; first += lanes) weighted_sum_block<T, 1>(residual, width, entries, n, first, sum);
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

// r = x - sum over entries of g d of its atoms, V vectors of a row in registers. atom(s) and g(s) are those of entry s.
template <typename T, int V, typename Atom, typename Value>
SF_INLINE void less_atoms(const T* x, int64_t n, const Atom& atom, const Value& g, T* r) {
    constexpr int64_t lanes = Lanes<T>::n;
    Vec<T> row[V];
#pragma GCC unroll 8
    for (int v = 0; v < V; ++v) row[v] = load(x + v * lanes);
    for (int64_t s = 0; s < n; ++s) {
        const T* const d = atom(s);
        const Vec<T> weight = broadcast(g(s));
#pragma GCC unroll 8
        for (int v = 0; v < V; ++v) row[v] -= weight * load(d + v * lanes);
    }
#pragma GCC unroll 8
    for (int v = 0; v < V; ++v) store(r + v * lanes, row[v]);
}

// One visit of a row for its coefficient and residual without the old atom and with the new one:
// g' = r . d' + g (d . d'), r += g d - g' d'. A row of V vectors stays in registers. g' goes to its place in the code,
// coefficients (N, n_nonzero).
template <typename T, int V>
void exchange_rows(T* residual, int64_t width, const Entry<T>* entries, int64_t n, const T* before, const T* after,
                   T product, T* coefficients, int64_t n_nonzero) {
    constexpr int64_t lanes = Lanes<T>::n;
    for (int64_t i = 0; i < n; ++i) {
        if (i + kAhead < n) prefetch_row(residual + entries[i + kAhead].row * width, width);
        T* const r = residual + entries[i].row * width;
        const T old = entries[i].value;
        T now;
        if constexpr (V > 0) {
            Vec<T> row[V], even{}, odd{};
#pragma GCC unroll 8
            for (int v = 0; v < V; ++v) {
                row[v] = load(r + v * lanes);
                (v % 2 ? odd : even) += row[v] * load(after + v * lanes);
            }
            now = sum_of_lanes<T>(even + odd) + old * product;
            const Vec<T> plus = broadcast(old), minus = broadcast(now);
#pragma GCC unroll 8
            for (int v = 0; v < V; ++v)
                store(r + v * lanes, row[v] + plus * load(before + v * lanes) - minus * load(after + v * lanes));
        } else {
            now = dot(r, after, width) + old * product;
            const Vec<T> plus = broadcast(old), minus = broadcast(now);
            for (int64_t f = 0; f < width; f += lanes)
                store(r + f, load(r + f) + plus * load(before + f) - minus * load(after + f));
        }
        coefficients[entries[i].row * n_nonzero + entries[i].slot] = now;
    }
}

template <typename T>
void exchange(T* residual, int64_t width, const Entry<T>* entries, int64_t n, const T* before, const T* after,
              T product, T* coefficients, int64_t n_nonzero) {
    const auto call = [&](auto rows) {
        rows(residual, width, entries, n, before, after, product, coefficients, n_nonzero);
    };
    switch (width / Lanes<T>::n) {
        case 1: return call(exchange_rows<T, 1>);
        case 2: return call(exchange_rows<T, 2>);
        case 4: return call(exchange_rows<T, 4>);
        case 8: return call(exchange_rows<T, 8>);
        default: return call(exchange_rows<T, 0>);
    }
}

// The coefficients alone: g' = r . d' + g (d . d').
template <typename T>
void project(const T* residual, int64_t width, const Entry<T>* entries, int64_t n, const T* after, T product,
             T* coefficients, int64_t n_nonzero) {
    for (int64_t i = 0; i < n; ++i) {
        if (i + kAhead < n) prefetch_row(residual + entries[i + kAhead].row * width, width);
        coefficients[entries[i].row * n_nonzero + entries[i].slot] =
            dot(residual + entries[i].row * width, after, width) + entries[i].value * product;
    }
}

}  // namespace
}  // namespace sparsefast
