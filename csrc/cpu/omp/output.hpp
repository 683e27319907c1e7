// The code of one signal, written to the outputs of the call.
#pragma once

#include "cpu/omp/scaling.hpp"

namespace sparsefast {
namespace {

template <typename I>
SF_INLINE void write_support(I* indices, int64_t n_nonzero, int64_t count, const int32_t* support, int64_t stride) {
    for (int64_t j = 0; j < count; ++j) indices[j] = support[j * stride];
    for (int64_t j = count; j < n_nonzero; ++j) indices[j] = 0;
}

// `count` entries, `stride` apart; coefficients are times 2^shift. A signal that is not finite has no entries, and NaN
// for padding.
template <typename T>
SF_INLINE void write_code(const OmpProblem& p, int64_t signal, OmpStatus status, int64_t count, const T* gamma,
                          const int32_t* support, int64_t stride, int shift) {
    T* const values = static_cast<T*>(p.values) + signal * p.n_nonzero;
    const bool nonfinite = status == OmpStatus::nonfinite;
    const Shift<T> to_scale(shift);
    const T padding = nonfinite ? static_cast<T>(__builtin_nanf("")) : T(0);
    if (nonfinite) count = 0;
    for (int64_t j = 0; j < count; ++j) values[j] = to_scale(gamma[j * stride]);
    for (int64_t j = count; j < p.n_nonzero; ++j) values[j] = padding;
    if (p.index_type == IndexType::int32)
        write_support(static_cast<int32_t*>(p.indices) + signal * p.n_nonzero, p.n_nonzero, count, support, stride);
    else
        write_support(static_cast<int64_t*>(p.indices) + signal * p.n_nonzero, p.n_nonzero, count, support, stride);
    p.counts[signal] = static_cast<int32_t>(count);
    p.status[signal] = static_cast<uint8_t>(status);
}

}  // namespace
}  // namespace sparsefast
