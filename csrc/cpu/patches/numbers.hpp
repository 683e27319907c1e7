// Elements of patches and images, and the numbers in which they are summed: float, and double for double.
#pragma once

#include "common/vec.hpp"
#include "sparsefast/patches.hpp"

#if defined(__F16C__)
#include <immintrin.h>
#endif

namespace sparsefast {
namespace {

struct Half {
    uint16_t bits;
};
struct BFloat16 {
    uint16_t bits;
};

template <typename E>
struct Sum {
    typedef float type;
};
template <>
struct Sum<double> {
    typedef double type;
};

SF_INLINE uint32_t bits_of(float x) {
    uint32_t bits;
    __builtin_memcpy(&bits, &x, 4);
    return bits;
}
SF_INLINE float float_of(uint32_t bits) {
    float x;
    __builtin_memcpy(&x, &bits, 4);
    return x;
}

SF_INLINE float number(float x) { return x; }
SF_INLINE double number(double x) { return x; }
SF_INLINE float number(uint8_t x) { return static_cast<float>(x); }
SF_INLINE float number(BFloat16 x) { return float_of(static_cast<uint32_t>(x.bits) << 16); }
SF_INLINE float number(Half x) {
#if defined(__F16C__)
    return _cvtsh_ss(x.bits);
#else
    const uint32_t sign = static_cast<uint32_t>(x.bits & 0x8000u) << 16, rest = x.bits & 0x7fffu;
    // Exponents are moved up by 112; a multiplication does the rest for subnormal numbers, and infinity stays what it
    // is.
    const float scaled = float_of(rest << 13) * 0x1p112f;
    return float_of(sign | (rest >= 0x7c00u ? (rest << 13) | 0x7f800000u : bits_of(scaled)));
#endif
}

// Rounded to nearest, ties to even.
SF_INLINE void put(float x, float* to) { *to = x; }
SF_INLINE void put(double x, double* to) { *to = x; }
SF_INLINE void put(float x, uint8_t* to) {
    const float held = x > 0 ? (x < 255 ? x : 255.0f) : 0.0f;  // NaN gives 0
    *to = static_cast<uint8_t>(static_cast<int32_t>(bits_of(held + 0x1.8p23f) & 0xffu));
}
SF_INLINE void put(float x, BFloat16* to) {
    const uint32_t bits = bits_of(x), even = bits + 0x7fffu + ((bits >> 16) & 1u);
    to->bits = static_cast<uint16_t>((x != x ? bits | 0x400000u : even) >> 16);
}
SF_INLINE void put(float x, Half* to) {
#if defined(__F16C__)
    to->bits = static_cast<uint16_t>(_cvtss_sh(x, 0));
#else
    const uint32_t bits = bits_of(x), sign = (bits >> 16) & 0x8000u, size = bits & 0x7fffffffu;
    uint32_t half;
    if (size >= 0x47800000u)  // from 2^16 on; what rounds up to it carries over below
        half = size > 0x7f800000u ? 0x7e00u : 0x7c00u;
    else if (size < 0x38800000u)  // below 2^-14 the last place is 2^-24: adding 0.5 leaves the number in its last bits
        half = bits_of(float_of(size) + 0.5f) - 0x3f000000u;
    else
        half = (size - 0x38000000u + 0xfffu + ((size >> 13) & 1u)) >> 13;
    to->bits = static_cast<uint16_t>(sign | half);
#endif
}

// Elements as numbers: themselves, or converted into a buffer that has room for n.
SF_INLINE const float* numbers(const float* from, int64_t, float*) { return from; }
SF_INLINE const double* numbers(const double* from, int64_t, double*) { return from; }
template <typename E>
SF_INLINE const float* numbers(const E* __restrict from, int64_t n, float* __restrict buffer) {
    for (int64_t i = 0; i < n; ++i) buffer[i] = number(from[i]);
    return buffer;
}
#if defined(__F16C__)
template <>
SF_INLINE const float* numbers(const Half* __restrict from, int64_t n, float* __restrict buffer) {
    int64_t i = 0;
    for (; i + 8 <= n; i += 8)
        _mm256_storeu_ps(buffer + i, _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from + i))));
    for (; i < n; ++i) buffer[i] = number(from[i]);
    return buffer;
}
#endif

}  // namespace
}  // namespace sparsefast
