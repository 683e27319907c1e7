// Signals between rows and planes, and rows of numbers in vectors.
#pragma once

#include "common/arena.hpp"
#include "cpu/omp/interleave.hpp"
#include "sparsefast/bottleneck.hpp"

namespace sparsefast {
namespace {

// out[c * out_stride + r] = in[r * in_stride + c], in squares of four. The inner loop runs over rows with by_rows, else
// over columns: along the side whose other stride is long, so that its cache lines are filled one after the other.
template <typename T, bool by_rows>
void transpose(const T* in, int64_t in_stride, int64_t rows, int64_t columns, T* out, int64_t out_stride) {
    int64_t whole_rows = 0, whole_columns = 0;
#if defined(__has_builtin) && __has_builtin(__builtin_shufflevector)
    typedef T Four __attribute__((vector_size(4 * sizeof(T)), aligned(sizeof(T)), may_alias));
    const auto read = [](const T* p) { return *reinterpret_cast<const Four*>(p); };
    const auto write = [](T* p, Four v) { *reinterpret_cast<Four*>(p) = v; };
    whole_rows = rows / 4 * 4;
    whole_columns = columns / 4 * 4;
    const int64_t outer = by_rows ? whole_columns : whole_rows, inner = by_rows ? whole_rows : whole_columns;
    for (int64_t i = 0; i < outer; i += 4)
        for (int64_t j = 0; j < inner; j += 4) {
            const int64_t r = by_rows ? j : i, c = by_rows ? i : j;
            const T* const from = in + r * in_stride + c;
            T* const to = out + c * out_stride + r;
            const Four a0 = read(from), a1 = read(from + in_stride), a2 = read(from + 2 * in_stride),
                       a3 = read(from + 3 * in_stride);
            const Four low01 = __builtin_shufflevector(a0, a1, 0, 4, 1, 5),
                       high01 = __builtin_shufflevector(a0, a1, 2, 6, 3, 7),
                       low23 = __builtin_shufflevector(a2, a3, 0, 4, 1, 5),
                       high23 = __builtin_shufflevector(a2, a3, 2, 6, 3, 7);
            write(to, __builtin_shufflevector(low01, low23, 0, 1, 4, 5));
            write(to + out_stride, __builtin_shufflevector(low01, low23, 2, 3, 6, 7));
            write(to + 2 * out_stride, __builtin_shufflevector(high01, high23, 0, 1, 4, 5));
            write(to + 3 * out_stride, __builtin_shufflevector(high01, high23, 2, 3, 6, 7));
        }
#endif
    for (int64_t r = 0; r < rows; ++r)
        for (int64_t c = r < whole_rows ? whole_columns : 0; c < columns; ++c)
            out[c * out_stride + r] = in[r * in_stride + c];
}

// Planes of three features and dense rows: a vector of signals at a time.
template <typename T>
SF_INLINE void rows_of_three(const T* planes, int64_t stride, int64_t n, T* rows) {
    constexpr int64_t lanes = Lanes<T>::n;
    int64_t i = 0;
    for (; i + lanes <= n; i += lanes) {
        const Vec<T> columns[3] = {load(planes + i), load(planes + stride + i), load(planes + 2 * stride + i)};
        store_rows<T, 3>(columns, rows + 3 * i);
    }
    for (; i < n; ++i)
        for (int64_t f = 0; f < 3; ++f) rows[3 * i + f] = planes[f * stride + i];
}

// Calls visit(at, done, n) for the signals [first, first + n) of planes, image by image: `at` is the offset of the
// first of n signals in the first plane, `done` how many came before.
template <typename Visit>
SF_INLINE void by_image(const Places& places, int64_t first, int64_t n, const Visit& visit) {
    for (int64_t done = 0; done < n;) {
        const int64_t image = (first + done) / places.n_places, place = (first + done) % places.n_places;
        const int64_t left = places.n_places - place, part = n - done < left ? n - done : left;
        visit(image * places.n_features * places.n_places + place, done, part);
        done += part;
    }
}

template <typename T>
void planes_to_rows(const Places& places, const T* latent, int64_t first, int64_t n, T* rows) {
    by_image(places, first, n, [&](int64_t at, int64_t done, int64_t part) {
        if (places.n_features == 3)
            rows_of_three(latent + at, places.n_places, part, rows + 3 * done);
        else
            transpose<T, false>(latent + at, places.n_places, places.n_features, part, rows + done * places.n_features,
                                places.n_features);
    });
}

template <typename T>
void rows_to_planes(const Places& places, const T* rows, int64_t first, int64_t n, T* latent) {
    by_image(places, first, n, [&](int64_t at, int64_t done, int64_t part) {
        transpose<T, true>(rows + done * places.n_features, places.n_features, part, places.n_features, latent + at,
                           places.n_places);
    });
}

// A run of V whole vectors in a row, and the rest of a row that fills none.
template <typename T, int V>
struct Whole {
    static constexpr int vectors = V;
    SF_INLINE Vec<T> read(const T* p, int v) const { return load(p + v * Lanes<T>::n); }
    SF_INLINE void write(T* p, int v, Vec<T> x) const { store(p + v * Lanes<T>::n, x); }
};
template <typename T>
struct Rest {
    static constexpr int vectors = 1;
    int64_t n;
    SF_INLINE Vec<T> read(const T* p, int) const { return load_first(p, n); }
    SF_INLINE void write(T* p, int, Vec<T> x) const { store_first(p, x, n); }
};

// Calls visit(f, piece) for the pieces of a row of n numbers, from left to right.
template <typename T, typename Visit>
SF_INLINE void row_pieces(int64_t n, const Visit& visit) {
    constexpr int64_t lanes = Lanes<T>::n;
    int64_t f = 0;
    for (; f + 4 * lanes <= n; f += 4 * lanes) visit(f, Whole<T, 4>{});
    for (; f + lanes <= n; f += lanes) visit(f, Whole<T, 1>{});
    if (f < n) visit(f, Rest<T>{n - f});
}

}  // namespace
}  // namespace sparsefast
