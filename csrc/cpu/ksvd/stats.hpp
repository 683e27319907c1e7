// The sufficient statistics of online dictionary learning: A += sum of code code^T, B += sum of code x^T, in float64.
//
// Signals are taken in blocks that stay in the second-level cache, and the entries of a block in the order of their
// atoms. A task owns an atom, and with it a row of A and of B, and goes through the atom's entries in increasing
// signal: no private copies, one order of the sums, whatever the threads and the blocks.
//
// Source: Mairal, Bach, Ponce, Sapiro 2009, Algorithm 1.
#pragma once

#include "cpu/ksvd/entries.hpp"

namespace sparsefast {
namespace {

constexpr int64_t kBlockBytes = 1 << 19;

template <typename T>
class Stats {
   public:
    Stats(const StatsProblem& p, void* workspace, int n_threads)
        : p_(p),
          arena_(workspace),
          threads_(n_threads),
          block_(rows_of_block(p)),
          entries_(arena_, part(0, block_), p.n_atoms, n_threads) {
        squares_ = arena_.take<double>(block_);
    }
    int64_t bytes() const { return arena_.used(); }

    void signals(int64_t begin, int64_t end) {
        for (int64_t first = begin; first < end; first += block_)
            add_block(first, first + block_ < end ? block_ : end - first);
    }

   private:
    static int64_t rows_of_block(const StatsProblem& p) {
        const int64_t fit = kBlockBytes / (p.signals.cols * static_cast<int64_t>(sizeof(T))) + 1,
                      least = fit > 256 ? fit : 256;
        return least < p.signals.rows ? least : p.signals.rows;
    }

    // The codes of n signals from `first` on.
    SparseCodes part(int64_t first, int64_t n) const {
        SparseCodes codes = p_.codes;
        const int64_t at = first * codes.n_nonzero, index = codes.index_type == IndexType::int64 ? 8 : 4;
        codes.n_signals = n;
        codes.values = static_cast<const T*>(codes.values) + at;
        codes.indices = static_cast<const char*>(codes.indices) + at * index;
        codes.counts += first;
        return codes;
    }

    void add_block(int64_t first, int64_t n) {
        codes_ = part(first, n);
        signals_ = static_cast<const T*>(p_.signals.data) + first * p_.signals.row_stride;
        entries_.fill(codes_, threads_);
        constexpr int64_t share = 256;
        parallel_tasks((n + share - 1) / share, threads_, [&](int64_t task, int) {
            const int64_t end = (task + 1) * share < n ? (task + 1) * share : n;
            for (int64_t i = task * share; i < end; ++i) squares_[i] = squared_norm(i);
        });
        for (int64_t i = 0; i < n; ++i) {
            if (!finite(i)) continue;
            p_.totals[0] += 1;
            p_.totals[1] += squares_[i];
        }
        parallel_tasks(p_.n_atoms, threads_, [&](int64_t k, int) { add(k); });
    }

    const T* row(int64_t n) const { return signals_ + n * p_.signals.row_stride; }
    bool finite(int64_t n) const { return squares_[n] - squares_[n] == 0; }

    double squared_norm(int64_t n) const {
        const T* const x = row(n);
        if (p_.signals.col_stride == 1) return sum_of_squares(x, p_.signals.cols);
        double sum = 0;
        for (int64_t f = 0; f < p_.signals.cols; ++f) {
            const double value = static_cast<double>(x[f * p_.signals.col_stride]);
            sum += value * value;
        }
        return sum;
    }

    void add(int64_t k) {
        const Entry<T>* const all = entries_.all + entries_.starts[k];
        const int64_t n = entries_.starts[k + 1] - entries_.starts[k];
        if (codes_.index_type == IndexType::int64)
            add_codes<int64_t>(all, n, k);
        else
            add_codes<int32_t>(all, n, k);
        add_signals(all, n, p_.b + k * p_.signals.cols);
    }

    template <typename Index>
    void add_codes(const Entry<T>* entries, int64_t n, int64_t k) {
        const int64_t s = codes_.n_nonzero;
        double* const a = p_.a + k * p_.n_atoms;
        int64_t used = 0;
        for (int64_t i = 0; i < n; ++i) {
            const int64_t at = entries[i].row;
            if (!finite(at)) continue;
            ++used;
            const double g = static_cast<double>(entries[i].value);
            const Index* const atoms = static_cast<const Index*>(codes_.indices) + at * s;
            const T* const values = static_cast<const T*>(codes_.values) + at * s;
            const int64_t count = codes_.counts[at];
            for (int64_t slot = 0; slot < count; ++slot) a[atoms[slot]] += g * static_cast<double>(values[slot]);
        }
        p_.usage[k] += static_cast<double>(used);
    }

    void add_signals(const Entry<T>* entries, int64_t n, double* b) {
        constexpr int64_t lanes = Lanes<double>::n;
        const int64_t features = p_.signals.cols, stride = p_.signals.col_stride;
        int64_t f = 0;
        if (stride == 1) {
            for (; f + kBlock * lanes <= features; f += kBlock * lanes) add_vectors<kBlock>(entries, n, f, b);
            for (; f + 2 * lanes <= features; f += 2 * lanes) add_vectors<2>(entries, n, f, b);
        }
        for (; f < features; ++f)
            for (int64_t i = 0; i < n; ++i)
                if (finite(entries[i].row))
                    b[f] +=
                        static_cast<double>(entries[i].value) * static_cast<double>(row(entries[i].row)[f * stride]);
    }

    // V vectors of a row of B in registers.
    template <int V>
    void add_vectors(const Entry<T>* entries, int64_t n, int64_t first, double* b) {
        constexpr int64_t lanes = Lanes<double>::n;
        typedef T Numbers __attribute__((vector_size(lanes * sizeof(T)), aligned(sizeof(T)), may_alias));
        Vec<double> sum[V];
#pragma GCC unroll 8
        for (int v = 0; v < V; ++v) sum[v] = load(b + first + v * lanes);
        for (int64_t i = 0; i < n; ++i) {
            if (!finite(entries[i].row)) continue;
            const T* const x = row(entries[i].row) + first;
            const Vec<double> weight = broadcast(static_cast<double>(entries[i].value));
#pragma GCC unroll 8
            for (int v = 0; v < V; ++v)
                sum[v] +=
                    weight * __builtin_convertvector(*reinterpret_cast<const Numbers*>(x + v * lanes), Vec<double>);
        }
#pragma GCC unroll 8
        for (int v = 0; v < V; ++v) store(b + first + v * lanes, sum[v]);
    }

    const StatsProblem& p_;
    Arena arena_;
    int threads_;
    int64_t block_;
    Entries<T> entries_;
    double* squares_;
    SparseCodes codes_;  // of the block
    const T* signals_;
};

}  // namespace
}  // namespace sparsefast
