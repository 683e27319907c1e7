// Device functions that are arithmetic or memory operations of one thread.
#pragma once

#include <math.h>  // NOLINT: unlike <cmath>, puts the overloads for float into the global namespace

#include <cstdint>
#include <cstring>
#include <type_traits>

#ifndef INFINITY
#define INFINITY __builtin_huge_valf()
#endif
#ifndef NAN
#define NAN __builtin_nanf("")
#endif

namespace sparsefast {
namespace emulation {

template <typename To, typename From>
inline To bits_as(From value) {
    static_assert(sizeof(To) == sizeof(From), "a reinterpretation keeps the size");
    To result;
    std::memcpy(&result, &value, sizeof result);
    return result;
}

// As nvcc has it, two numbers of one kind; an integer beside a floating one is ambiguous there.
template <typename A, typename B>
using Common = std::enable_if_t<(std::is_integral<A>::value && std::is_integral<B>::value) ||
                                    (std::is_floating_point<A>::value && std::is_floating_point<B>::value),
                                std::common_type_t<A, B>>;

}  // namespace emulation
}  // namespace sparsefast

// Of a number and a NaN, the number.
template <typename A, typename B>
inline sparsefast::emulation::Common<A, B> min(A a, B b) {
    using T = std::common_type_t<A, B>;
    const T x = static_cast<T>(a), y = static_cast<T>(b);
    return x < y || y != y ? x : y;
}
template <typename A, typename B>
inline sparsefast::emulation::Common<A, B> max(A a, B b) {
    using T = std::common_type_t<A, B>;
    const T x = static_cast<T>(a), y = static_cast<T>(b);
    return x > y || y != y ? x : y;
}

inline float rsqrt(float v) { return 1 / sqrt(v); }
inline double rsqrt(double v) { return 1 / sqrt(v); }

template <typename T>
inline T __ldg(const T* address) {
    return *address;
}

inline float rsqrtf(float v) { return 1.0f / __builtin_sqrtf(v); }

inline int __float_as_int(float v) { return sparsefast::emulation::bits_as<int>(v); }
inline unsigned __float_as_uint(float v) { return sparsefast::emulation::bits_as<unsigned>(v); }
inline float __int_as_float(int v) { return sparsefast::emulation::bits_as<float>(v); }
inline float __uint_as_float(unsigned v) { return sparsefast::emulation::bits_as<float>(v); }
inline long long __double_as_longlong(double v) { return sparsefast::emulation::bits_as<long long>(v); }
inline double __longlong_as_double(long long v) { return sparsefast::emulation::bits_as<double>(v); }

inline int __clz(int v) { return v == 0 ? 32 : __builtin_clz(static_cast<unsigned>(v)); }
inline int __clzll(long long v) { return v == 0 ? 64 : __builtin_clzll(static_cast<unsigned long long>(v)); }
inline int __popc(unsigned v) { return __builtin_popcount(v); }
inline int __popcll(unsigned long long v) { return __builtin_popcountll(v); }
inline int __ffs(int v) { return __builtin_ffs(v); }
inline int __ffsll(long long v) { return __builtin_ffsll(v); }

// Two launches on different threads may share global memory, so these are atomic here too.
inline int atomicAdd(int* address, int value) { return __atomic_fetch_add(address, value, __ATOMIC_RELAXED); }
inline int atomicMax(int* address, int value) {
    int old = __atomic_load_n(address, __ATOMIC_RELAXED);
    while (old < value &&
           !__atomic_compare_exchange_n(address, &old, value, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
    }
    return old;
}
