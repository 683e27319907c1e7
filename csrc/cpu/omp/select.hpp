// The s numbers of largest magnitude of a row, in order: decreasing magnitude, the lowest index first among equals.
//
// Two passes and no branch that depends on the numbers. The first takes the maximum over 2 s or more groups of the row:
// the s-th largest of these is a bound that at least s numbers reach, and few more. The second gathers what reaches it,
// and each of those finds its place by counting those before it. Many numbers at the bound, or s too large for it,
// go to the heap of top.hpp.
#pragma once

#include "cpu/omp/top.hpp"

namespace sparsefast {
namespace {

constexpr int64_t kCandidates = 64;

// How many of `n` keys in memory come before each lane: those larger, and with `positions` those equal and earlier.
template <typename T, bool stable>
SF_INLINE IntVec<T> count_before(const T* keys, int64_t n, Vec<T> mine, IntVec<T> positions) {
    IntVec<T> before = {};
    for (int64_t j = 0; j < n; ++j) {
        const Vec<T> other = broadcast(keys[j]);
        before -= other > mine;
        if constexpr (stable) before -= (other == mine) & (positions > static_cast<Int<T>>(j));
    }
    return before;
}

// The s-th largest of the maxima of A vectors of groups; s is at most A times the lanes.
template <typename T, int A, typename Key>
static T bound_of(const T* numbers, int64_t n, int64_t s, const Key& key) {
    constexpr int lanes = Lanes<T>::n;
    Vec<T> most[A] = {};
    int64_t at = 0;
    for (; at + A * lanes <= n; at += A * lanes)
        for (int v = 0; v < A; ++v) {
            const Vec<T> keys = key(load(numbers + at + v * lanes), at + v * lanes);
            most[v] = keys > most[v] ? keys : most[v];
        }
    for (; at < n; at += lanes) {
        const Vec<T> keys = key(load(numbers + at), at);
        most[0] = keys > most[0] ? keys : most[0];
    }
    T groups[A * lanes];
    for (int v = 0; v < A; ++v) store(groups + v * lanes, most[v]);
    Vec<T> least = Vec<T>{} + static_cast<T>(__builtin_inff());
    for (int v = 0; v < A; ++v) {
        const IntVec<T> larger_ones = count_before<T, false>(groups, A * lanes, most[v], IntVec<T>{});
        const Vec<T> counted = larger_ones < static_cast<Int<T>>(s) ? most[v] : least;
        least = counted < least ? counted : least;
    }
    return -max_of_lanes<T>(-least);
}

// Gathers the numbers whose key reaches the bound; more than kCandidates when they are too many.
template <typename T, typename Key>
static int64_t gather_reaching(const T* numbers, int64_t n, T bound, const Key& key, T* found, int32_t* indices) {
    constexpr int lanes = Lanes<T>::n;
    int64_t count = 0;
    IntVec<T> positions = *reinterpret_cast<const IntVec<T>*>(tile_positions<T>.lanes);
    for (int64_t at = 0; at < n; at += lanes, positions += lanes) {
        const Vec<T> part = load(numbers + at), keys = key(part, at);
        const IntVec<T> reaches = (keys >= bound) & (keys > 0);
        if (!any<T>(reaches)) continue;
        count += store_selected<T>(part, positions, reaches, found + count, indices + count);
        if (count > kCandidates) break;
    }
    return count;
}

// Writes at most s numbers and their indices, and returns how many. n is a multiple of the lanes. `known` is a bound
// that at least s keys reach, or not positive where none is known.
template <typename T, typename Key>
static int64_t select_largest(const T* numbers, int64_t n, int64_t s, const Key& key, T* out, int32_t* out_indices,
                              T known = 0) {
    constexpr int lanes = Lanes<T>::n;
    const int64_t groups = 2 * s;
    T found[kCandidates + lanes + 1], keys[kCandidates + lanes];
    int32_t indices[kCandidates + lanes + 1];
    int64_t count = kCandidates + 1;
    if (known > 0) count = gather_reaching(numbers, n, known, key, found, indices);
    if (count > kCandidates && groups <= 4 * lanes && n >= 4 * lanes) {
        const T bound = groups <= lanes       ? bound_of<T, 1>(numbers, n, s, key)
                        : groups <= 2 * lanes ? bound_of<T, 2>(numbers, n, s, key)
                                              : bound_of<T, 4>(numbers, n, s, key);
        count = gather_reaching(numbers, n, bound, key, found, indices);
    }
    if (count > kCandidates) {
        Top<T> top(out, out_indices, s);
        top.offer(numbers, n, 0, key);
        top.sort();
        return top.size();
    }
    const int64_t padded = round_up(count, lanes);
    for (int64_t j = 0; j < padded; ++j) keys[j] = j < count ? (found[j] < 0 ? -found[j] : found[j]) : T(-1);
    for (int64_t at = 0; at < count; at += lanes) {
        const IntVec<T> positions =
            *reinterpret_cast<const IntVec<T>*>(tile_positions<T>.lanes) + static_cast<Int<T>>(at);
        const IntVec<T> place = count_before<T, true>(keys, count, load(keys + at), positions);
        for (int l = 0; l < lanes && at + l < count; ++l) {
            if (place[l] >= s) continue;
            out[place[l]] = found[at + l];
            out_indices[place[l]] = indices[at + l];
        }
    }
    return smaller(count, s);
}

}  // namespace
}  // namespace sparsefast
