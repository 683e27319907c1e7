// Between S vectors, one for each column, and dense rows of S numbers, one row a lane: by shuffles within registers
// where the instruction set has them for any pattern (AVX-512), through memory elsewhere.
#pragma once

#include "common/vec.hpp"

namespace sparsefast {
namespace {

// Number e of row vector `part` is column (part n + e) % S of lane (part n + e) / S.
template <typename T, int S>
SF_INLINE IntVec<T> interleave_pattern(int part, int column, bool first) {
    constexpr int n = Lanes<T>::n;
    IntVec<T> pattern;
    for (int e = 0; e < n; ++e) {
        const int at = part * n + e;
        // Positions in (what is there so far, this column); the first shuffle takes columns 0 and 1 at once.
        if (first)
            pattern[e] = at % S == column ? n + at / S : at / S;
        else
            pattern[e] = at % S == column ? n + at / S : e;
    }
    return pattern;
}

// rows[lane * S + column] = columns[column][lane]
template <typename T, int S>
SF_INLINE void store_rows(const Vec<T>* columns, T* rows) {
    constexpr int n = Lanes<T>::n;
#if SPARSEFAST_ISA_LEVEL >= 4
#pragma GCC unroll 8
    for (int part = 0; part < S; ++part) {
        Vec<T> row = columns[0];
#pragma GCC unroll 8
        for (int column = 1; column < S; ++column)
            row = pick_lanes<T>(row, columns[column], interleave_pattern<T, S>(part, column, column == 1));
        store(rows + part * n, row);
    }
#else
    for (int l = 0; l < n; ++l)
        for (int column = 0; column < S; ++column) rows[l * S + column] = columns[column][l];
#endif
}

// columns[column][lane] = rows[lane * S + column]
template <typename T, int S>
SF_INLINE void load_rows(const T* rows, Vec<T>* columns) {
    constexpr int n = Lanes<T>::n;
#if SPARSEFAST_ISA_LEVEL >= 4
    Vec<T> parts[S];
    for (int part = 0; part < S; ++part) parts[part] = load(rows + part * n);
#pragma GCC unroll 8
    for (int column = 0; column < S; ++column) {
        Vec<T> gathered = parts[0];
#pragma GCC unroll 8
        for (int part = 1; part < S; ++part) {
            IntVec<T> pattern;
            for (int l = 0; l < n; ++l) {
                const int at = l * S + column;
                const bool here = at / n == part;
                pattern[l] = here ? n + at % n : part == 1 ? at % n : l;
            }
            gathered = pick_lanes<T>(gathered, parts[part], pattern);
        }
        columns[column] = gathered;
    }
#else
    T buffer[S][n];
    for (int l = 0; l < n; ++l)
        for (int column = 0; column < S; ++column) buffer[column][l] = rows[l * S + column];
    for (int column = 0; column < S; ++column) columns[column] = load(buffer[column]);
#endif
}

}  // namespace
}  // namespace sparsefast
