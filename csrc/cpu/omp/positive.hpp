// Non-negative OMP of one signal after the other: the atom with the largest <d, r> joins the support S, and the
// coefficients are the non-negative least squares fit on it, by Lawson and Hanson's steps from the last fit.
//
// M = L^-1 with L L^T = G_SS grows by a row with each atom, as in group.hpp; z = gamma + y m is the fit without bounds.
// Where z has entries below zero, gamma goes towards z until the first of its own is zero, those atoms leave, M is made
// anew for the rest (which is rare) and z = M^T M b, b = <d_S, x>, is looked at again.
//
// Correlations are consumed as they are made (scan.hpp), from rows of the Gram matrix or from the residual.
// Sources: Bruckstein, Elad and Zibulevsky 2008; Nguyen, Idier, Soussen and Djermoune 2019; Lawson and Hanson 1974.
#pragma once

#include "cpu/omp/correlations.hpp"
#include "cpu/omp/output.hpp"

namespace sparsefast {
namespace {

template <typename T>
class PositiveCoder {
   public:
    PositiveCoder(const OmpProblem& p, int64_t max_signals, void* workspace, int64_t* bytes = nullptr)
        : p_(p),
          d_(p.dictionary, const_cast<void*>(p.packed)),
          carve_{static_cast<char*>(workspace)},
          block_(p.dictionary, max_signals, true, carve_),
          limit_(smaller(p.n_nonzero, smaller(p.dictionary.n_features, p.dictionary.n_atoms))) {
        inverse_ = carve_.take<T>(limit_ * (limit_ + 1) / 2);
        gamma_ = carve_.take<T>(limit_);
        z_ = carve_.take<T>(limit_);
        b_ = carve_.take<T>(limit_);
        g_ = carve_.take<T>(limit_);
        w_ = carve_.take<T>(limit_);
        old_gamma_ = carve_.take<T>(limit_);
        old_support_ = carve_.take<int32_t>(limit_);
        support_ = carve_.take<int32_t>(limit_);
        rows_ = carve_.take<const T*>(limit_);
        residual_ = carve_.take<T>(block_.ld_x);
        one_row_ = carve_.take<T>(block_.ld_c);
        fresh_ = d_.gram ? nullptr : carve_.take<T>(block_.ld_c);
        if (bytes) *bytes = carve_.used;
    }

    void code(int64_t begin, int64_t end) {
        for (int64_t n0 = begin; n0 < end; n0 += block_.rows) {
            const int64_t n = smaller(block_.rows, end - n0);
            block_.load_signals(p_.signals, n0, n);
            block_.correlate_chunk(d_, n, 0);
            for (int64_t r = 0; r < n; ++r) {
                k_ = 0;
                const OmpStatus status = pursue(n0 + r, r);
                write_code<T>(p_, n0 + r, status, k_, gamma_, support_, 1,
                              block_.scale[r] - static_cast<int>(*d_.exponent));
            }
        }
    }

   private:
    OmpStatus pursue(int64_t signal, int64_t r) {
        x_ = block_.x + r * block_.ld_x;
        c0_ = block_.c + r * block_.ld_c;
        const T norm2 = block_.norm2[r], floor = 32 * Lanes<T>::epsilon;
        if (norm2 - norm2 != 0) return OmpStatus::nonfinite;
        const T tol2 = p_.tol ? squared_tolerance<T>(p_, signal, block_.scale[r]) : T(-1);
        for (int64_t additions = 0;; ++additions) {
            if (tol2 >= 0 && residual_norm2() <= tol2) return OmpStatus::tolerance;
            if (norm2 == 0) return OmpStatus::orthogonal;
            if (k_ == p_.n_nonzero) return OmpStatus::complete;
            if (k_ == limit_ || additions == 4 * limit_) return OmpStatus::exhausted;
            const Best<T> best = pick();
            if (best.index < 0 || best.value * best.value <= floor * floor * norm2 * d_.diagonal[best.index])
                return OmpStatus::orthogonal;
            const auto atom = static_cast<int32_t>(best.index);
            if (!add_row(k_, atom)) return OmpStatus::dependent;
            if (!refit(atom, best.value)) return OmpStatus::orthogonal;
        }
    }

    T residual_norm2() {
        Combination<T>{gamma_, support_, k_}.subtract_from(x_, d_, residual_);
        return squared_norm(residual_, block_.ld_x);
    }

    Best<T> pick() {
        const T* c = c0_;
        if (fresh_ && k_ > 0) {
            Combination<T>{gamma_, support_, k_}.subtract_from(x_, d_, residual_);
            correlate_row<T>(residual_, d_.panels, d_.n_features, d_.n_padded, fresh_);
            c = fresh_;
        }
        const Selected<T> selected{rows_, gamma_, 1, fresh_ ? 0 : k_};
        const Best<T> best = scan_rows<T, LoopedRows<T>>(c, selected, d_.n_padded, AsIs<T>{});
        bool again = false;
        for (int64_t j = 0; j < k_; ++j) again |= support_[j] == best.index;
        if (!again) return best;
        return scan_excluding<T>(c, selected, d_.n_padded, AsIs<T>{}, support_, 1, k_, one_row_);
    }

    // Row k of M, for an atom beside the first k of the support; false where it lies in their span.
    bool add_row(int64_t k, int32_t atom) {
        const T* const gram = d_.gram ? d_.gram + atom * d_.ld_gram : nullptr;
        const T* const a = d_.atoms + atom * d_.ld_atoms;
        for (int64_t j = 0; j < k; ++j)
            g_[j] = gram ? gram[support_[j]] : inner_product(a, d_.atoms + support_[j] * d_.ld_atoms, d_.ld_atoms);
        T pivot = d_.diagonal[atom];
        const T* m = inverse_;
        for (int64_t i = 0; i < k; ++i) {
            T sum = 0;
            for (int64_t j = 0; j <= i; ++j) sum += m[j] * g_[j];
            m += i + 1;
            w_[i] = sum;
            pivot -= sum * sum;
        }
        if (!(pivot > 16 * Lanes<T>::epsilon * d_.diagonal[atom])) return false;
        const T inverse_d = 1 / root(pivot);
        T* const row = inverse_ + k * (k + 1) / 2;
        for (int64_t j = 0; j < k; ++j) row[j] = 0;
        m = inverse_;
        for (int64_t i = 0; i < k; ++i, m += i)
            for (int64_t j = 0; j <= i; ++j) row[j] -= w_[i] * m[j];
        for (int64_t j = 0; j < k; ++j) row[j] *= inverse_d;
        row[k] = inverse_d;
        support_[k] = atom;
        if (gram) rows_[k] = gram;
        return true;
    }
    static T root(T v) {
        return static_cast<T>(sizeof(T) == 4 ? __builtin_sqrtf(static_cast<float>(v)) : __builtin_sqrt(v));
    }

    // Non-negative least squares on the support and the new atom, whose correlation is c and whose row of M is there.
    // False, and all as it was, where the new atom would leave again: its correlation was rounding.
    bool refit(int32_t atom, T c) {
        const int64_t old_k = k_;
        for (int64_t j = 0; j < old_k; ++j) old_gamma_[j] = gamma_[j], old_support_[j] = support_[j];
        const T* const row = inverse_ + old_k * (old_k + 1) / 2;
        const T y = c * row[old_k];
        for (int64_t j = 0; j < old_k; ++j) z_[j] = gamma_[j] + y * row[j];
        z_[old_k] = y * row[old_k];
        gamma_[old_k] = 0;
        ++k_;
        while (!all_positive()) {
            shorten();
            if (k_ == 0 || support_[k_ - 1] != atom) {
                for (int64_t j = 0; j < old_k; ++j) gamma_[j] = old_gamma_[j], support_[j] = old_support_[j];
                k_ = old_k;
                return false;
            }
            for (int64_t j = 0; j < k_; ++j) {
                // The atoms that stay were independent with more beside them; rounding aside they are so now.
                add_row(j, support_[j]);
                b_[j] = c0_[support_[j]];
            }
            solve();
        }
        for (int64_t j = 0; j < k_; ++j) gamma_[j] = z_[j];
        return true;
    }

    bool all_positive() const {
        bool positive = true;
        for (int64_t j = 0; j < k_; ++j) positive &= z_[j] > 0;
        return positive;
    }

    // As far from gamma towards z as gamma stays non-negative; the atoms that reach zero leave.
    void shorten() {
        T alpha = 1;
        int64_t first = 0;
        for (int64_t j = 0; j < k_; ++j) {
            if (z_[j] > 0) continue;
            const T gap = gamma_[j] - z_[j], part = gap > 0 ? gamma_[j] / gap : T(0);
            if (part < alpha) alpha = part, first = j;
        }
        int64_t kept = 0;
        for (int64_t j = 0; j < k_; ++j) {
            const T next = gamma_[j] + alpha * (z_[j] - gamma_[j]);
            if (j == first || !(next > 0)) {
                // The new atom starts at zero and rises with z; only a z at or below zero takes it out.
                if (!(j == k_ - 1 && z_[j] > 0)) continue;
            }
            gamma_[kept] = next;
            support_[kept++] = support_[j];
        }
        k_ = kept;
    }

    // z = M^T M b.
    void solve() {
        const T* m = inverse_;
        for (int64_t i = 0; i < k_; ++i) {
            T sum = 0;
            for (int64_t j = 0; j <= i; ++j) sum += m[j] * b_[j];
            m += i + 1;
            w_[i] = sum;
        }
        for (int64_t j = 0; j < k_; ++j) z_[j] = 0;
        m = inverse_;
        for (int64_t i = 0; i < k_; ++i, m += i)
            for (int64_t j = 0; j <= i; ++j) z_[j] += w_[i] * m[j];
    }

    const OmpProblem& p_;
    const PackedDictionary<T> d_;
    Carver carve_;
    Block<T> block_;
    const int64_t limit_;
    int64_t k_ = 0;
    const T *x_ = nullptr, *c0_ = nullptr;
    T *inverse_, *gamma_, *z_, *b_, *g_, *w_, *old_gamma_, *residual_, *one_row_, *fresh_;
    int32_t *support_, *old_support_;
    const T** rows_;
};

}  // namespace
}  // namespace sparsefast
