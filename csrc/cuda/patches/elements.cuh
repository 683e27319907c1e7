// The elements of patches and images: how they lie in memory, the type in which their sums run, and the way between the
// two. Every element is exact in the type of its sum; the way back rounds once, to nearest, ties to even.
#pragma once

#include "cuda/platform.cuh"

namespace sparsefast {
namespace {

// Read through the cache of what no kernel writes while it runs.
template <typename T>
__device__ __forceinline__ T load(const T* from) {
    return __ldg(from);
}

// Where an element is, if it is there at all: as a number, which may be that of no memory.
template <typename T>
struct Address {
    uint64_t bytes;

    Address() = default;
    __device__ explicit Address(const T* from) : bytes(reinterpret_cast<std::uintptr_t>(from)) {}
    __device__ Address operator+(int64_t elements) const {
        Address moved = *this;
        moved.bytes += static_cast<uint64_t>(elements) * sizeof(T);
        return moved;
    }
    __device__ T load() const { return sparsefast::load(reinterpret_cast<const T*>(bytes)); }
};

// What is written once and not read soon should not drive out of the cache what is.
template <typename T>
__device__ __forceinline__ void store_once(T* to, T value) {
#ifdef __CUDACC__
    __stcs(to, value);
#else
    *to = value;
#endif
}

struct Float64 {
    using Bits = double;
    using Sum = double;
    static __device__ __forceinline__ Sum widen(Bits v) { return v; }
    static __device__ __forceinline__ Bits narrow(Sum v) { return v; }
};

struct Float32 {
    using Bits = float;
    using Sum = float;
    static __device__ __forceinline__ Sum widen(Bits v) { return v; }
    static __device__ __forceinline__ Bits narrow(Sum v) { return v; }
};

// The upper half of a float.
struct BFloat16 {
    using Bits = unsigned short;
    using Sum = float;
    static __device__ __forceinline__ Sum widen(Bits v) { return __uint_as_float(static_cast<unsigned>(v) << 16); }
    static __device__ __forceinline__ Bits narrow(Sum v) {
        const unsigned bits = __float_as_uint(v);
        return static_cast<Bits>(v != v ? 0x7fc0u : (bits + 0x7fffu + (bits >> 16 & 1)) >> 16);
    }
};

struct Float16 {
    using Bits = unsigned short;
    using Sum = float;
#ifdef __CUDACC__
    // What __half2float and __float2half_rn are, without the header that takes a second to compile.
    static __device__ __forceinline__ Sum widen(Bits v) {
        float wide;
        asm("cvt.f32.f16 %0, %1;" : "=f"(wide) : "h"(v));
        return wide;
    }
    static __device__ __forceinline__ Bits narrow(Sum v) {
        Bits bits;
        asm("cvt.rn.f16.f32 %0, %1;" : "=h"(bits) : "f"(v));
        return bits;
    }
#else
    static Sum widen(Bits v) {
        const unsigned sign = (v & 0x8000u) << 16, rest = v & 0x7fffu;
        if (rest >= 0x7c00u) return __uint_as_float(sign | 0x7f800000u | rest << 13);
        const float size = __uint_as_float(rest << 13) * 0x1p112f;  // exact, subnormal numbers too
        return sign ? -size : size;
    }
    static Bits narrow(Sum v) {
        const unsigned bits = __float_as_uint(v), sign = bits >> 16 & 0x8000u, rest = bits & 0x7fffffffu;
        unsigned half;
        if (v != v) {
            half = 0x7fffu;
        } else if (rest >= 0x477ff000u) {
            half = 0x7c00u;
        } else if (rest < 0x38800000u) {
            // A unit in the last place of 0.5 is that of subnormal halves: the sum rounds to it.
            half = __float_as_uint(__uint_as_float(rest) + 0.5f) - 0x3f000000u;
        } else {
            half = (rest - 0x38000000u + 0xfffu + (rest >> 13 & 1)) >> 13;
        }
        return static_cast<Bits>(sign | half);
    }
#endif
};

struct UInt8 {
    using Bits = unsigned char;
    using Sum = float;
    // 2^23 + v as a float has v in its last bits: cheaper than a conversion, of which a multiprocessor has few units.
    static __device__ __forceinline__ Sum widen(Bits v) { return __uint_as_float(0x4b000000u | v) - 8388608.0f; }
    static __device__ __forceinline__ Bits narrow(Sum v) {
        return static_cast<Bits>(rintf(fminf(fmaxf(v, 0.0f), 255.0f)));  // of a NaN and a number, the number
    }
};

}  // namespace
}  // namespace sparsefast
