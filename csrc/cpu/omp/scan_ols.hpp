// One step of order-recursive selection for one signal: with u the correlations of all atoms with the direction that
// was added last, u = sum_j m_j G[i_j] (m the last row of the inverse Cholesky factor) and y the signal's part along
// it,
//
//     c -= y u,   distance2 -= u^2,   argmax_k c_k^2 / distance2_k
//
// c are the correlations with the residual and distance2 the squared distances of the atoms from the span of the
// selected. Both are kept in memory, four more passes than the plain scan; u, which others keep for all steps, is not.
// An atom with an infinite distance is out: its score is zero.
#pragma once

#include "cpu/omp/scan.hpp"

namespace sparsefast {
namespace {

// Below every distance that counts: keeps 0 / 0, a twin of a selected atom, from poisoning the comparison.
template <typename T>
constexpr T kLeastDistance = sizeof(T) == 4 ? T(1e-30) : T(1e-250);

template <typename T, int V>
SF_INLINE void keep_best_score(const Vec<T>* c, const Vec<T>* distance2, int64_t at, LaneMax<T>& best) {
    Vec<T> score[V];
#pragma GCC unroll 8
    for (int v = 0; v < V; ++v) {
        const Vec<T> floor = Vec<T>{} + kLeastDistance<T>;
        score[v] = c[v] * c[v] / (distance2[v] > floor ? distance2[v] : floor);
    }
    keep_best<T, V>(score, at, AsIs<T>{}, best);
}

template <typename T, int V, typename Rows>
SF_INLINE void ols_tile(T* c, T* distance2, const Rows& rows, Vec<T> y, int64_t at, LaneMax<T>& best) {
    constexpr int lanes = Lanes<T>::n;
    Vec<T> u[V] = {}, next_c[V], next_distance2[V];
    rows.template subtract<V>(at, u);  // -u
#pragma GCC unroll 8
    for (int v = 0; v < V; ++v) {
        next_c[v] = load(c + at + v * lanes) + y * u[v];
        next_distance2[v] = load(distance2 + at + v * lanes) - u[v] * u[v];
        store(c + at + v * lanes, next_c[v]);
        store(distance2 + at + v * lanes, next_distance2[v]);
    }
    keep_best_score<T, V>(next_c, next_distance2, at, best);
}

// A loop over the rows, at any size: unrolled as in the plain scan it is no faster, for want of registers.
template <typename T>
static Best<T> step_ols(T* c, T* distance2, const Selected<T>& direction, T y, int64_t n_padded) {
    // Half the tile of the plain scan: c and the distances need registers too.
    constexpr int tile = kTile / 2, lanes = Lanes<T>::n;
    const LoopedRows<T> rows(direction);
    const Vec<T> along = broadcast(y);
    LaneMax<T> best{Vec<T>{}, IntVec<T>{} - 1};
    int64_t at = 0;
    for (; at + tile * lanes <= n_padded; at += tile * lanes) ols_tile<T, tile>(c, distance2, rows, along, at, best);
    for (; at < n_padded; at += lanes) ols_tile<T, 1>(c, distance2, rows, along, at, best);
    return reduce<T>(best);
}

// Before the first step: the distances are the squared norms, and a zero atom is out.
template <typename T>
static Best<T> start_ols(const T* c, const T* diagonal, T* distance2, int64_t n_padded) {
    LaneMax<T> best{Vec<T>{}, IntVec<T>{} - 1};
    for (int64_t at = 0; at < n_padded; at += Lanes<T>::n) {
        const Vec<T> norm2 = load(diagonal + at);
        const Vec<T> distance = norm2 > 0 ? norm2 : Vec<T>{} + static_cast<T>(__builtin_inff());
        store(distance2 + at, distance);
        const Vec<T> ci = load(c + at);
        keep_best_score<T, 1>(&ci, &distance, at, best);
    }
    return reduce<T>(best);
}

// A second look, exact and slow, for when the winner is no candidate: its distance or its correlation is rounding.
// Atoms in the span are put out for good; `outside` says whether any of them still correlates.
template <typename T>
static Best<T> search_ols(const T* c, T* distance2, const T* diagonal, T norm2, int64_t n_atoms, bool* outside) {
    const T floor = 32 * Lanes<T>::epsilon;
    Best<T> best{0, -1};
    *outside = false;
    for (int64_t k = 0; k < n_atoms; ++k) {
        const bool correlates = c[k] * c[k] > floor * floor * norm2 * diagonal[k];
        if (distance2[k] <= 16 * Lanes<T>::epsilon * diagonal[k]) distance2[k] = static_cast<T>(__builtin_inff());
        const T score = c[k] * c[k] / distance2[k];
        *outside |= correlates && score == 0;  // a selected atom correlates no more
        if (correlates && score > best.value) best = {score, static_cast<Int<T>>(k)};
    }
    return best;
}

}  // namespace
}  // namespace sparsefast
