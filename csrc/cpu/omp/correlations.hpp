// Correlations of one signal's residual with all atoms, for the coders that take one signal after the other: from rows
// of the Gram matrix where there is one, else anew from the residual itself.
#pragma once

#include "cpu/omp/block.hpp"
#include "cpu/omp/scan.hpp"

namespace sparsefast {
namespace {

// A sparse combination of atoms, sum_j gamma_j d_{support_j}.
template <typename T>
struct Combination {
    const T* gamma;
    const int32_t* support;
    int64_t count;

    // out (ld_atoms) = x - the combination; x may be null for zero.
    SF_INLINE void subtract_from(const T* x, const PackedDictionary<T>& d, T* out) const {
        for (int64_t f = 0; f < d.ld_atoms; ++f) out[f] = x ? x[f] : T(0);
        for (int64_t j = 0; j < count; ++j) {
            const T g = gamma[j];
            const T* const atom = d.atoms + support[j] * d.ld_atoms;
            for (int64_t f = 0; f < d.ld_atoms; ++f) out[f] -= g * atom[f];
        }
    }
};

template <typename T>
SF_INLINE T squared_norm(const T* v, int64_t n) {
    Vec<T> sum = {};
    for (int64_t f = 0; f < n; f += Lanes<T>::n) sum += load(v + f) * load(v + f);
    return sum_of_lanes<T>(sum);
}

template <typename T>
SF_INLINE T inner_product(const T* a, const T* b, int64_t n) {
    Vec<T> sum = {};
    for (int64_t f = 0; f < n; f += Lanes<T>::n) sum += load(a + f) * load(b + f);
    return sum_of_lanes<T>(sum);
}

}  // namespace
}  // namespace sparsefast
