// A small vector wrapper over compiler vector extensions: as many lanes as the instruction set of this object has.
//
// Everything has internal linkage: the same source is compiled for several instruction sets, and nothing inline may
// cross between those objects (the linker would keep one copy for all). For that reason no header of the standard
// library with inline functions is included here.
#pragma once

#include <cstdint>

#if SPARSEFAST_ISA_LEVEL >= 4
#include <immintrin.h>
#define SF_VECTOR_BYTES 64
#elif SPARSEFAST_ISA_LEVEL >= 3
#include <immintrin.h>
#define SF_VECTOR_BYTES 32
#else
#define SF_VECTOR_BYTES 16
#endif

#define SF_INLINE inline __attribute__((always_inline))

namespace sparsefast {
namespace {

constexpr int kVectorBytes = SF_VECTOR_BYTES;

template <typename T>
struct Lanes;
template <>
struct Lanes<float> {
    typedef float vector __attribute__((vector_size(SF_VECTOR_BYTES)));
    typedef float unaligned __attribute__((vector_size(SF_VECTOR_BYTES), aligned(4), may_alias));
    typedef int32_t integers __attribute__((vector_size(SF_VECTOR_BYTES)));
    typedef int32_t integer;
    static constexpr int n = SF_VECTOR_BYTES / 4;
    static constexpr float epsilon = 1.1920929e-7f;
};
template <>
struct Lanes<double> {
    typedef double vector __attribute__((vector_size(SF_VECTOR_BYTES)));
    typedef double unaligned __attribute__((vector_size(SF_VECTOR_BYTES), aligned(8), may_alias));
    typedef int64_t integers __attribute__((vector_size(SF_VECTOR_BYTES)));
    typedef int64_t integer;
    static constexpr int n = SF_VECTOR_BYTES / 8;
    static constexpr double epsilon = 2.220446049250313e-16;
};

template <typename T>
using Vec = typename Lanes<T>::vector;
template <typename T>
using IntVec = typename Lanes<T>::integers;
template <typename T>
using Int = typename Lanes<T>::integer;

template <typename T>
SF_INLINE Vec<T> load(const T* p) {
    return *reinterpret_cast<const typename Lanes<T>::unaligned*>(p);
}
template <typename T>
SF_INLINE void store(T* p, Vec<T> v) {
    *reinterpret_cast<typename Lanes<T>::unaligned*>(p) = v;
}
// The first n lanes, 0 < n < all; those behind are zero, and are neither read nor written.
template <typename T>
SF_INLINE Vec<T> load_first(const T* p, int64_t n) {
#if SPARSEFAST_ISA_LEVEL >= 4
    const auto lanes = static_cast<__mmask16>((1u << n) - 1);
    if constexpr (sizeof(T) == 4)
        return (Vec<T>)_mm512_maskz_loadu_ps(lanes, p);
    else
        return (Vec<T>)_mm512_maskz_loadu_pd(static_cast<__mmask8>(lanes), p);
#else
    Vec<T> v{};
    for (int64_t l = 0; l < n; ++l) v[l] = p[l];
    return v;
#endif
}
template <typename T>
SF_INLINE void store_first(T* p, Vec<T> v, int64_t n) {
#if SPARSEFAST_ISA_LEVEL >= 4
    const auto lanes = static_cast<__mmask16>((1u << n) - 1);
    if constexpr (sizeof(T) == 4)
        _mm512_mask_storeu_ps(p, lanes, (__m512)v);
    else
        _mm512_mask_storeu_pd(p, static_cast<__mmask8>(lanes), (__m512d)v);
#else
    for (int64_t l = 0; l < n; ++l) p[l] = v[l];
#endif
}
template <typename T>
SF_INLINE Vec<T> broadcast(T value) {
    return value - Vec<T>{};  // minus zero changes no value, so that this is a broadcast alone; plus zero is not
}
template <typename T>
SF_INLINE Vec<T> absolute(Vec<T> v) {
    constexpr Int<T> sign_off = static_cast<Int<T>>(~(Int<T>(1) << (sizeof(T) * 8 - 1)));
    return reinterpret_cast<Vec<T>>(reinterpret_cast<IntVec<T>>(v) & sign_off);
}
// Lane by lane the number at `index` of both vectors, one after the other.
template <typename T>
SF_INLINE Vec<T> pick_lanes(Vec<T> first, Vec<T> second, IntVec<T> index) {
#if SPARSEFAST_ISA_LEVEL >= 4
    if constexpr (sizeof(T) == 4)
        return (Vec<T>)_mm512_permutex2var_ps((__m512)first, (__m512i)index, (__m512)second);
    else
        return (Vec<T>)_mm512_permutex2var_pd((__m512d)first, (__m512i)index, (__m512d)second);
#elif defined(__GNUC__) && !defined(__clang__)
    return __builtin_shuffle(first, second, index);
#else
    constexpr int n = Lanes<T>::n;
    T both[2 * n];
    store(both, first);
    store(both + n, second);
    for (int l = 0; l < n; ++l) first[l] = both[index[l]];
    return first;
#endif
}

// Stores the lanes of v, and 32-bit `positions` beside them, where the mask is set, one after the other; returns how
// many. Both outputs have room for all lanes.
template <typename T>
SF_INLINE int64_t store_selected(Vec<T> v, IntVec<T> positions, IntVec<T> mask, T* out, int32_t* out_positions) {
#if SPARSEFAST_ISA_LEVEL >= 4
    if constexpr (sizeof(T) == 4) {
        const __mmask16 m = _mm512_movepi32_mask((__m512i)mask);
        store(out, (Vec<T>)_mm512_maskz_compress_ps(m, (__m512)v));
        _mm512_storeu_si512(out_positions, _mm512_maskz_compress_epi32(m, (__m512i)positions));
        return __builtin_popcount(m);
    } else {
        const __mmask8 m = _mm512_movepi64_mask((__m512i)mask);
        store(out, (Vec<T>)_mm512_maskz_compress_pd(m, (__m512d)v));
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(out_positions),
                            _mm512_cvtepi64_epi32(_mm512_maskz_compress_epi64(m, (__m512i)positions)));
        return __builtin_popcount(m);
    }
#else
    int64_t count = 0;
    for (int l = 0; l < Lanes<T>::n; ++l) {
        out[count] = v[l];
        out_positions[count] = static_cast<int32_t>(positions[l]);
        count += mask[l] != 0;
    }
    return count;
#endif
}

// Whether any lane of a mask (0 or -1 a lane) is set.
template <typename T>
SF_INLINE bool any(IntVec<T> mask) {
#if SPARSEFAST_ISA_LEVEL >= 4
    return _mm512_test_epi32_mask((__m512i)mask, (__m512i)mask) != 0;
#elif SPARSEFAST_ISA_LEVEL >= 3
    return !_mm256_testz_si256((__m256i)mask, (__m256i)mask);
#else
    typedef int64_t Words __attribute__((vector_size(SF_VECTOR_BYTES)));
    const Words words = reinterpret_cast<Words>(mask);
    return (words[0] | words[1]) != 0;
#endif
}

template <typename T>
SF_INLINE Vec<T> square_root(Vec<T> v) {
#if SPARSEFAST_ISA_LEVEL >= 4
    if constexpr (sizeof(T) == 4)
        return (Vec<T>)_mm512_sqrt_ps((__m512)v);
    else
        return (Vec<T>)_mm512_sqrt_pd((__m512d)v);
#elif SPARSEFAST_ISA_LEVEL >= 3
    if constexpr (sizeof(T) == 4)
        return (Vec<T>)_mm256_sqrt_ps((__m256)v);
    else
        return (Vec<T>)_mm256_sqrt_pd((__m256d)v);
#else
    for (int l = 0; l < Lanes<T>::n; ++l)
        v[l] = static_cast<T>(sizeof(T) == 4 ? __builtin_sqrtf(static_cast<float>(v[l])) : __builtin_sqrt(v[l]));
    return v;
#endif
}

// 1 / sqrt(v) to the last bit or two. In float32 on AVX-512 from the 14-bit estimate and one Newton step, in a third of
// the time of a square root and a division.
template <typename T>
SF_INLINE Vec<T> inverse_square_root(Vec<T> v) {
#if SPARSEFAST_ISA_LEVEL >= 4
    if constexpr (sizeof(T) == 4) {
        const Vec<T> y = (Vec<T>)_mm512_rsqrt14_ps((__m512)v);
        return y + y * (T(0.5) - T(0.5) * v * y * y);
    }
#endif
    return 1 / square_root<T>(v);
}

// Over all lanes, by halves, so that no chain is as long as the vector.
template <typename T>
SF_INLINE T sum_of_lanes(Vec<T> v) {
    T part[Lanes<T>::n];
    store(part, v);
#pragma GCC unroll 4
    for (int half = Lanes<T>::n / 2; half > 0; half /= 2)
        for (int l = 0; l < half; ++l) part[l] += part[l + half];
    return part[0];
}
template <typename T>
SF_INLINE T max_of_lanes(Vec<T> v) {
    T part[Lanes<T>::n];
    store(part, v);
#pragma GCC unroll 4
    for (int half = Lanes<T>::n / 2; half > 0; half /= 2)
        for (int l = 0; l < half; ++l) part[l] = part[l + half] > part[l] ? part[l + half] : part[l];
    return part[0];
}

// Where each lane's largest value was met first, and the largest over all lanes with its lowest position.
template <typename T>
struct LaneMax {
    Vec<T> value;
    IntVec<T> index;
};
template <typename T>
struct Best {
    T value;
    Int<T> index;
};

// Lane by lane the larger of two, the first of equals.
template <typename T>
SF_INLINE LaneMax<T> larger(const LaneMax<T>& first, const LaneMax<T>& second) {
    LaneMax<T> best;
#if SPARSEFAST_ISA_LEVEL >= 4
    if constexpr (sizeof(T) == 4) {
        const __mmask16 wins = _mm512_cmp_ps_mask((__m512)second.value, (__m512)first.value, _CMP_GT_OQ);
        best.value = (Vec<T>)_mm512_mask_mov_ps((__m512)first.value, wins, (__m512)second.value);
        best.index = (IntVec<T>)_mm512_mask_mov_epi32((__m512i)first.index, wins, (__m512i)second.index);
    } else {
        const __mmask8 wins = _mm512_cmp_pd_mask((__m512d)second.value, (__m512d)first.value, _CMP_GT_OQ);
        best.value = (Vec<T>)_mm512_mask_mov_pd((__m512d)first.value, wins, (__m512d)second.value);
        best.index = (IntVec<T>)_mm512_mask_mov_epi64((__m512i)first.index, wins, (__m512i)second.index);
    }
#else
    const auto wins = second.value > first.value;
    best.value = wins ? second.value : first.value;
    best.index = wins ? second.index : first.index;
#endif
    return best;
}

template <typename T>
SF_INLINE Best<T> reduce(const LaneMax<T>& lanes) {
#if SPARSEFAST_ISA_LEVEL >= 4
    if constexpr (sizeof(T) == 4) {
        const float value = _mm512_reduce_max_ps((__m512)lanes.value);
        const __mmask16 equal = _mm512_cmp_ps_mask((__m512)lanes.value, _mm512_set1_ps(value), _CMP_EQ_OQ);
        return {value, _mm512_mask_reduce_min_epi32(equal, (__m512i)lanes.index)};
    } else {
        const double value = _mm512_reduce_max_pd((__m512d)lanes.value);
        const __mmask8 equal = _mm512_cmp_pd_mask((__m512d)lanes.value, _mm512_set1_pd(value), _CMP_EQ_OQ);
        return {value, static_cast<int64_t>(_mm512_mask_reduce_min_epi64(equal, (__m512i)lanes.index))};
    }
#else
    // Indices of an instruction set without masked reductions: lane by lane.
    Best<T> best{lanes.value[0], lanes.index[0]};
    for (int l = 1; l < Lanes<T>::n; ++l) {
        const bool wins = lanes.value[l] > best.value || (lanes.value[l] == best.value && lanes.index[l] < best.index);
        best.value = wins ? lanes.value[l] : best.value;
        best.index = wins ? lanes.index[l] : best.index;
    }
    return best;
#endif
}

}  // namespace
}  // namespace sparsefast
