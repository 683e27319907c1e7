// The scratch of the coders that take one signal after the other, and the block of signals that they share: scaled
// copies, and their correlations with a run of atoms.
#pragma once

#include "cpu/omp/layout.hpp"
#include "cpu/omp/scaling.hpp"

namespace sparsefast {
namespace {

template <typename T>
struct Block {
    int64_t rows, ld_x, ld_c;
    int64_t chunk;   // atoms correlated at once, whole panels
    T* x;            // (rows, ld_x): scaled signals
    T* c;            // (rows, ld_c): correlations with a chunk of atoms
    T* norm2;        // (rows,): NaN where a signal is not finite
    int32_t* scale;  // (rows,): exponents

    // With whole = false more than kWhole atoms are taken in chunks, of which the correlations of 64 rows stay in L2,
    // however many atoms there are.
    Block(const OmpDictionary& d, int64_t n_signals, bool whole, Carver& carve) {
        constexpr int64_t kRowsABlock = 64, kWhole = 4096, width = Panels<T>::width;
        const int64_t padded = round_up(d.n_atoms, Panels<T>::line);
        whole |= padded <= kWhole;
        const int64_t fit = (256 << 10) / (kRowsABlock * static_cast<int64_t>(sizeof(T))) / width * width;
        chunk = whole ? padded : smaller(padded, fit);
        ld_x = round_up(d.n_features, Panels<T>::line);
        ld_c = leading_dimension<T>(chunk);
        rows = whole ? block_rows<T>(n_signals, ld_c) : smaller(kRowsABlock, round_up(n_signals, kRows));
        x = carve.take<T>(rows * ld_x);
        c = carve.take<T>(rows * ld_c);
        norm2 = carve.take<T>(rows);
        scale = carve.take<int32_t>(rows);
    }

    // Copies signals [first, first + n), and pads the last tile with zeros.
    void load_signals(const Matrix& signals, int64_t first, int64_t n) {
        const T* const in = static_cast<const T*>(signals.data);
        for (int64_t r = 0; r < n; ++r)
            norm2[r] = copy_scaled(in + (first + r) * signals.row_stride, signals.col_stride, signals.cols, ld_x,
                                   x + r * ld_x, scale + r);
        for (int64_t i = n * ld_x; i < round_up(n, kRows) * ld_x; ++i) x[i] = 0;
    }

    // Correlations of the first n signals with atoms [from, from + width); returns the width.
    int64_t correlate_chunk(const PackedDictionary<T>& d, int64_t n, int64_t from) {
        const int64_t width = smaller(chunk, d.n_padded - from);
        correlate<T>(x, ld_x, round_up(n, kRows), d.panels + from * d.n_features, d.n_features, width, c, ld_c);
        return width;
    }
};

}  // namespace
}  // namespace sparsefast
