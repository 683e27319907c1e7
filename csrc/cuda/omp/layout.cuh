// The packed dictionary on a device, and exact scaling by powers of two: each signal, and the dictionary as a whole, is
// brought to a largest entry in [1, 2), so that neither norms nor products of huge or tiny data overflow or vanish.
//
// Atoms lie in rows, where a fit reads them, and transposed, where neighbouring threads score neighbouring atoms. All
// padding is zero; padding in `half` is infinite.
#pragma once

#include "cuda/platform.cuh"
#include "sparsefast/omp_cuda.hpp"

namespace sparsefast {
namespace {

constexpr int kQuad = 4;  // atoms that a thread scores at a time: one 16-byte load in float32

template <typename T>
struct alignas(16) Four {
    T v[kQuad];
};

__host__ __device__ inline int64_t padded(int64_t n, int64_t multiple) {
    return (n + multiple - 1) / multiple * multiple;
}

template <typename T>
struct Epsilon;
template <>
struct Epsilon<float> {
    static constexpr float value = 1.1920929e-07f;
};
template <>
struct Epsilon<double> {
    static constexpr double value = 2.220446049250313e-16;
};

template <typename T>
struct DeviceDictionary {
    int64_t n_atoms, n_features, ld_atoms, ld;  // `ld` is n_atoms, padded
    int* exponent;
    T* atoms;       // (n_atoms, ld_atoms)
    T* transposed;  // (n_features, ld)
    T* diagonal;    // (ld,): ||d_k||^2
    T* half;        // (ld,): ||d_k||^2 / 2, infinite for an atom that is not finite
    T* gram;        // (n_atoms, ld), or null

    DeviceDictionary(const OmpDictionary& d, const void* packed, int64_t* bytes = nullptr)
        : n_atoms(d.n_atoms),
          n_features(d.n_features),
          ld_atoms(padded(d.n_features, kQuad)),
          ld(padded(d.n_atoms, 32)) {
        int64_t used = 0;
        const auto take = [&](int64_t count) {
            char* const at = static_cast<char*>(const_cast<void*>(packed)) + used;
            used += padded(count * static_cast<int64_t>(sizeof(T)), kAlignment);
            return reinterpret_cast<T*>(at);
        };
        exponent = reinterpret_cast<int*>(take(16));
        atoms = take(n_atoms * ld_atoms);
        transposed = take(n_features * ld);
        diagonal = take(ld);
        half = take(ld);
        gram = d.method == OmpMethod::gram ? take(n_atoms * ld) : nullptr;
        if (bytes) *bytes = used;
    }
};

__device__ inline int exponent_of(float magnitude) {
    const int bits = __float_as_int(magnitude), e = (bits >> 23) - 127;
    return e == -127 ? -118 - __clz(bits | 1) : e > 126 ? 126 : e;
}
__device__ inline int exponent_of(double magnitude) {
    const long long bits = __double_as_longlong(magnitude);
    const int e = static_cast<int>(bits >> 52) - 1023;
    return e == -1023 ? -1011 - __clzll(bits | 1) : e > 1022 ? 1022 : e;
}

// 2^e, of the normal range: clamped to it.
template <typename T>
__device__ inline T power_of_two(int e);
template <>
__device__ inline float power_of_two<float>(int e) {
    return __int_as_float((min(max(e, -126), 127) + 127) << 23);
}
template <>
__device__ inline double power_of_two<double>(int e) {
    return __longlong_as_double(static_cast<long long>(min(max(e, -1022), 1023) + 1023) << 52);
}

// Times 2^e in two factors, since one would not be a normal number where e comes of a subnormal one.
template <typename T>
struct Shift {
    T half, rest;
    __device__ explicit Shift(int e) : half(power_of_two<T>(e / 2)), rest(power_of_two<T>(e - e / 2)) {}
    __device__ T operator()(T v) const { return v * half * rest; }
};

template <typename T>
__device__ inline bool is_finite(T v) {
    return v - v == T(0);
}

}  // namespace
}  // namespace sparsefast
