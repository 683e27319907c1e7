// Between dense rows of signals and codes and the forms with a signal a lane (small.hpp, nearest.hpp).
#pragma once

#include "cpu/omp/interleave.hpp"
#include "sparsefast/omp.hpp"

namespace sparsefast {
namespace {

// Features of signals [begin, begin + n) in columns; lanes past n repeat the last signal.
template <typename T, int F>
SF_INLINE void read_lanes(const Matrix& signals, int64_t begin, int n, Vec<T>* columns) {
    constexpr int lanes = Lanes<T>::n;
    const T* const x = static_cast<const T*>(signals.data) + begin * signals.row_stride;
    if (n == lanes && signals.row_stride == F && signals.col_stride == 1) return load_rows<T, F>(x, columns);
    T rows[F][lanes];
    for (int l = 0; l < lanes; ++l)
        for (int f = 0; f < F; ++f) rows[f][l] = x[(l < n ? l : n - 1) * signals.row_stride + f * signals.col_stride];
    for (int f = 0; f < F; ++f) columns[f] = load(rows[f]);
}

// Rows of s numbers: F columns, then padding.
template <typename T, int F, typename Out, typename Column>
SF_INLINE void write_rows(Out* out, int64_t s, int n, const Column* columns, Column padding) {
    if constexpr (sizeof(Out) == sizeof(T)) {
        if (n == Lanes<T>::n && s <= 4) {
            Vec<T> wide[4];
            for (int j = 0; j < 4; ++j) wide[j] = reinterpret_cast<Vec<T>>(j < F ? columns[j] : padding);
            T* const rows = reinterpret_cast<T*>(out);
            if (s == 1) return store_rows<T, 1>(wide, rows);
            if (s == 2) return store_rows<T, 2>(wide, rows);
            if (s == 3) return store_rows<T, 3>(wide, rows);
            return store_rows<T, 4>(wide, rows);
        }
    }
    for (int l = 0; l < n; ++l) {
        for (int j = 0; j < F && j < s; ++j) out[l * s + j] = static_cast<Out>(columns[j][l]);
        for (int64_t j = F; j < s; ++j) out[l * s + j] = static_cast<Out>(padding[l]);
    }
}

// The codes of signals [begin, begin + n), at most F entries each; coefficients are times 2^shift.
template <typename T, int F>
SF_INLINE void write_lanes(const OmpProblem& p, int64_t begin, int n, const Vec<T>* gamma, const IntVec<T>* pick,
                           IntVec<T> shift, IntVec<T> count, IntVec<T> status) {
    using V = Vec<T>;
    using I = IntVec<T>;
    constexpr int lanes = Lanes<T>::n, mantissa = sizeof(T) == 4 ? 23 : 52;
    constexpr Int<T> bias = sizeof(T) == 4 ? 127 : 1023;
    // Normal numbers: beyond them all coefficients vanish or overflow anyway.
    const auto normal = [](I e) {
        e = e < 1 - bias ? I{} + (1 - bias) : e;
        return e > bias ? I{} + bias : e;
    };
    const I half = normal(shift >> 1), rest = normal(shift - (shift >> 1));
    const V scale = reinterpret_cast<V>((half + bias) << mantissa);
    const V more = reinterpret_cast<V>((rest + bias) << mantissa);
    const I nonfinite = status == static_cast<Int<T>>(OmpStatus::nonfinite);
    const V nan = V{} + static_cast<T>(__builtin_nanf(""));
    V values[F];
    for (int j = 0; j < F; ++j)
        values[j] = nonfinite ? nan : count > static_cast<Int<T>>(j) ? gamma[j] * scale * more : V{};
    const int64_t s = p.n_nonzero;
    write_rows<T, F>(static_cast<T*>(p.values) + begin * s, s, n, values, nonfinite ? nan : V{});
    if (p.index_type == IndexType::int64)
        write_rows<T, F>(static_cast<int64_t*>(p.indices) + begin * s, s, n, pick, I{});
    else
        write_rows<T, F>(static_cast<int32_t*>(p.indices) + begin * s, s, n, pick, I{});
    int32_t counts[lanes];
    uint8_t codes[lanes];
    for (int l = 0; l < lanes; ++l) counts[l] = static_cast<int32_t>(count[l]);
    for (int l = 0; l < lanes; ++l) codes[l] = static_cast<uint8_t>(status[l]);
    __builtin_memcpy(p.counts + begin, counts, static_cast<unsigned long>(n) * sizeof(int32_t));
    __builtin_memcpy(p.status + begin, codes, static_cast<unsigned long>(n));
}

}  // namespace
}  // namespace sparsefast
