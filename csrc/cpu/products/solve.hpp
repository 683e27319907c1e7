// Small symmetric systems of kLanes signals, behind each other with the signals fastest, factored together as
// L diag(d) L^T: all arithmetic of a system runs in one lane, whichever signals are beside it.
#pragma once

#include "common/vec.hpp"

namespace sparsefast {
namespace {

constexpr int64_t kLanes = 16;

// Overwrites right (s, kLanes) with the solutions for systems (s, s, kLanes), of which the lower triangle is given and
// overwritten. No pivot is taken for smaller than least_pivot.
template <typename T>
void solve_lanes(int64_t s, double least_pivot, T* system, T* right) {
    typedef T Lane __attribute__((vector_size(kLanes * sizeof(T)), aligned(sizeof(T)), may_alias));
    const auto lanes = [](const T* p) { return *reinterpret_cast<const Lane*>(p); };
    const auto put = [](T* p, Lane v) { *reinterpret_cast<Lane*>(p) = v; };
    const auto at = [&](int64_t i, int64_t j) { return system + (i * s + j) * kLanes; };
    const Lane least = T(least_pivot) - Lane{};
    for (int64_t j = 0; j < s; ++j) {
        const Lane d = lanes(at(j, j)), inverse = 1 / (d < least ? least : d), r = lanes(right + j * kLanes);
        for (int64_t i = j + 1; i < s; ++i) {
            const Lane factor = lanes(at(i, j)) * inverse;
            for (int64_t k = j + 1; k <= i; ++k) put(at(i, k), lanes(at(i, k)) - factor * lanes(at(k, j)));
            put(right + i * kLanes, lanes(right + i * kLanes) - factor * r);
        }
        for (int64_t i = j + 1; i < s; ++i) put(at(i, j), lanes(at(i, j)) * inverse);
        put(right + j * kLanes, r * inverse);
    }
    for (int64_t i = s - 1; i > 0; --i) {
        const Lane r = lanes(right + i * kLanes);
        for (int64_t j = 0; j < i; ++j) put(right + j * kLanes, lanes(right + j * kLanes) - lanes(at(i, j)) * r);
    }
}

}  // namespace
}  // namespace sparsefast
