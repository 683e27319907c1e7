// Correlations of a few rows with all atoms: c (rows, K) = x (rows, F) D^T, from D^T packed in panels.
//
// A panel holds three cache lines of atoms (48 in float32) for every feature, F-major, so that a tile of 8 rows by 3
// vectors lives in registers and reads each panel once from L1. Each c is one chain of multiply-adds over the
// features in order, whatever the tile: rows and atoms at the edges get the same bits as those in the middle.
#pragma once

#include "common/vec.hpp"

namespace sparsefast {
namespace {

constexpr int kRows = 8;  // rows a tile; callers pad their rows to a multiple

template <typename T>
struct Panels {
    static constexpr int64_t line = 64 / sizeof(T);  // atoms in a cache line: the padding of K
    static constexpr int64_t width = 3 * line;
};

// With `squared` the sums are of x d^2.
template <typename T, int R, int V, bool squared>
SF_INLINE void tile(const T* x, int64_t ldx, const T* panel, int64_t width, int64_t n_features, T* c, int64_t ldc) {
    Vec<T> sum[R][V] = {};
    for (int64_t f = 0; f < n_features; ++f, panel += width) {
        Vec<T> d[V];
        for (int v = 0; v < V; ++v) {
            d[v] = load(panel + v * Lanes<T>::n);
            if constexpr (squared) d[v] *= d[v];
        }
#pragma GCC unroll 8
        for (int r = 0; r < R; ++r) {
            const Vec<T> xr = broadcast(x[r * ldx + f]);
#pragma GCC unroll 3
            for (int v = 0; v < V; ++v) sum[r][v] += xr * d[v];
        }
    }
    for (int r = 0; r < R; ++r)
        for (int v = 0; v < V; ++v) store(c + r * ldc + v * Lanes<T>::n, sum[r][v]);
}

// 32 vector registers hold 8 x 3 sums; 16 hold 4 x 3.
constexpr int kTileRows = SPARSEFAST_ISA_LEVEL >= 4 ? 8 : 4;

// x: n_rows (a multiple of kRows) by F with leading dimension ldx; c: n_rows by padded K with leading dimension ldc.
template <typename T, bool squared = false>
static void correlate(const T* x, int64_t ldx, int64_t n_rows, const T* panels, int64_t n_features, int64_t n_padded,
                      T* c, int64_t ldc) {
    constexpr int lanes = Lanes<T>::n;
    for (int64_t k = 0; k < n_padded; k += Panels<T>::width) {
        const int64_t width = n_padded - k < Panels<T>::width ? n_padded - k : Panels<T>::width;
        const T* panel = panels + k * n_features;
        for (int64_t r = 0; r < n_rows; r += kTileRows) {
            const T* xr = x + r * ldx;
            T* cr = c + r * ldc + k;
            int64_t a = 0;
            for (; a + 3 * lanes <= width; a += 3 * lanes)
                tile<T, kTileRows, 3, squared>(xr, ldx, panel + a, width, n_features, cr + a, ldc);
            if (a + 2 * lanes <= width) {
                tile<T, kTileRows, 2, squared>(xr, ldx, panel + a, width, n_features, cr + a, ldc);
                a += 2 * lanes;
            }
            if (a < width) tile<T, kTileRows, 1, squared>(xr, ldx, panel + a, width, n_features, cr + a, ldc);
        }
    }
}

// One row, in the same order of sums.
template <typename T>
static void correlate_row(const T* x, const T* panels, int64_t n_features, int64_t n_padded, T* c) {
    for (int64_t k = 0; k < n_padded; k += Panels<T>::width) {
        const int64_t width = n_padded - k < Panels<T>::width ? n_padded - k : Panels<T>::width;
        const T* panel = panels + k * n_features;
        for (int64_t a = 0; a < width; a += Lanes<T>::n)
            tile<T, 1, 1, false>(x, 0, panel + a, width, n_features, c + k + a, 0);
    }
}

}  // namespace
}  // namespace sparsefast
