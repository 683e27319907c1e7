// Sums over the atoms of codes, (n_atoms, n_features), in an order that no number of threads changes.
//
// Signals are taken in blocks of a size that the shapes alone decide. A task goes through a block in increasing n and
// adds to a table of its own; some tables later, those are added to the totals, in float64 and in the order of their
// blocks. Rounding grows with the length of a block, and not with the number of signals.
#pragma once

#include "common/arena.hpp"
#include "common/parallel.hpp"
#include "common/vec.hpp"

namespace sparsefast {
namespace {

constexpr int64_t kTablesBytes = int64_t(16) << 20;
constexpr int64_t kMostTables = 64;

// Signals a block. Twice as many as atoms: clearing and adding up a table is the lesser part.
inline int64_t sums_block(int64_t n_atoms) { return 2 * n_atoms > 1024 ? round_up(2 * n_atoms, 16) : 1024; }

template <typename T>
class AtomSums {
   public:
    AtomSums(Arena& arena, int64_t n_signals, int64_t n_atoms, int64_t n_features)
        : n_(n_signals), size_(n_atoms * n_features) {
        block_ = sums_block(n_atoms);
        const int64_t fit = kTablesBytes / (size_ * static_cast<int64_t>(sizeof(T)) + 1),
                      blocks = (n_ + block_ - 1) / block_;
        tables_n_ = fit < 4 ? 4 : fit < kMostTables ? fit : kMostTables;
        if (tables_n_ > blocks) tables_n_ = blocks;
        tables_ = arena.take<T>(tables_n_ * size_);
        totals_ = arena.take<double>(size_);
    }

    // Calls visit(begin, end, table, thread), which adds to table (n_atoms, n_features), for each block; writes the
    // sums.
    template <typename Visit>
    void run(int n_threads, T* out, const Visit& visit) {
        constexpr int64_t share = 4096;
        for (int64_t i = 0; i < size_; ++i) totals_[i] = 0;
        for (int64_t first = 0; first < n_; first += tables_n_ * block_) {
            const int64_t left = (n_ - first + block_ - 1) / block_, tables = left < tables_n_ ? left : tables_n_;
            parallel_tasks(tables, n_threads, [&](int64_t task, int thread) {
                T* const table = tables_ + task * size_;
                for (int64_t i = 0; i < size_; ++i) table[i] = 0;
                const int64_t begin = first + task * block_, end = begin + block_ < n_ ? begin + block_ : n_;
                visit(begin, end, table, thread);
            });
            parallel_tasks((size_ + share - 1) / share, n_threads, [&](int64_t task, int) {
                const int64_t from = task * share, to = from + share < size_ ? from + share : size_;
                for (int64_t t = 0; t < tables; ++t)
                    for (int64_t i = from; i < to; ++i) totals_[i] += static_cast<double>(tables_[t * size_ + i]);
            });
        }
        for (int64_t i = 0; i < size_; ++i) out[i] = static_cast<T>(totals_[i]);
    }

   private:
    int64_t n_, size_, block_, tables_n_;
    T* tables_;
    double* totals_;
};

}  // namespace
}  // namespace sparsefast
