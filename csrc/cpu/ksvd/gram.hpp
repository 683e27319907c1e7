// E^T E of the rows of an atom, by panels of e = r + g d that are made in the first-level cache: E is never formed as a
// whole. Upper triangle of vectors first, in registers of kRows rows by up to 3 vectors; the lower one is its mirror.
#pragma once

#include "cpu/ksvd/rows.hpp"

namespace sparsefast {
namespace {

constexpr int64_t kPanel = 48;
constexpr int kGramRowsAtOnce = SPARSEFAST_ISA_LEVEL >= 4 ? 8 : 4;

template <typename T, int V>
void gram_block(const T* panel, int64_t width, int64_t n, int64_t i, int64_t j, T* gram) {
    constexpr int64_t lanes = Lanes<T>::n;
    Vec<T> acc[kGramRowsAtOnce][V];
#pragma GCC unroll 8
    for (int a = 0; a < kGramRowsAtOnce; ++a)
#pragma GCC unroll 3
        for (int v = 0; v < V; ++v) acc[a][v] = load(gram + (i + a) * width + j + v * lanes);
    for (int64_t row = 0; row < n; ++row) {
        const T* const e = panel + row * width;
        Vec<T> right[V];
#pragma GCC unroll 3
        for (int v = 0; v < V; ++v) right[v] = load(e + j + v * lanes);
#pragma GCC unroll 8
        for (int a = 0; a < kGramRowsAtOnce; ++a) {
            const Vec<T> left = broadcast(e[i + a]);
#pragma GCC unroll 3
            for (int v = 0; v < V; ++v) acc[a][v] += left * right[v];
        }
    }
#pragma GCC unroll 8
    for (int a = 0; a < kGramRowsAtOnce; ++a)
#pragma GCC unroll 3
        for (int v = 0; v < V; ++v) store(gram + (i + a) * width + j + v * lanes, acc[a][v]);
}

// gram (width, width) = sum over n entries of e e^T, its part right of and within the vectors of the diagonal. `panel`
// holds kPanel rows.
template <typename T>
void gram_of_rows(const T* residual, int64_t width, const Entry<T>* entries, int64_t n, const T* atom, T* panel,
                  T* gram) {
    constexpr int64_t lanes = Lanes<T>::n;
    for (int64_t f = 0; f < width * width; f += lanes) store(gram + f, Vec<T>{});
    for (int64_t begin = 0; begin < n; begin += kPanel) {
        const int64_t count = begin + kPanel < n ? kPanel : n - begin;
        for (int64_t i = 0; i < count; ++i) {
            if (begin + i + kAhead < n) prefetch_row(residual + entries[begin + i + kAhead].row * width, width);
            const T* const r = residual + entries[begin + i].row * width;
            const Vec<T> weight = broadcast(entries[begin + i].value);
            for (int64_t f = 0; f < width; f += lanes)
                store(panel + i * width + f, load(r + f) + weight * load(atom + f));
        }
        for (int64_t i = 0; i < width; i += kGramRowsAtOnce) {
            int64_t j = i / lanes * lanes;
            for (; j + 3 * lanes <= width; j += 3 * lanes) gram_block<T, 3>(panel, width, count, i, j, gram);
            if (j + 2 * lanes <= width) {
                gram_block<T, 2>(panel, width, count, i, j, gram);
                j += 2 * lanes;
            }
            if (j < width) gram_block<T, 1>(panel, width, count, i, j, gram);
        }
    }
}

}  // namespace
}  // namespace sparsefast
