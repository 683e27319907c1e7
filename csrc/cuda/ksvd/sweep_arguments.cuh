// What a sweep of K-SVD (sweep.cuh) works on, and how much memory it takes.
#pragma once

#include "common/arena.hpp"
#include "cuda/ksvd/held.cuh"
#include "cuda/ksvd/lanczos.cuh"
#include "sparsefast/ksvd_cuda.hpp"

namespace sparsefast {
namespace {

constexpr int64_t kTile = 32;  // entries of a tile, at least
constexpr int64_t kMaxTiles = 128;
constexpr int64_t kMaxBlocks = 256;  // more would only wait longer for each other

// The longest e of a tile. Not a number: one of them is not finite.
struct Longest {
    double squares;
    int64_t entry;
};

template <typename T>
struct SweepArguments {
    Rows<T> rows;
    const int32_t* slots;  // (n_entries,)
    Matrix dictionary;
    int64_t n_nonzero;
    T* coefficients;         // (n_signals, n_nonzero)
    T* atoms;                // (n_atoms, n_features)
    T* partials;             // of a team: (2, tiles, partial_pitch), the halves taking turns
    int64_t partial_pitch;   // n_features; with Held whole vectors of all lanes of a row
    T* gram_partials;        // of a team: (tiles, gram_pitch, gram_pitch)
    T* gram;                 // (gram_pitch, gram_pitch)
    int64_t gram_pitch;      // n_features; with Held kGramBlock
    T* dots;                 // (n_entries,): e . x
    Longest* longest;        // of a team: (tiles,)
    unsigned char* vectors;  // of a block: vector_bytes, or null where they lie in shared memory
    int64_t vector_bytes;
};

template <typename T>
int64_t vector_bytes_of(int64_t n_features, bool exact) {
    const int64_t size = sizeof(T);
    return round_up(exact ? n_features * (3 * size + (kBasis + 2) * 8) : n_features * 2 * size, kAlignment);
}

// The form with rows in registers (held.cuh), for one atom after the other.
template <bool Exact>
constexpr int64_t kMostHeld = Exact ? kGramBlock : kMaxHeld;

inline int64_t panel_elements(int64_t n_features, bool exact, bool held) {
    if (!exact || n_features > kMaxGram) return 0;
    return held ? kHeldPanel * kGramBlock : panel_size(n_features);
}

}  // namespace
}  // namespace sparsefast
