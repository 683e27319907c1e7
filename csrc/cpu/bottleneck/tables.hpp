// Atoms of three features: their columns by a signal a lane, and sums over them.
#pragma once

#include "cpu/omp/interleave.hpp"

namespace sparsefast {
namespace {

// Reads the columns (3, n_atoms) of atoms at the indices of the lanes: from registers where two vectors hold them.
template <typename T>
class Atoms {
   public:
    Atoms(const T* columns, int64_t n_atoms) : columns_(columns), n_(n_atoms) {
        constexpr int64_t lanes = Lanes<T>::n;
        for (int f = 0; f < 3; ++f)
            for (int half = 0; half < 2; ++half) {
                T part[lanes] = {};
                for (int64_t l = 0; l < lanes && half * lanes + l < n_; ++l)
                    part[l] = columns[f * n_ + half * lanes + l];
                held_[f][half] = load(part);
            }
    }
    SF_INLINE Vec<T> operator()(int f, IntVec<T> at) const {
        if (n_ <= 2 * Lanes<T>::n) return pick_lanes<T>(held_[f][0], held_[f][1], at);
        T picked[Lanes<T>::n];
        for (int l = 0; l < Lanes<T>::n; ++l) picked[l] = columns_[f * n_ + at[l]];
        return load(picked);
    }

   private:
    const T* columns_;
    int64_t n_;
    Vec<T> held_[3][2];
};

// The columns of rows of s indices, a row a lane.
template <typename T, int s>
SF_INLINE void index_rows(const int64_t* rows, IntVec<T>* columns) {
    constexpr int lanes = Lanes<T>::n;
    Int<T> narrow[s * lanes];
    for (int i = 0; i < s * lanes; ++i) narrow[i] = static_cast<Int<T>>(rows[i]);
    // Moved as numbers: their bits are not looked at.
    T numbers[s * lanes];
    __builtin_memcpy(numbers, narrow, sizeof(narrow));
    Vec<T> moved[s];
    load_rows<T, s>(numbers, moved);
    for (int j = 0; j < s; ++j) columns[j] = reinterpret_cast<IntVec<T>>(moved[j]);
}

// Sums over atoms as vectors of four, of which the last lane counts.
template <typename T>
class ThreeTable {
   public:
    static constexpr int64_t most = 256;  // atoms

    explicit ThreeTable(int64_t n_atoms) : n_(n_atoms) {
        for (int64_t k = 0; k < n_; ++k) write(rows_ + 4 * k, Four{});
    }

    // Adds a_j row to each atom of n codes of s entries. Row n - 1 is the last that may be read as it stands.
    template <int s>
    SF_INLINE void add(const T* values, const int64_t* indices, const int32_t* counts, const T* rows, int64_t n) {
        for (int64_t i = 0; i < n; ++i, values += s, indices += s, rows += 3) {
            const Four row = i + 1 < n ? read(rows) : Four{rows[0], rows[1], rows[2], 0};
            if (counts[i] == s) {
#pragma GCC unroll 4
                for (int j = 0; j < s; ++j) one(indices[j], values[j], row);
            } else {
                for (int64_t j = 0; j < counts[i]; ++j) one(indices[j], values[j], row);
            }
        }
    }

    // Adds the sums to a table (n_atoms, 3), and what was counted to usage.
    void into(T* table, int64_t* usage) const {
        for (int64_t k = 0; k < n_; ++k) {
            for (int f = 0; f < 3; ++f) table[3 * k + f] += rows_[4 * k + f];
            usage[k] += static_cast<int64_t>(rows_[4 * k + 3]);
        }
    }

   private:
    typedef T Four __attribute__((vector_size(4 * sizeof(T)), aligned(sizeof(T)), may_alias));
    SF_INLINE static Four read(const T* p) { return *reinterpret_cast<const Four*>(p); }
    SF_INLINE static void write(T* p, Four v) { *reinterpret_cast<Four*>(p) = v; }
    SF_INLINE void one(int64_t atom, T value, Four row) {
        Four add = value * row;
        add[3] = 1;
        T* const at = rows_ + 4 * atom;
        write(at, read(at) + add);
    }

    int64_t n_;
    alignas(64) T rows_[4 * most];
};

}  // namespace
}  // namespace sparsefast
