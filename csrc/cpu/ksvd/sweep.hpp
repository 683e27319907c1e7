// The sweep of K-SVD: for one atom d after the other, with the rows R_I of the residual that its signals have and their
// coefficients g, E = R_I + g d^T being never formed as a whole,
//
//     approx   u = E^T g = R_I^T g + d ||g||^2, d' = u / ||u||
//     exact    d' = the leading eigenvector of E^T E, from u / ||u|| by restarted Lanczos (lanczos.hpp), to a relative
//              residual of 1e-6 in float32 and 1e-12 in float64
//     both     g' = E d' = R_I d' + g (d . d'), R_I += g d^T - g' d'^T
//
// residual (N, width)   rows padded to whole cache lines          entries in the order of atoms (entries.hpp)
//
// Two visits of each row an atom; in exact, E^T E comes from panels in the first-level cache up to kMaxGram features,
// and is otherwise only multiplied with. The rows of an atom are split into tiles, which depend on nothing but their
// number, and partial sums are added in the order of the tiles: bits do not depend on threads.
//
// Sources: Aharon, Elad, Bruckstein 2006; Rubinstein, Zibulevsky, Elad 2008.
#pragma once

#include "cpu/ksvd/entries.hpp"
#include "cpu/ksvd/gram.hpp"
#include "cpu/ksvd/lanczos.hpp"

namespace sparsefast {
namespace {

constexpr int64_t kMaxGram = 128;
constexpr int64_t kTile = 1024;  // rows of a tile, at least
constexpr int64_t kMaxTiles = 64;
constexpr int64_t kRowsATask = 512;
constexpr double kFlopsAThread = 4e6;  // as in the bindings: below, a thread costs more than it brings

template <typename T>
class Sweep {
   public:
    Sweep(const KsvdProblem& p, void* workspace, int n_threads)
        : p_(p),
          arena_(workspace),
          n_(p.signals.rows),
          n_features_(p.signals.cols),
          n_atoms_(p.dictionary.rows),
          width_(round_up(n_features_, kAlignment / static_cast<int64_t>(sizeof(T)))),
          threads_(n_threads > 1 ? n_threads : 1),
          entries_(arena_, p.codes, n_atoms_, n_threads) {
        before_ = arena_.take<T>(n_atoms_ * width_);
        after_ = p.parallel ? arena_.take<T>(n_atoms_ * width_) : before_;
        residual_ = arena_.take<T>(n_ * width_);
        const bool exact = p.method == KsvdMethod::exact, gram = exact && width_ <= kMaxGram;
        sum_size_ = gram ? width_ * width_ : width_;
        sums_ = arena_.take<T>((p.parallel ? threads_ : kMaxTiles) * sum_size_);
        scratch_size_ = 2 * width_ + (gram ? kPanel * width_ : 0);
        scratch_ = arena_.take<T>(threads_ * scratch_size_);
        wide_size_ = exact ? (kBasis + 2) * width_ + (gram ? width_ * width_ : 0) : 0;
        wide_ = arena_.take<double>((p.parallel ? threads_ : 1) * wide_size_);
    }
    int64_t bytes() const { return arena_.used(); }

    void begin() {
        entries_.fill(p_.codes, threads_);
        copy_padded(p_.dictionary, before_);
        if (p_.parallel)
            for (int64_t i = 0; i < n_atoms_ * width_; ++i) after_[i] = before_[i];
        const T* const from = static_cast<const T*>(p_.codes.values);
        T* const to = static_cast<T*>(p_.coefficients);
        for (int64_t i = 0; i < n_ * p_.codes.n_nonzero; ++i) to[i] = from[i];
        for_rows([&](int64_t n) { residual_of(n, before_); });
    }

    void atoms(int64_t begin, int64_t end) {
        if (p_.parallel)
            return parallel_tasks(end - begin, threads_,
                                  [&](int64_t task, int thread) { update_alone(begin + task, thread); });
        for (int64_t k = begin; k < end; ++k) update(k);
    }

    void end() {
        T* const errors = static_cast<T*>(p_.errors);
        for_rows([&](int64_t n) {
            if (p_.parallel) residual_of(n, after_);
            // The root of a float's square that is too large for a float may not be.
            errors[n] = static_cast<T>(__builtin_sqrt(sum_of_squares(residual_ + n * width_, width_)));
        });
        T* const atoms = static_cast<T*>(p_.atoms);
        for (int64_t k = 0; k < n_atoms_; ++k) {
            for (int64_t f = 0; f < n_features_; ++f) atoms[k * n_features_ + f] = after_[k * width_ + f];
            p_.usage[k] = entries_.starts[k + 1] - entries_.starts[k];
        }
    }

   private:
    struct Rows {
        int64_t n, first, tile, n_tiles;
        int64_t begin(int64_t t) const { return first + t * tile; }
        int64_t count(int64_t t) const { return (t + 1) * tile < n ? tile : n - t * tile; }
    };

    Rows rows_of(int64_t k) const {
        const int64_t first = entries_.starts[k], n = entries_.starts[k + 1] - first;
        const int64_t share = (n + kMaxTiles - 1) / kMaxTiles, tile = share > kTile ? share : kTile;
        return {n, first, tile, (n + tile - 1) / tile};
    }

    const Entry<T>* at(const Rows& rows, int64_t tile) const { return entries_.all + rows.begin(tile); }

    double squares_of(const Rows& rows) const {
        const Entry<T>* const mine = entries_.all + rows.first;
        const auto square = [&](int64_t i) {
            return static_cast<double>(mine[i].value) * static_cast<double>(mine[i].value);
        };
        double a = 0, b = 0, c = 0, d = 0;
        int64_t i = 0;
        for (; i + 4 <= rows.n; i += 4) a += square(i), b += square(i + 1), c += square(i + 2), d += square(i + 3);
        for (; i < rows.n; ++i) a += square(i);
        return (a + b) + (c + d);
    }

    template <typename Visit>
    void for_rows(const Visit& visit) {
        parallel_tasks((n_ + kRowsATask - 1) / kRowsATask, threads_, [&](int64_t task, int) {
            const int64_t begin = task * kRowsATask, end = begin + kRowsATask < n_ ? begin + kRowsATask : n_;
            for (int64_t n = begin; n < end; ++n) visit(n);
        });
    }

    void copy_padded(const Matrix& m, T* to) {
        for (int64_t k = 0; k < m.rows; ++k) copy_row(m, k, to + k * width_);
    }
    void copy_row(const Matrix& m, int64_t row, T* to) {
        const T* const from = static_cast<const T*>(m.data) + row * m.row_stride;
        if (m.col_stride == 1)
            for (int64_t f = 0; f < m.cols; ++f) to[f] = from[f];
        else
            for (int64_t f = 0; f < m.cols; ++f) to[f] = from[f * m.col_stride];
        for (int64_t f = m.cols; f < width_; ++f) to[f] = 0;
    }

    void residual_of(int64_t n, const T* atoms) {
        constexpr int64_t lanes = Lanes<T>::n;
        T* const r = residual_ + n * width_;
        const T* x = static_cast<const T*>(p_.signals.data) + n * p_.signals.row_stride;
        if (p_.signals.col_stride != 1 || n_features_ != width_) {
            copy_row(p_.signals, n, r);
            x = r;
        }
        const int64_t first = n * p_.codes.n_nonzero, count = p_.codes.counts[n];
        const T* const g = static_cast<const T*>(p_.coefficients) + first;
        const auto value = [&](int64_t s) { return g[s]; };
        const auto atom = [&](int64_t f) {
            return [=](int64_t s) { return atoms + atom_of(p_.codes, first + s) * width_ + f; };
        };
        int64_t f = 0;
        for (; f + kBlock * lanes <= width_; f += kBlock * lanes)
            less_atoms<T, kBlock>(x + f, count, atom(f), value, r + f);
        for (; f + 4 * lanes <= width_; f += 4 * lanes) less_atoms<T, 4>(x + f, count, atom(f), value, r + f);
        for (; f < width_; f += lanes) less_atoms<T, 1>(x + f, count, atom(f), value, r + f);
    }

    // Calls visit(tile, thread, sum of this tile) and adds the sums in order into the first.
    template <typename Visit>
    T* summed(const Rows& rows, int threads, T* sums, int64_t size, const Visit& visit) {
        parallel_tasks(rows.n_tiles, threads, [&](int64_t t, int thread) { visit(t, thread, sums + t * size); });
        for (int64_t t = 1; t < rows.n_tiles; ++t)
            for (int64_t f = 0; f < size; ++f) sums[f] += sums[t * size + f];
        return sums;
    }

    int threads_for(const Rows& rows, double flops_a_row) const {
        const double flops = flops_a_row * static_cast<double>(rows.n), most = flops / kFlopsAThread;
        return most < threads_ ? (most < 1 ? 1 : static_cast<int>(most)) : threads_;
    }

    // One atom after the other: its tiles are the tasks.
    void update(int64_t k) {
        const Rows rows = rows_of(k);
        const double features = static_cast<double>(width_);
        const int threads = threads_for(rows, 6 * features);
        const auto sum = [&](auto&& visit, int64_t size, int n) { return summed(rows, n, sums_, size, visit); };
        T* const atom = before_ + k * width_;
        T* const fresh = scratch_;
        if (rows.n == 0 || !direction(k, rows, threads, sum, fresh, wide_)) return;
        const T product = dot(atom, fresh, width_);
        parallel_tasks(rows.n_tiles, threads, [&](int64_t t, int) {
            exchange(residual_, width_, entries_.all + rows.begin(t), rows.count(t), atom, fresh, product,
                     static_cast<T*>(p_.coefficients), p_.codes.n_nonzero);
        });
        for (int64_t f = 0; f < width_; ++f) atom[f] = fresh[f];
    }

    // All atoms at once: an atom is a task.
    void update_alone(int64_t k, int thread) {
        Rows rows = rows_of(k);
        if (rows.n == 0) return;
        rows.tile = rows.n;
        rows.n_tiles = 1;
        T* const mine = sums_ + thread * sum_size_;
        const auto sum = [&](auto&& visit, int64_t, int) {
            visit(0, thread, mine);
            return mine;
        };
        T* const fresh = after_ + k * width_;
        T* const found = scratch_ + thread * scratch_size_;
        if (!direction(k, rows, 1, sum, found, wide_ + thread * wide_size_)) return;
        const T* const atom = before_ + k * width_;
        project(residual_, width_, entries_.all + rows.first, rows.n, found, dot(atom, found, width_),
                static_cast<T*>(p_.coefficients), p_.codes.n_nonzero);
        for (int64_t f = 0; f < width_; ++f) fresh[f] = found[f];
    }

    // Writes the new atom (width,), of norm 1; false where the old one stays.
    template <typename Sum>
    bool direction(int64_t k, const Rows& rows, int threads, const Sum& sum, T* fresh, double* wide) {
        const T* const atom = before_ + k * width_;
        const T* const u =
            sum([&](int64_t t, int, T* out) { weighted_sum(residual_, width_, at(rows, t), rows.count(t), out); },
                width_, threads);
        const double squares = squares_of(rows);
        for (int64_t f = 0; f < width_; ++f) fresh[f] = u[f] + static_cast<T>(squares) * atom[f];
        const bool found = normalise(fresh);
        if (p_.method == KsvdMethod::approx) return found;
        return exact_direction(k, rows, threads, sum, found, fresh, wide);
    }

    bool normalise(T* x) const {
        double squares = 0;
        for (int64_t f = 0; f < width_; ++f) squares += static_cast<double>(x[f]) * static_cast<double>(x[f]);
        // Below the smallest normal number the quotients would have lost their digits; NaN and infinity are refused.
        if (!(squares > 1e-290 && squares < 1e290)) return false;
        const double inverse = 1 / __builtin_sqrt(squares);
        for (int64_t f = 0; f < width_; ++f) x[f] = static_cast<T>(static_cast<double>(x[f]) * inverse);
        return true;
    }

    template <typename Sum>
    bool exact_direction(int64_t k, const Rows& rows, int threads, const Sum& sum, bool found, T* fresh, double* wide) {
        const T* const atom = before_ + k * width_;
        if (!found && !longest_row(atom, rows, fresh)) return false;
        constexpr double tolerance = sizeof(T) == 4 ? 1e-6 : 1e-12;
        double* const v = wide;
        double* const basis = v + width_;
        for (int64_t f = 0; f < width_; ++f) v[f] = static_cast<double>(fresh[f]);
        if (width_ <= kMaxGram && rows.n >= width_ / 2) {
            const T* const gram = sum(
                [&](int64_t t, int thread, T* out) {
                    T* const panel = scratch_ + thread * scratch_size_ + 2 * width_;
                    gram_of_rows(residual_, width_, at(rows, t), rows.count(t), atom, panel, out);
                },
                width_ * width_, threads_for(rows, static_cast<double>(width_ * width_)));
            double* const full = basis + (kBasis + 1) * width_;
            constexpr int64_t lanes = Lanes<T>::n;
            for (int64_t i = 0; i < width_; ++i)
                for (int64_t j = i / lanes * lanes; j < width_; ++j)
                    full[i * width_ + j] = full[j * width_ + i] = static_cast<double>(gram[i * width_ + j]);
            leading_eigenvector(width_, tolerance, v, basis, [&](const double* x, double* y) {
                for (int64_t i = 0; i < width_; ++i) y[i] = dot_double(full + i * width_, x, width_);
            });
        } else {
            leading_eigenvector(width_, tolerance, v, basis, [&](const double* x, double* y) {
                T* const direction = fresh + width_;  // the room behind it in the scratch of its thread
                for (int64_t f = 0; f < width_; ++f) direction[f] = static_cast<T>(x[f]);
                const T along = dot(atom, direction, width_);
                const T* const w =
                    sum([&](int64_t t, int,
                            T* out) { product_of_rows(at(rows, t), rows.count(t), atom, direction, along, out); },
                        width_, threads);
                for (int64_t f = 0; f < width_; ++f) y[f] = static_cast<double>(w[f]);
            });
        }
        double cosine = 0;
        for (int64_t f = 0; f < width_; ++f) cosine += v[f] * static_cast<double>(atom[f]);
        for (int64_t f = 0; f < width_; ++f) fresh[f] = static_cast<T>(cosine < 0 ? -v[f] : v[f]);
        return normalise(fresh);
    }

    // out = sum of e (e . x) with e = r + g d, each row visited once.
    void product_of_rows(const Entry<T>* entries, int64_t n, const T* atom, const T* x, T along, T* out) {
        constexpr int64_t lanes = Lanes<T>::n;
        for (int64_t f = 0; f < width_; f += lanes) store(out + f, Vec<T>{});
        T of_atom = 0;
        for (int64_t i = 0; i < n; ++i) {
            if (i + kAhead < n) prefetch_row(residual_ + entries[i + kAhead].row * width_, width_);
            const T* const r = residual_ + entries[i].row * width_;
            const T t = dot(r, x, width_) + entries[i].value * along;
            add_scaled(out, t, r, width_);
            of_atom += t * entries[i].value;
        }
        add_scaled(out, of_atom, atom, width_);
    }

    // E^T g is zero and E may not be: its longest row is a start that is not orthogonal to all of it.
    bool longest_row(const T* atom, const Rows& rows, T* out) {
        double most = 0;
        int64_t where = -1;
        for (int64_t i = rows.first; i < rows.first + rows.n; ++i) {
            const T* const r = residual_ + entries_.all[i].row * width_;
            double squares = 0;
            for (int64_t f = 0; f < width_; ++f) {
                const double e = static_cast<double>(r[f] + entries_.all[i].value * atom[f]);
                squares += e * e;
            }
            if (!(squares < 1e290)) return false;
            where = squares > most ? i : where;
            most = squares > most ? squares : most;
        }
        if (where < 0) return false;
        const T* const r = residual_ + entries_.all[where].row * width_;
        for (int64_t f = 0; f < width_; ++f) out[f] = r[f] + entries_.all[where].value * atom[f];
        return normalise(out);
    }

    const KsvdProblem& p_;
    Arena arena_;
    int64_t n_, n_features_, n_atoms_, width_;
    int threads_;
    Entries<T> entries_;
    T *before_, *after_, *residual_, *sums_, *scratch_;
    double* wide_;
    int64_t sum_size_, scratch_size_, wide_size_;
};

}  // namespace
}  // namespace sparsefast
