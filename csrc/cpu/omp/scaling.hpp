// Exact scaling by powers of two: each signal, and the dictionary as a whole, is brought to a largest entry in [1, 2),
// so that neither norms nor products of huge or tiny data overflow or vanish.
#pragma once

#include "common/vec.hpp"
#include "sparsefast/omp.hpp"

namespace sparsefast {
namespace {

// The exponent of a positive number, subnormal ones too; of the largest numbers and infinity, one less.
SF_INLINE int exponent_of(float magnitude) {
    uint32_t bits;
    __builtin_memcpy(&bits, &magnitude, 4);
    const int e = static_cast<int>(bits >> 23) - 127;
    return e == -127 ? -118 - __builtin_clz(bits | 1) : e > 126 ? 126 : e;
}
SF_INLINE int exponent_of(double magnitude) {
    uint64_t bits;
    __builtin_memcpy(&bits, &magnitude, 8);
    const int e = static_cast<int>(bits >> 52) - 1023;
    return e == -1023 ? -1011 - __builtin_clzll(bits | 1) : e > 1022 ? 1022 : e;
}

// 2^e for an exponent of the normal range (clamped to it: Shift takes larger ones).
template <typename T>
SF_INLINE T power_of_two(int e) {
    T value;
    if constexpr (sizeof(T) == 4) {
        const uint32_t bits = static_cast<uint32_t>((e < -126 ? -126 : e > 127 ? 127 : e) + 127) << 23;
        __builtin_memcpy(&value, &bits, 4);
    } else {
        const uint64_t bits = static_cast<uint64_t>((e < -1022 ? -1022 : e > 1023 ? 1023 : e) + 1023) << 52;
        __builtin_memcpy(&value, &bits, 8);
    }
    return value;
}

// Times 2^e in two factors, since one would not be a normal number where e comes of a subnormal one.
template <typename T>
struct Shift {
    T half, rest;
    explicit Shift(int e) : half(power_of_two<T>(e / 2)), rest(power_of_two<T>(e - e / 2)) {}

    template <typename V>
    SF_INLINE V operator()(V v) const {
        return v * half * rest;
    }
};

// Copies a strided row scaled by 2^-exponent and padded with zeros to `padded`; returns the squared norm of the copy,
// which is NaN when the row holds NaN or infinity.
template <typename T>
SF_INLINE T copy_scaled(const T* x, int64_t stride, int64_t n, int64_t padded, T* out, int32_t* exponent) {
    constexpr int lanes = Lanes<T>::n;
    if (stride == 1) {
        int64_t f = 0;
        for (; f + lanes <= n; f += lanes) store(out + f, load(x + f));
        for (; f < n; ++f) out[f] = x[f];
    } else {
        for (int64_t f = 0; f < n; ++f) out[f] = x[f * stride];
    }
    for (int64_t f = n; f < padded; ++f) out[f] = 0;
    Vec<T> peaks = {};
    for (int64_t f = 0; f < padded; f += lanes) {
        const Vec<T> a = absolute<T>(load(out + f));
        peaks = a > peaks ? a : peaks;
    }
    const T peak = max_of_lanes<T>(peaks);
    *exponent = peak > 0 ? exponent_of(peak) : 0;
    const Shift<T> scale(-*exponent);
    Vec<T> sums = {};
    for (int64_t f = 0; f < padded; f += lanes) {
        const Vec<T> v = scale(load(out + f));
        store(out + f, v);
        sums += v * v;
    }
    const T sum = sum_of_lanes<T>(sums);
    return sum - sum == 0 ? sum : static_cast<T>(__builtin_nanf(""));
}

// The square of a signal's tolerance, in the units of its scaled copy; -1, which nothing meets, where it is NaN.
template <typename T>
SF_INLINE T squared_tolerance(const OmpProblem& p, int64_t signal, int exponent) {
    const T tol = static_cast<const T*>(p.tol)[signal * p.tol_stride];
    if (!(tol >= 0)) return -1;
    const T scaled = Shift<T>(-exponent)(tol);
    return scaled * scaled;
}

}  // namespace
}  // namespace sparsefast
