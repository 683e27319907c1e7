// The packed dictionary and the scratch of one thread: where each part starts. Shared by packing and coding.
#pragma once

#include "common/vec.hpp"
#include "cpu/omp/gemm.hpp"
#include "sparsefast/omp.hpp"

namespace sparsefast {
namespace {

SF_INLINE int64_t round_up(int64_t n, int64_t multiple) { return (n + multiple - 1) / multiple * multiple; }
SF_INLINE int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }
SF_INLINE int64_t larger(int64_t a, int64_t b) { return a > b ? a : b; }

// Never a multiple of 1 KiB, but a cache line more: rows such a power of two apart would share few of the sets of L1.
template <typename T>
SF_INLINE int64_t leading_dimension(int64_t n) {
    const int64_t padded = round_up(n, Panels<T>::line);
    return padded * sizeof(T) % 1024 ? padded : padded + Panels<T>::line;
}

// Hands out aligned pieces of a buffer; with a null base it only counts.
struct Carver {
    char* base;
    int64_t used = 0;

    template <typename T>
    T* take(int64_t count) {
        T* p = reinterpret_cast<T*>(base + used);
        used += round_up(count * static_cast<int64_t>(sizeof(T)), kAlignment);
        return base ? p : nullptr;
    }
};

// Atoms are scaled by one power of two, so that the largest entry lies in [1, 2): exact, and no product overflows.
template <typename T>
struct PackedDictionary {
    int64_t n_atoms, n_features, n_padded, ld_atoms, ld_gram;
    int64_t* exponent;  // of the scale
    T* panels;          // D^T in panels
    T* atoms;           // (K padded to 4, ld_atoms): rows of D
    T* diagonal;        // (n_padded,): ||d_k||^2
    T* half;            // (n_padded,): ||d_k||^2 / 2, infinite for an atom that is not finite and for padding
    T* gram;            // (K, ld_gram), only for the gram method

    PackedDictionary(const OmpDictionary& d, void* packed, int64_t* bytes = nullptr)
        : n_atoms(d.n_atoms),
          n_features(d.n_features),
          n_padded(round_up(d.n_atoms, Panels<T>::line)),
          ld_atoms(round_up(d.n_features, Panels<T>::line)),
          ld_gram(leading_dimension<T>(d.n_atoms)) {
        Carver carve{static_cast<char*>(packed)};
        exponent = carve.take<int64_t>(1);
        panels = carve.take<T>(n_padded * n_features);
        atoms = carve.take<T>(round_up(n_atoms, 4) * ld_atoms);
        diagonal = carve.take<T>(n_padded);
        half = carve.take<T>(n_padded);
        gram = d.method == OmpMethod::gram ? carve.take<T>(n_atoms * ld_gram) : nullptr;
        if (bytes) *bytes = carve.used;
    }
};

constexpr int kGroup = 8;  // signals coded in lockstep: the lanes of the small linear algebra

// Signals a block: correlations of a block stay in L2 beside the panels that make them.
template <typename T>
SF_INLINE int64_t block_rows(int64_t n_signals, int64_t ld_c) {
    const int64_t fit = larger(kRows, (256 << 10) / (ld_c * static_cast<int64_t>(sizeof(T))) / kRows * kRows);
    return smaller(smaller(fit, 64), round_up(n_signals, kRows));
}

template <typename T>
struct Scratch {
    int64_t rows, ld_x, ld_c;
    T* x;                 // (rows, ld_x): scaled signals
    T* c;                 // (rows, ld_c): their correlations
    T* norm2;             // (rows,): squared norms of the scaled signals
    int32_t* scale;       // (rows,): exponents
    T* inverse;           // packed lower triangle of L^-1, kGroup lanes an entry
    T* gamma;             // (s, kGroup): coefficients
    T* g;                 // (s, kGroup): Gram entries of the new atom with the selected ones
    T* w;                 // (s, kGroup): L^-1 g
    T* lengths;           // (s, kGroup): norms of the selected atoms
    int32_t* support;     // (s, kGroup)
    const T** gram_rows;  // (kGroup, s)
    T* one_row;           // (n_padded,): correlations of one signal, for the rare second look
    T* residual;          // (kGroup, ld_x), only where correlations are made of residuals
    T* distance2;         // (kGroup, ld_c), for ols: squared distances from the span
    T* u;                 // (kGroup, ld_c), for ols without a Gram: correlations with the direction added last
    T* mask;              // (rows, ld_x), for masked: 1 where a feature is observed, else 0
    T* weights;           // (kGroup, ld_c), for masked

    Scratch(const OmpDictionary& d, OmpCoder coder, int64_t n_signals, int64_t n_nonzero, void* workspace,
            int64_t* bytes = nullptr) {
        const int64_t s = smaller(n_nonzero, smaller(d.n_features, d.n_atoms));
        ld_x = round_up(d.n_features, Panels<T>::line);
        ld_c = leading_dimension<T>(d.n_atoms);
        rows = block_rows<T>(n_signals, ld_c);
        Carver carve{static_cast<char*>(workspace)};
        x = carve.take<T>(rows * ld_x);
        c = carve.take<T>(rows * ld_c);
        norm2 = carve.take<T>(rows);
        scale = carve.take<int32_t>(rows);
        inverse = carve.take<T>(s * (s + 1) / 2 * kGroup);
        gamma = carve.take<T>(s * kGroup);
        g = carve.take<T>(s * kGroup);
        w = carve.take<T>(s * kGroup);
        lengths = carve.take<T>(s * kGroup);
        support = carve.take<int32_t>(s * kGroup);
        gram_rows = carve.take<const T*>(s * kGroup);
        one_row = carve.take<T>(ld_c);
        const bool ols = coder == OmpCoder::ols, masked = coder == OmpCoder::masked;
        const bool no_gram = d.method != OmpMethod::gram;
        residual = no_gram || masked ? carve.take<T>(kRows * ld_x) : nullptr;
        distance2 = ols ? carve.take<T>(kGroup * ld_c) : nullptr;
        u = ols && no_gram ? carve.take<T>(kGroup * ld_c) : nullptr;
        mask = masked ? carve.take<T>(rows * ld_x) : nullptr;
        weights = masked ? carve.take<T>(kGroup * ld_c) : nullptr;
        if (bytes) *bytes = carve.used;
    }
};

}  // namespace
}  // namespace sparsefast
