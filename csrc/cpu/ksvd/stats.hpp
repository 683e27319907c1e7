// The sufficient statistics of online dictionary learning: A += sum of code code^T, B += sum of code x^T, in float64.
//
// A task owns an atom, and with it a row of A and of B, and goes through the atom's entries in increasing row: no
// private copies, one order of the sums, whatever the threads.
//
// Source: Mairal, Bach, Ponce, Sapiro 2009, Algorithm 1.
#pragma once

#include "cpu/ksvd/entries.hpp"

namespace sparsefast {
namespace {

template <typename T>
class Stats {
   public:
    Stats(const StatsProblem& p, void* workspace, int n_threads)
        : p_(p), arena_(workspace), threads_(n_threads), entries_(arena_, p.codes, p.n_atoms, n_threads) {
        squares_ = arena_.take<double>(p.signals.rows);
    }
    int64_t bytes() const { return arena_.used(); }

    void begin() {
        entries_.fill(p_.codes, threads_);
        const int64_t n = p_.signals.rows, share = 4096;
        parallel_tasks((n + share - 1) / share, threads_, [&](int64_t task, int) {
            const int64_t end = (task + 1) * share < n ? (task + 1) * share : n;
            for (int64_t i = task * share; i < end; ++i) squares_[i] = squared_norm(i);
        });
        double count = 0, sum = 0;
        for (int64_t i = 0; i < n; ++i)
            if (finite(i)) {
                count += 1;
                sum += squares_[i];
            }
        p_.totals[0] += count;
        p_.totals[1] += sum;
    }

    void atoms(int64_t begin, int64_t end) {
        parallel_tasks(end - begin, threads_, [&](int64_t task, int) { add(begin + task); });
    }

   private:
    const T* row(int64_t n) const { return static_cast<const T*>(p_.signals.data) + n * p_.signals.row_stride; }
    bool finite(int64_t n) const { return squares_[n] - squares_[n] == 0; }

    double squared_norm(int64_t n) const {
        const T* const x = row(n);
        double sum = 0;
        for (int64_t f = 0; f < p_.signals.cols; ++f) {
            const double value = static_cast<double>(x[f * p_.signals.col_stride]);
            sum += value * value;
        }
        return sum;
    }

    void add(int64_t k) {
        const int64_t features = p_.signals.cols, stride = p_.signals.col_stride, s = p_.codes.n_nonzero;
        double* const a = p_.a + k * p_.n_atoms;
        double* const b = p_.b + k * features;
        const T* const values = static_cast<const T*>(p_.codes.values);
        double used = 0;
        for (int64_t i = entries_.starts[k]; i < entries_.starts[k + 1]; ++i) {
            const int64_t n = entries_.rows[i];
            if (!finite(n)) continue;
            used += 1;
            const double g = static_cast<double>(entries_.values[i]);
            for (int64_t slot = 0; slot < p_.codes.counts[n]; ++slot)
                a[atom_of(p_.codes, n * s + slot)] += g * static_cast<double>(values[n * s + slot]);
            const T* const x = row(n);
            if (stride == 1)
                for (int64_t f = 0; f < features; ++f) b[f] += g * static_cast<double>(x[f]);
            else
                for (int64_t f = 0; f < features; ++f) b[f] += g * static_cast<double>(x[f * stride]);
        }
        p_.usage[k] += used;
    }

    const StatsProblem& p_;
    Arena arena_;
    int threads_;
    Entries<T> entries_;
    double* squares_;
};

}  // namespace
}  // namespace sparsefast
