// Batch-OMP of kGroup signals in lockstep. Signals sit in the lanes of the small linear algebra, atoms in the lanes of
// the scan; every active signal of a group has the same number k of selected atoms.
//
// With L L^T the Gram matrix of the support and M = L^-1, a new atom i with g = G[S, i] gives
//     w = M g,   d^2 = G_ii - ||w||^2,   y = c_i / d,   new row of M: m = (-w^T M, 1) / d,   gamma += y m
// where c_i is the correlation of i with the current residual. No triangular system is solved and no history of
// updates is kept; since c_i is taken from gamma as it is, rounding in gamma is corrected by the later steps.
#pragma once

#include "cpu/omp/layout.hpp"
#include "cpu/omp/scaling.hpp"
#include "cpu/omp/scan.hpp"

namespace sparsefast {
namespace {

template <typename T>
struct GroupLanes {
    typedef T vector __attribute__((vector_size(kGroup * sizeof(T)), may_alias));
    typedef Int<T> integers __attribute__((vector_size(kGroup * sizeof(T)), may_alias));
    typedef int64_t words __attribute__((vector_size(kGroup * sizeof(T)), may_alias));
};

template <typename T>
class Group {
    using V = typename GroupLanes<T>::vector;
    using I = typename GroupLanes<T>::integers;

   public:
    Group(const OmpProblem& problem, const PackedDictionary<T>& dictionary, Scratch<T>& scratch)
        : p_(problem),
          d_(dictionary),
          s_(scratch),
          limit_(smaller(problem.n_nonzero, smaller(dictionary.n_features, dictionary.n_atoms))) {}

    // Codes rows [first, first + n) of the block that starts at signal `begin`.
    void code(int64_t begin, int64_t first, int n) {
        active_ = 0;
        for (int r = 0; r < kGroup; ++r) {
            const T norm2 = r < n ? s_.norm2[first + r] : 0;
            const bool finite = norm2 - norm2 == 0, codes = finite && norm2 > 0;
            counts_[r] = 0;
            error2_[r] = norm2_[r] = norm2;
            status_[r] = finite ? OmpStatus::orthogonal : OmpStatus::nonfinite;
            active_ |= static_cast<unsigned>(codes) << r;
            active_lanes_[r] = codes ? -1 : 0;
            tol2_[r] = p_.tol && r < n ? squared_tolerance<T>(p_, begin + first + r, s_.scale[first + r]) : T(-1);
        }
        for (int64_t k = 0;; ++k) {
            if (p_.tol) stop_within_tolerance(first, k, n);
            if (!active_) break;
            if (k == limit_) {
                const OmpStatus end = limit_ == p_.n_nonzero ? OmpStatus::complete : OmpStatus::exhausted;
                each(active_, [&](int r) { stop(r, end, k); });
                break;
            }
            select(first, k);
            if (!active_) break;
            append(first, k);
        }
        for (int r = 0; r < n; ++r) write(begin + first + r, s_.scale[first + r], r);
    }

   private:
    template <typename F>
    SF_INLINE void each(unsigned rows, const F& f) {
        for (; rows; rows &= rows - 1) f(__builtin_ctz(rows));
    }

    // Signal r ends with the k atoms that it has.
    void stop(int r, OmpStatus status, int64_t k) {
        status_[r] = status;
        counts_[r] = static_cast<int32_t>(k);
        active_ &= ~(1u << r);
        active_lanes_[r] = 0;
    }
    SF_INLINE void stop_lanes(I which, OmpStatus status, int64_t k) {
        const auto words = reinterpret_cast<typename GroupLanes<T>::words>(which);
        int64_t any = 0;
        for (unsigned i = 0; i < sizeof(words) / 8; ++i) any |= words[i];
        if (!any) return;
        for (int r = 0; r < kGroup; ++r)
            if (which[r]) stop(r, status, k);
    }

    template <typename Lane>
    SF_INLINE static Lane lanes(const void* of) {
        return *static_cast<const Lane*>(of);
    }
    SF_INLINE static V square_roots(V v) {
        T part[kGroup];
        for (int r = 0; r < kGroup; ++r) part[r] = v[r];
        for (int r = 0; r < kGroup; ++r)
            part[r] =
                static_cast<T>(sizeof(T) == 4 ? __builtin_sqrtf(static_cast<float>(part[r])) : __builtin_sqrt(part[r]));
        for (int r = 0; r < kGroup; ++r) v[r] = part[r];
        return v;
    }

    // ||r||^2 = ||x||^2 - sum y^2 loses digits as it shrinks: where that could change the answer, look at r itself.
    void stop_within_tolerance(int64_t first, int64_t k, int n) {
        for (int r = 0; r < n; ++r) {
            const bool zero = k == 0 && norm2_[r] == 0;  // never active, and within any tolerance
            if (!(active_ >> r & 1) && !zero) continue;
            const T doubt = 8 * static_cast<T>(k + 4) * Lanes<T>::epsilon * norm2_[r];
            T error2 = error2_[r];
            const T gap = error2 - tol2_[r];
            if (k > 0 && gap <= doubt && -gap <= doubt) error2 = residual_norm2(first + r, r, k);
            if (error2 <= tol2_[r]) stop(r, OmpStatus::tolerance, k);
        }
    }

    T residual_norm2(int64_t row, int r, int64_t k) const {
        const T* x = s_.x + row * s_.ld_x;
        double sum = 0;
        for (int64_t f = 0; f < d_.n_features; ++f) {
            double e = x[f];
            for (int64_t j = 0; j < k; ++j)
                e -= static_cast<double>(s_.gamma[j * kGroup + r]) *
                     d_.atoms[s_.support[j * kGroup + r] * d_.ld_atoms + f];
            sum += e * e;
        }
        return static_cast<T>(sum);
    }

    // The next atom of each active signal in pick_, with its |c| in peak_.
    void select(int64_t first, int64_t k) {
        if (s_.residual && k > 0) correlate_residuals(first, k);
        // Back and forth: the signals coded last in one step still have their rows in L1 at the start of the next.
        for (int turn = 0; turn < kGroup; ++turn) {
            const int r = k & 1 ? kGroup - 1 - turn : turn;
            if (!(active_ >> r & 1)) continue;
            const T* c = s_.c + (first + r) * s_.ld_c;
            const Selected<T> selected{s_.gram_rows + r * limit_, s_.gamma + r, kGroup, s_.residual ? 0 : k};
            Best<T> best = scan<T>(c, selected, d_.n_padded, kGroup);
            if (best.index >= 0 && is_selected(static_cast<int32_t>(best.index), r, k))
                best = scan_excluding<T>(c, selected, d_.n_padded, s_.support + r, kGroup, k, s_.one_row);
            pick_[r] = static_cast<int32_t>(best.index);
            peak_[r] = best.value;
            if (best.index < 0) {
                stop(r, OmpStatus::orthogonal, k);
                continue;
            }
            if (d_.gram) s_.gram_rows[r * limit_ + k] = d_.gram + best.index * d_.ld_gram;
        }
    }

    bool is_selected(int32_t atom, int r, int64_t k) const {
        for (int64_t j = 0; j < k; ++j)
            if (s_.support[j * kGroup + r] == atom) return true;
        return false;
    }

    // Correlations of the residuals x - gamma D_S, in place of those of the signals.
    void correlate_residuals(int64_t first, int64_t k) {
        for (int r = 0; r < kGroup; ++r) {
            const T* x = s_.x + (first + r) * s_.ld_x;
            T* e = s_.residual + r * s_.ld_x;
            for (int64_t f = 0; f < s_.ld_x; ++f) e[f] = x[f];
            if (!(active_ >> r & 1)) continue;
            for (int64_t j = 0; j < k; ++j) {
                const T gamma = s_.gamma[j * kGroup + r];
                const T* atom = d_.atoms + s_.support[j * kGroup + r] * d_.ld_atoms;
                for (int64_t f = 0; f < s_.ld_x; ++f) e[f] -= gamma * atom[f];
            }
        }
        correlate<T>(s_.residual, s_.ld_x, kGroup, d_.panels, d_.n_features, d_.n_padded, s_.c + first * s_.ld_c,
                     s_.ld_c);
    }

    T inner(const T* a, const T* b) const {
        T sum = 0;
        for (int64_t f = 0; f < d_.n_features; ++f) sum += a[f] * b[f];
        return sum;
    }

    // Appends the picked atoms: one more row of M and the refit of gamma.
    void append(int64_t first, int64_t k) {
        V* const g = reinterpret_cast<V*>(s_.g);
        V* const w = reinterpret_cast<V*>(s_.w);
        V* const gamma = reinterpret_cast<V*>(s_.gamma);
        const V* const inverse = reinterpret_cast<const V*>(s_.inverse);
        // Lanes that have ended go on with nothing to add: g = 0, c = 0 and a unit pivot.
        V length2 = V{} + 1, c = {};
        for (int64_t j = 0; j < k; ++j) g[j] = V{};
        each(active_, [&](int r) {
            const int32_t atom = pick_[r];
            const T* row = d_.gram ? d_.gram + atom * d_.ld_gram : d_.atoms + atom * d_.ld_atoms;
            for (int64_t j = 0; j < k; ++j) {
                const int64_t other = s_.support[j * kGroup + r];
                s_.g[j * kGroup + r] = d_.gram ? row[other] : inner(row, d_.atoms + other * d_.ld_atoms);
            }
            length2[r] = d_.diagonal[atom];
            c[r] = s_.c[(first + r) * s_.ld_c + atom];
        });
        const V peak = lanes<V>(peak_);
        const T floor = 32 * Lanes<T>::epsilon;
        stop_lanes(lanes<I>(active_lanes_) & (peak * peak <= floor * floor * lanes<V>(norm2_) * length2),
                   OmpStatus::orthogonal, k);
        V pivot = length2;
        const V* m = inverse;
        for (int64_t a = 0; a < k; ++a) {
            V sum = {};
            for (int64_t b = 0; b <= a; ++b) sum += m[b] * g[b];
            m += a + 1;
            w[a] = sum;
            pivot -= sum * sum;
            if (d_.gram) c -= gamma[a] * g[a];
        }
        stop_lanes(lanes<I>(active_lanes_) & (pivot <= 16 * Lanes<T>::epsilon * length2), OmpStatus::dependent, k);
        const I active = lanes<I>(active_lanes_);
        const V inverse_d = 1 / square_roots(active ? pivot : V{} + 1);
        const V y = active ? c * inverse_d : V{};
        V* const row = reinterpret_cast<V*>(s_.inverse) + k * (k + 1) / 2;
        for (int64_t b = 0; b < k; ++b) row[b] = V{};
        m = inverse;
        for (int64_t a = 0; a < k; ++a, m += a)
            for (int64_t b = 0; b <= a; ++b) row[b] -= w[a] * m[b];
        for (int64_t b = 0; b < k; ++b) {
            row[b] *= inverse_d;
            gamma[b] += y * row[b];
        }
        row[k] = inverse_d;
        gamma[k] = y * inverse_d;
        *reinterpret_cast<V*>(error2_) -= y * y;
        for (int r = 0; r < kGroup; ++r) s_.support[k * kGroup + r] = pick_[r];
    }

    void write(int64_t signal, int exponent, int r) const {
        T* values = static_cast<T*>(p_.values) + signal * p_.n_nonzero;
        const int64_t count = counts_[r];
        const bool nonfinite = status_[r] == OmpStatus::nonfinite;
        const int shift = exponent - static_cast<int>(*d_.exponent);
        const T half = power_of_two<T>(shift / 2), rest = power_of_two<T>(shift - shift / 2);
        const T padding = nonfinite ? static_cast<T>(__builtin_nanf("")) : T(0);
        const int64_t n = nonfinite ? 0 : count;
        for (int64_t j = 0; j < n; ++j) values[j] = s_.gamma[j * kGroup + r] * half * rest;
        for (int64_t j = n; j < p_.n_nonzero; ++j) values[j] = padding;
        if (p_.index_type == IndexType::int32)
            write_indices(static_cast<int32_t*>(p_.indices) + signal * p_.n_nonzero, n, r);
        else
            write_indices(static_cast<int64_t*>(p_.indices) + signal * p_.n_nonzero, n, r);
        p_.counts[signal] = static_cast<int32_t>(n);
        p_.status[signal] = static_cast<uint8_t>(status_[r]);
    }
    template <typename I>
    void write_indices(I* indices, int64_t n, int r) const {
        for (int64_t j = 0; j < n; ++j) indices[j] = s_.support[j * kGroup + r];
        for (int64_t j = n; j < p_.n_nonzero; ++j) indices[j] = 0;
    }

    const OmpProblem& p_;
    const PackedDictionary<T>& d_;
    Scratch<T>& s_;
    const int64_t limit_;
    unsigned active_ = 0;
    alignas(kAlignment) T norm2_[kGroup], error2_[kGroup], tol2_[kGroup], peak_[kGroup] = {};
    alignas(kAlignment) Int<T> active_lanes_[kGroup];  // -1 where active, else 0
    int32_t pick_[kGroup] = {}, counts_[kGroup];
    OmpStatus status_[kGroup];
};

}  // namespace
}  // namespace sparsefast
