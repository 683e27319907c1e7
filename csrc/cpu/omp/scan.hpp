// The atom that correlates most with the residual of one signal, without storing the correlations:
//
//     c = c0 - sum_j gamma_j G[i_j],   argmax_k key(c_k)
//
// where the key is |c_k|, or c_k for non-negative codes, or |c_k| times a weight of the signal's own. c0 are the
// correlations with the signal, i_j the selected atoms. Each c_k is one chain over j, so its bits do not depend on
// where a vector starts nor on which of the two forms below runs. Padded atoms have c = 0 and never win.
//
// While the rows of a group stay in L1, what counts is instructions: the rows are unrolled, with their coefficients in
// registers. From L2 on it is the order of loads: a loop over the rows inside a tile of 8 vectors, at 50 bytes a cycle.
#pragma once

#include "common/vec.hpp"

namespace sparsefast {
namespace {

constexpr int kTile = 8;      // vectors a tile: as many chains as the multiply-add units have stages
constexpr int kUnrolled = 8;  // rows
// Measured with 8 signals in turn: the unrolled form wins up to about twice the size of L1.
constexpr int64_t kUnrolledBytes = 96 << 10;

// The selected atoms of one signal: rows of the Gram matrix and coefficients, the latter `stride` apart.
template <typename T>
struct Selected {
    const T* const* rows;
    const T* gamma;
    int64_t stride;
    int64_t count;
};

// The positions of a tile's lanes from its start on: constants in memory, which cost no arithmetic.
template <typename T>
struct TilePositions {
    alignas(kVectorBytes) Int<T> lanes[kTile * Lanes<T>::n];
    constexpr TilePositions() : lanes() {
        for (int i = 0; i < kTile * Lanes<T>::n; ++i) lanes[i] = i;
    }
};
template <typename T>
constexpr TilePositions<T> tile_positions;

// What is compared: a vector of correlations at a position gives a vector of keys.
template <typename T>
struct Magnitude {
    SF_INLINE Vec<T> operator()(Vec<T> c, int64_t) const { return absolute<T>(c); }
};
template <typename T>
struct AsIs {
    SF_INLINE Vec<T> operator()(Vec<T> c, int64_t) const { return c; }
};
template <typename T>
struct Weighted {
    const T* weights;
    SF_INLINE Vec<T> operator()(Vec<T> c, int64_t at) const { return absolute<T>(c) * load(weights + at); }
};

// Takes the best of a tile of correlations into `best`: a tournament, since a chain would wait at each comparison.
template <typename T, int V, typename Key>
SF_INLINE void keep_best(const Vec<T>* c, int64_t at, const Key& key, LaneMax<T>& best) {
    LaneMax<T> tile[V];
#pragma GCC unroll 8
    for (int v = 0; v < V; ++v) {
        tile[v].value = key(c[v], at + v * Lanes<T>::n);
        tile[v].index = *reinterpret_cast<const IntVec<T>*>(tile_positions<T>.lanes + v * Lanes<T>::n);
    }
#pragma GCC unroll 3
    for (int half = 1; half < V; half *= 2)
#pragma GCC unroll 4
        for (int v = 0; v + half < V; v += 2 * half) tile[v] = larger(tile[v], tile[v + half]);
    tile[0].index += static_cast<Int<T>>(at);
    best = larger(best, tile[0]);
}

template <typename T, int N>
struct UnrolledRows {
    const T* rows[N ? N : 1];
    Vec<T> gamma[N ? N : 1];

    SF_INLINE explicit UnrolledRows(const Selected<T>& s) {
#pragma GCC unroll 8
        for (int j = 0; j < N; ++j) {
            rows[j] = s.rows[j];
            gamma[j] = broadcast(s.gamma[j * s.stride]);
        }
    }

    template <int V>
    SF_INLINE void subtract(int64_t at, Vec<T>* c) const {
#pragma GCC unroll 8
        for (int j = 0; j < N; ++j)
#pragma GCC unroll 8
            for (int v = 0; v < V; ++v) c[v] -= gamma[j] * load(rows[j] + at + v * Lanes<T>::n);
    }
};

template <typename T>
struct LoopedRows {
    const Selected<T>& s;

    SF_INLINE explicit LoopedRows(const Selected<T>& selected) : s(selected) {}

    template <int V>
    SF_INLINE void subtract(int64_t at, Vec<T>* c) const {
        for (int64_t j = 0; j < s.count; ++j) {
            const T* row = s.rows[j] + at;
            const Vec<T> gamma = broadcast(s.gamma[j * s.stride]);
#pragma GCC unroll 8
            for (int v = 0; v < V; ++v) c[v] -= gamma * load(row + v * Lanes<T>::n);
        }
    }
};

template <typename T, int V, typename Rows, typename Key>
SF_INLINE void scan_tile(const T* c0, const Rows& rows, int64_t at, const Key& key, LaneMax<T>& best) {
    Vec<T> c[V];
    for (int v = 0; v < V; ++v) c[v] = load(c0 + at + v * Lanes<T>::n);
    rows.template subtract<V>(at, c);
    keep_best<T, V>(c, at, key, best);
}

template <typename T, typename Rows, typename Key>
static Best<T> scan_rows(const T* c0, const Selected<T>& s, int64_t n_padded, const Key& key) {
    constexpr int lanes = Lanes<T>::n;
    const Rows rows(s);
    LaneMax<T> best{Vec<T>{}, IntVec<T>{} - 1};
    int64_t at = 0;
    for (; at + kTile * lanes <= n_padded; at += kTile * lanes) scan_tile<T, kTile>(c0, rows, at, key, best);
    for (; at < n_padded; at += lanes) scan_tile<T, 1>(c0, rows, at, key, best);
    return reduce<T>(best);
}

template <typename T, typename Key>
static Best<T> scan(const T* c0, const Selected<T>& s, int64_t n_padded, int64_t signals_in_turn, const Key& key) {
    const int64_t bytes = (s.count + 1) * n_padded * static_cast<int64_t>(sizeof(T)) * signals_in_turn;
    switch (bytes <= kUnrolledBytes ? s.count : s.count == 0 ? 0 : kUnrolled + 1) {
        case 0: return scan_rows<T, UnrolledRows<T, 0>>(c0, s, n_padded, key);
        case 1: return scan_rows<T, UnrolledRows<T, 1>>(c0, s, n_padded, key);
        case 2: return scan_rows<T, UnrolledRows<T, 2>>(c0, s, n_padded, key);
        case 3: return scan_rows<T, UnrolledRows<T, 3>>(c0, s, n_padded, key);
        case 4: return scan_rows<T, UnrolledRows<T, 4>>(c0, s, n_padded, key);
        case 5: return scan_rows<T, UnrolledRows<T, 5>>(c0, s, n_padded, key);
        case 6: return scan_rows<T, UnrolledRows<T, 6>>(c0, s, n_padded, key);
        case 7: return scan_rows<T, UnrolledRows<T, 7>>(c0, s, n_padded, key);
        case 8: return scan_rows<T, UnrolledRows<T, 8>>(c0, s, n_padded, key);
        default: return scan_rows<T, LoopedRows<T>>(c0, s, n_padded, key);
    }
}

// The same with the atoms in `support` left out: needed only when one of them wins through rounding.
template <typename T, typename Key>
static Best<T> scan_excluding(const T* c0, const Selected<T>& s, int64_t n_padded, const Key& key,
                              const int32_t* support, int64_t support_stride, int64_t n_support, T* scratch) {
    for (int64_t k = 0; k < n_padded; ++k) {
        T c = c0[k];
        for (int64_t j = 0; j < s.count; ++j) c -= s.gamma[j * s.stride] * s.rows[j][k];
        scratch[k] = c;
    }
    for (int64_t j = 0; j < n_support; ++j) scratch[support[j * support_stride]] = 0;
    return scan_rows<T, UnrolledRows<T, 0>>(scratch, s, n_padded, key);
}

}  // namespace
}  // namespace sparsefast
