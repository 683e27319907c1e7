// Writing long runs of elements one after the other: straight to memory, or past the caches.
//
// An ordinary store to a line that is not in the cache reads it first: half the traffic of a large output is for
// nothing. StreamWriter collects whole lines in a small buffer and stores them without reading; what lies in a line
// that it does not own whole is written as usual.
#pragma once

#include "common/vec.hpp"

#if defined(__SSE2__)
#include <immintrin.h>
#endif

namespace sparsefast {
namespace {

// Widths of patches that loops are unrolled for: rows of a patch are mostly too short for any other way.
#define SF_PATCH_WIDTHS(CASE) \
    CASE(1) CASE(2) CASE(3) CASE(4) CASE(5) CASE(6) CASE(7) CASE(8) CASE(9) CASE(10) CASE(11) CASE(12) CASE(16)

// Elements are copied as unsigned integers of their size, whatever they are.
typedef uint8_t Bits8 __attribute__((may_alias));
typedef uint16_t Bits16 __attribute__((may_alias));
typedef uint32_t Bits32 __attribute__((may_alias));
typedef uint64_t Bits64 __attribute__((may_alias));

template <int Step, typename T>
SF_INLINE void copy_every(T* __restrict to, const T* __restrict from, int64_t n) {
    for (int64_t i = 0; i < n; ++i) to[i] = from[i * Step];
}

// n elements that lie `step` apart.
template <typename T>
SF_INLINE void copy_run(T* __restrict to, const T* __restrict from, int64_t n, int64_t step) {
    switch (step) {
        case 1: __builtin_memcpy(to, from, static_cast<std::size_t>(n) * sizeof(T)); return;
        case 2: copy_every<2>(to, from, n); return;
        case 3: copy_every<3>(to, from, n); return;
        case 4: copy_every<4>(to, from, n); return;
        case 5: copy_every<5>(to, from, n); return;
        case 8: copy_every<8>(to, from, n); return;
        default:
            for (int64_t i = 0; i < n; ++i) to[i] = from[i * step];
    }
}

// The numbers whose vectors carry elements of this size.
template <typename T>
struct SameSize {
    typedef float type;
};
template <>
struct SameSize<uint64_t> {
    typedef double type;
};

// n elements of 4 or 8 bytes, as whole vectors: what lies behind them is read and written too.
template <typename T>
SF_INLINE void copy_vectors(T* to, const T* from, int64_t n) {
    typedef typename SameSize<T>::type S;
    for (int64_t i = 0; i < n; i += Lanes<S>::n) {
        store(reinterpret_cast<S*>(to + i), load(reinterpret_cast<const S*>(from + i)));
        __asm__ volatile("");  // else the compiler knows a call of memmove again, which takes longer than such a run
    }
}

template <typename T>
class DirectWriter {
   public:
    explicit DirectWriter(T* to) : to_(to) {}
    void run(const T* from, int64_t n, int64_t step) {
        copy_run(to_, from, n, step);
        to_ += n;
    }
    template <int N>
    SF_INLINE void short_run(const T* from) {
        __builtin_memcpy(to_, from, N * sizeof(T));
        to_ += N;
    }
    // A run of elements of 4 or 8 bytes behind which a vector more can be read.
    SF_INLINE void padded_run(const T* from, int64_t n) {
        constexpr int64_t lanes = Lanes<typename SameSize<T>::type>::n;
        const int64_t whole = n / lanes * lanes;
        copy_vectors(to_, from, whole);
        for (int64_t i = whole; i < n; ++i) to_[i] = from[i];
        to_ += n;
    }
    void zeros(int64_t n) {
        __builtin_memset(to_, 0, static_cast<std::size_t>(n) * sizeof(T));
        to_ += n;
    }
    void finish() {}

   private:
    T* to_;
};

// After the last StreamWriter of a thread has finished, and before another thread is told so.
SF_INLINE void streams_end() {
#if defined(__SSE2__)
    _mm_sfence();
#endif
}

template <typename T>
class StreamWriter {
   public:
    explicit StreamWriter(T* to) {
        skip_ = static_cast<int64_t>(reinterpret_cast<std::uintptr_t>(to) % kLine);
        base_ = reinterpret_cast<char*>(to) - skip_;
        fill_ = skip_;
    }
    void run(const T* from, int64_t n, int64_t step) {
        while (n > 0) {
            const int64_t room = (kBytes - fill_) / static_cast<int64_t>(sizeof(T)), m = n < room ? n : room;
            copy_run(place(), from, m, step);
            advance(m);
            from += m * step;
            n -= m;
        }
    }
    template <int N>
    SF_INLINE void short_run(const T* from) {
        static_assert(N * sizeof(T) <= kSlack, "");
        __builtin_memcpy(place(), from, N * sizeof(T));
        fill_ += N * static_cast<int64_t>(sizeof(T));
        if (fill_ < kBytes) return;
        const int64_t over = fill_ - kBytes;
        flush(kBytes);
        __builtin_memcpy(buffer_, buffer_ + kBytes, kSlack);
        fill_ = over;
    }
    SF_INLINE void padded_run(const T* from, int64_t n) {
        if (fill_ + n * static_cast<int64_t>(sizeof(T)) > kBytes) return run(from, n, 1);
        copy_vectors(place(), from, n);  // into what is left of the buffer and its slack
        advance(n);
    }
    void zeros(int64_t n) {
        while (n > 0) {
            const int64_t room = (kBytes - fill_) / static_cast<int64_t>(sizeof(T)), m = n < room ? n : room;
            __builtin_memset(place(), 0, static_cast<std::size_t>(m) * sizeof(T));
            advance(m);
            n -= m;
        }
    }
    void finish() {
        const int64_t whole = fill_ / kLine * kLine;
        if (whole > 0) flush(whole);
        part(whole > 0 ? whole : skip_, fill_, whole);
    }

   private:
    static constexpr int64_t kLine = 64, kBytes = 4096, kSlack = 256;

    T* place() { return reinterpret_cast<T*>(buffer_ + fill_); }
    void advance(int64_t n) {
        fill_ += n * static_cast<int64_t>(sizeof(T));
        if (fill_ < kBytes) return;
        flush(kBytes);
        fill_ = 0;
    }
    // The first `bytes` of the buffer, whole lines; those before skip_ are not ours.
    void flush(int64_t bytes) {
        int64_t at = 0;
        if (skip_) {
            part(skip_, kLine, 0);
            at = kLine;
            skip_ = 0;
        }
        for (; at < bytes; at += kLine) stream_line(base_ + at, buffer_ + at);
        base_ += bytes;
    }
    // Bytes [begin, end) of the buffer, of one line, whose first lies `before` bytes behind the base.
    void part(int64_t begin, int64_t end, int64_t before) {
        for (int64_t at = begin; at < end; at += static_cast<int64_t>(sizeof(T)))
            *reinterpret_cast<T*>(base_ + at - before) = *reinterpret_cast<const T*>(buffer_ + at);
    }
    static void stream_line(char* to, const char* from) {
#if SPARSEFAST_ISA_LEVEL >= 4
        _mm512_stream_si512(reinterpret_cast<__m512i*>(to), _mm512_load_si512(from));
#elif defined(__SSE2__)
        for (int i = 0; i < kLine; i += 16)
            _mm_stream_si128(reinterpret_cast<__m128i*>(to + i),
                             _mm_load_si128(reinterpret_cast<const __m128i*>(from + i)));
#else
        __builtin_memcpy(to, from, kLine);
#endif
    }

    char* base_;
    int64_t fill_, skip_;
    alignas(64) char buffer_[kBytes + kSlack];
};

}  // namespace
}  // namespace sparsefast
