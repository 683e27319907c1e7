// Batch-OMP and its relatives omp, ols and masked for kGroup signals in lockstep. Signals sit in the lanes of the small
// linear algebra, atoms in the lanes of the scan; every active signal of a group has the same number k of selected
// atoms.
//
// With L L^T the Gram matrix of the support and M = L^-1, a new atom i with g = G[S, i] gives
//     w = M g,   d^2 = G_ii - ||w||^2,   y = c_i / d,   new row of M: m = (-w^T M, 1) / d,   gamma += y m
// where c_i is the correlation of i with the current residual. No triangular system is solved and no history of
// updates is kept; since c_i is taken from gamma as it is, rounding in gamma is corrected by the later steps.
//
// ols keeps the correlations and the distances of all atoms from the span, updated by the scan (scan_ols.hpp). masked
// works on the masked residual, correlated anew in each step: each signal has a Gram matrix of its own, too large to
// make; its keys are weighted by ||d|| / ||m d||.
#pragma once

#include "cpu/omp/layout.hpp"
#include "cpu/omp/output.hpp"
#include "cpu/omp/scaling.hpp"
#include "cpu/omp/scan_ols.hpp"

namespace sparsefast {
namespace {

template <typename T>
struct GroupLanes {
    typedef T vector __attribute__((vector_size(kGroup * sizeof(T)), may_alias));
    typedef Int<T> integers __attribute__((vector_size(kGroup * sizeof(T)), may_alias));
    typedef int64_t words __attribute__((vector_size(kGroup * sizeof(T)), may_alias));
};

template <typename T, OmpCoder coder>
class Group {
    static constexpr bool ols = coder == OmpCoder::ols, masked = coder == OmpCoder::masked;
    using V = typename GroupLanes<T>::vector;
    using I = typename GroupLanes<T>::integers;

   public:
    Group(const OmpProblem& problem, const PackedDictionary<T>& dictionary, Scratch<T>& scratch)
        : p_(problem),
          d_(dictionary),
          s_(scratch),
          gram_(masked ? nullptr : dictionary.gram),
          limit_(smaller(problem.n_nonzero, smaller(dictionary.n_features, dictionary.n_atoms))) {}

    // Codes rows [first, first + n) of the block that starts at signal `begin`.
    void code(int64_t begin, int64_t first, int n) {
        active_ = 0;
        for (int r = 0; r < kGroup; ++r) {
            const T norm2 = r < n ? s_.norm2[first + r] : 0;
            const bool finite = norm2 - norm2 == 0, codes = finite && norm2 > 0;
            counts_[r] = 0;
            error2_[r] = norm2_[r] = norm2;
            doubt_[r] = 16 * Lanes<T>::epsilon * norm2;
            status_[r] = finite ? nothing_in(first + r) : OmpStatus::nonfinite;
            active_ |= static_cast<unsigned>(codes) << r;
            active_lanes_[r] = codes ? -1 : 0;
            tol2_[r] = p_.tol && r < n ? squared_tolerance<T>(p_, begin + first + r, s_.scale[first + r]) : T(-1);
        }
        if constexpr (masked) weigh(first);
        for (int64_t k = 0;; ++k) {
            if (p_.tol) stop_within_tolerance(first, k, n);
            if (!active_) break;
            if (k == limit_) {
                const OmpStatus end = limit_ == p_.n_nonzero ? OmpStatus::complete : OmpStatus::exhausted;
                each(active_, [&](int r) { stop(r, end, k); });
                break;
            }
            if constexpr (masked)
                each(active_, [&](int r) {
                    if (k == observed_[r]) stop(r, OmpStatus::exhausted, k);
                });
            select(first, k);
            if (!active_) break;
            append(first, k);
        }
        for (int r = 0; r < n; ++r)
            write_code<T>(p_, begin + first + r, status_[r], counts_[r], s_.gamma + r, s_.support + r, kGroup,
                          s_.scale[first + r] - static_cast<int>(*d_.exponent));
    }

   private:
    // Why a zero signal ends: masked, it may have no feature that could be explained.
    OmpStatus nothing_in(int64_t row) const {
        if constexpr (masked) {
            bool observed = false;
            for (int64_t f = 0; f < d_.n_features; ++f) observed |= s_.mask[row * s_.ld_x + f] != 0;
            return observed ? OmpStatus::orthogonal : OmpStatus::exhausted;
        }
        return OmpStatus::orthogonal;
    }

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

    // ||r||^2 = ||x||^2 - sum y^2 loses digits as it shrinks: it says where to look, r itself whether it is so.
    void stop_within_tolerance(int64_t first, int64_t k, int n) {
        for (int r = 0; r < n; ++r) {
            const bool zero = k == 0 && norm2_[r] == 0;  // never active, and within any tolerance
            if (!(active_ >> r & 1) && !zero) continue;
            if (error2_[r] - doubt_[r] > tol2_[r]) continue;
            if ((k == 0 ? norm2_[r] : residual_norm2(first + r, r, k)) <= tol2_[r]) stop(r, OmpStatus::tolerance, k);
        }
    }

    double residual_norm2(int64_t row, int r, int64_t k) const {
        constexpr int part = Panels<T>::line;  // rows of x and of the atoms are padded to whole ones with zeros
        const T* const x = s_.x + row * s_.ld_x;
        double sum = 0;
        for (int64_t f = 0; f < d_.ld_atoms; f += part) {
            double e[part];
            for (int i = 0; i < part; ++i) e[i] = x[f + i];
            for (int64_t j = 0; j < k; ++j) {
                const double gamma = s_.gamma[j * kGroup + r];
                const T* const atom = d_.atoms + s_.support[j * kGroup + r] * d_.ld_atoms + f;
                for (int i = 0; i < part; ++i) e[i] -= gamma * atom[i];
            }
            if constexpr (masked)
                for (int i = 0; i < part; ++i) e[i] *= s_.mask[row * s_.ld_x + f + i];
            for (int i = 0; i < part; ++i) sum += e[i] * e[i];
        }
        return sum;
    }

    // Weights ||d|| / ||m d|| of all atoms for the signals of the group, zero where nothing of an atom is observed.
    void weigh(int64_t first) {
        correlate<T, true>(s_.mask + first * s_.ld_x, s_.ld_x, kGroup, d_.panels, d_.n_features, d_.n_padded,
                           s_.weights, s_.ld_c);
        for (int r = 0; r < kGroup; ++r) {
            const T* const mask = s_.mask + (first + r) * s_.ld_x;
            Vec<T> observed = {};
            for (int64_t f = 0; f < s_.ld_x; f += Lanes<T>::n) observed += load(mask + f);
            observed_[r] = static_cast<int64_t>(sum_of_lanes<T>(observed));
            for (int64_t k = 0; k < d_.n_padded; k += Lanes<T>::n) {
                T* const at = s_.weights + r * s_.ld_c + k;
                const Vec<T> whole = load(d_.diagonal + k), seen = load(at);
                const auto usable = seen > 16 * Lanes<T>::epsilon * whole;
                store(at, square_root<T>(usable ? whole / (usable ? seen : Vec<T>{} + 1) : Vec<T>{}));
            }
        }
    }

    // The next atom of each active signal in pick_, with its correlation in peak_ and its squared norm in length2_.
    void select(int64_t first, int64_t k) {
        if (s_.residual && k > 0) correlate_residuals(first, k);
        // Back and forth: the signals coded last in one step still have their rows in L1 at the start of the next.
        for (int turn = 0; turn < kGroup; ++turn) {
            const int r = k & 1 ? kGroup - 1 - turn : turn;
            if (!(active_ >> r & 1)) continue;
            T* const c = s_.c + (first + r) * s_.ld_c;
            OmpStatus why = OmpStatus::orthogonal;
            const int64_t atom = ols ? pick_ols(c, r, k, &why) : pick_largest(c, r, k);
            pick_[r] = static_cast<int32_t>(atom);
            if (atom < 0) {
                stop(r, why, k);
                continue;
            }
            if constexpr (masked) {
                const T* const a = d_.atoms + atom * d_.ld_atoms;
                length2_[r] = inner(a, a, s_.mask + (first + r) * s_.ld_x);
                peak_[r] = c[atom];
            } else {
                length2_[r] = d_.diagonal[atom];
            }
            if (gram_) s_.gram_rows[r * limit_ + k] = gram_ + atom * d_.ld_gram;
        }
    }

    int64_t pick_largest(const T* c, int r, int64_t k) {
        const Selected<T> selected{s_.gram_rows + r * limit_, s_.gamma + r, kGroup, s_.residual ? 0 : k};
        if constexpr (masked) {
            return pick_by(c, selected, r, k, Weighted<T>{s_.weights + r * s_.ld_c});
        } else {
            return pick_by(c, selected, r, k, Magnitude<T>{});
        }
    }
    template <typename Key>
    SF_INLINE int64_t pick_by(const T* c, const Selected<T>& selected, int r, int64_t k, const Key& key) {
        Best<T> best;
        if constexpr (masked)
            best = scan_rows<T, UnrolledRows<T, 0>>(c, selected, d_.n_padded, key);
        else
            best = scan<T>(c, selected, d_.n_padded, kGroup, key);
        if (best.index >= 0 && is_selected(static_cast<int32_t>(best.index), r, k))
            best = scan_excluding<T>(c, selected, d_.n_padded, key, s_.support + r, kGroup, k, s_.one_row);
        peak_[r] = best.value;
        return best.index;
    }

    int64_t pick_ols(T* c, int r, int64_t k, OmpStatus* why) {
        T* const distance2 = s_.distance2 + r * s_.ld_c;
        Best<T> best;
        if (k == 0) {
            best = start_ols(c, d_.diagonal, distance2, d_.n_padded);
        } else {
            const T one = 1, *const u = s_.u ? s_.u + r * s_.ld_c : nullptr;
            const T* const last = s_.inverse + k * (k - 1) / 2 * kGroup + r;
            const Selected<T> rows{s_.gram_rows + r * limit_, last, kGroup, k}, made{&u, &one, 0, 1};
            best = step_ols(c, distance2, u ? made : rows, y_[r], d_.n_padded);
        }
        const T floor = 32 * Lanes<T>::epsilon, norm2 = norm2_[r];
        const auto is_candidate = [&](int64_t i) {
            return i >= 0 && distance2[i] > 16 * Lanes<T>::epsilon * d_.diagonal[i] &&
                   c[i] * c[i] > floor * floor * norm2 * d_.diagonal[i];
        };
        bool outside = false;
        if (!is_candidate(best.index)) best = search_ols(c, distance2, d_.diagonal, norm2, d_.n_atoms, &outside);
        if (outside) *why = OmpStatus::dependent;
        if (best.index < 0) return -1;
        peak_[r] = c[best.index];
        pivot_[r] = distance2[best.index];
        distance2[best.index] = static_cast<T>(__builtin_inff());
        return best.index;
    }

    bool is_selected(int32_t atom, int r, int64_t k) const {
        for (int64_t j = 0; j < k; ++j)
            if (s_.support[j * kGroup + r] == atom) return true;
        return false;
    }

    // Correlations of the residuals x - gamma D_S, in place of those of the signals; for ols, of the directions added
    // last, sum_j m_j d_j, in u.
    void correlate_residuals(int64_t first, int64_t k) {
        const T* const last = s_.inverse + k * (k - 1) / 2 * kGroup;
        for (int r = 0; r < kGroup; ++r) {
            const T* x = s_.x + (first + r) * s_.ld_x;
            T* e = s_.residual + r * s_.ld_x;
            for (int64_t f = 0; f < s_.ld_x; ++f) e[f] = ols ? T(0) : x[f];
            if (!(active_ >> r & 1)) continue;
            for (int64_t j = 0; j < k; ++j) {
                const T weight = ols ? last[j * kGroup + r] : -s_.gamma[j * kGroup + r];
                const T* atom = d_.atoms + s_.support[j * kGroup + r] * d_.ld_atoms;
                for (int64_t f = 0; f < s_.ld_x; ++f) e[f] += weight * atom[f];
            }
            if constexpr (masked) {
                const T* const mask = s_.mask + (first + r) * s_.ld_x;
                for (int64_t f = 0; f < s_.ld_x; ++f) e[f] *= mask[f];
            }
        }
        correlate<T>(s_.residual, s_.ld_x, kGroup, d_.panels, d_.n_features, d_.n_padded,
                     ols ? s_.u : s_.c + first * s_.ld_c, s_.ld_c);
    }

    T inner(const T* a, const T* b, const T* mask) const {
        Vec<T> sum = {};
        for (int64_t f = 0; f < d_.ld_atoms; f += Lanes<T>::n) {
            const Vec<T> product = load(a + f) * load(b + f);
            sum += masked ? load(mask + f) * product : product;
        }
        return sum_of_lanes<T>(sum);
    }

    // Appends the picked atoms: one more row of M and the refit of gamma.
    void append(int64_t first, int64_t k) {
        V* const g = reinterpret_cast<V*>(s_.g);
        V* const w = reinterpret_cast<V*>(s_.w);
        V* const gamma = reinterpret_cast<V*>(s_.gamma);
        const V* const inverse = reinterpret_cast<const V*>(s_.inverse);
        // Lanes that have ended go on with nothing to add: g = 0, c = 0 and a unit pivot.
        V c = {};
        for (int64_t j = 0; j < k; ++j) g[j] = V{};
        each(active_, [&](int r) {
            const int32_t atom = pick_[r];
            const T* row = gram_ ? gram_ + atom * d_.ld_gram : d_.atoms + atom * d_.ld_atoms;
            for (int64_t j = 0; j < k; ++j) {
                const int64_t other = s_.support[j * kGroup + r];
                s_.g[j * kGroup + r] =
                    gram_ ? row[other]
                          : inner(row, d_.atoms + other * d_.ld_atoms, masked ? s_.mask + (first + r) * s_.ld_x : row);
            }
            c[r] = s_.c[(first + r) * s_.ld_c + atom];
        });
        const V peak = lanes<V>(peak_), length2 = lanes<V>(length2_);
        const T floor = 32 * Lanes<T>::epsilon;
        if constexpr (!ols)
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
            if (gram_ && !ols) c -= gamma[a] * g[a];
        }
        if constexpr (ols)
            pivot = lanes<V>(pivot_);  // the same number, as the selection saw it
        else
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
        *reinterpret_cast<V*>(y_) = y;
        if (p_.tol) doubt(k, y, length2);
        for (int r = 0; r < kGroup; ++r) s_.support[k * kGroup + r] = pick_[r];
    }

    // How far rounding may have led the sum of y^2: y is made of correlations <d, r> that are differences of larger
    // ones, <d, x> and the gamma_j <d, d_j>, and belongs to the direction sum_j m_j d_j, of unit length as far as its
    // parts have not cancelled.
    void doubt(int64_t k, V y, V length2) {
        V* const lengths = reinterpret_cast<V*>(s_.lengths);
        const V* const gamma = reinterpret_cast<const V*>(s_.gamma);
        const V* const row = reinterpret_cast<const V*>(s_.inverse) + k * (k + 1) / 2;
        const auto absolute = [](V v) { return v < 0 ? -v : v; };
        lengths[k] = square_roots(length2);
        V parts = square_roots(lanes<V>(norm2_)), direction = {};
        for (int64_t j = 0; j <= k; ++j) {
            parts += absolute(gamma[j]) * lengths[j];
            direction += absolute(row[j]) * lengths[j];
        }
        const V step = absolute(y) * direction;
        *reinterpret_cast<V*>(doubt_) +=
            4 * Lanes<T>::epsilon * static_cast<T>(d_.n_features + k + 1) * step * (parts + step);
    }

    const OmpProblem& p_;
    const PackedDictionary<T>& d_;
    Scratch<T>& s_;
    const T* const gram_;
    const int64_t limit_;
    unsigned active_ = 0;
    alignas(kAlignment) T norm2_[kGroup], error2_[kGroup], doubt_[kGroup], tol2_[kGroup], peak_[kGroup] = {};
    alignas(kAlignment) T length2_[kGroup] = {}, pivot_[kGroup] = {}, y_[kGroup] = {};  // of the picked atoms
    alignas(kAlignment) Int<T> active_lanes_[kGroup];                                   // -1 where active, else 0
    int32_t pick_[kGroup] = {}, counts_[kGroup];
    int64_t observed_[kGroup];  // features, for masked
    OmpStatus status_[kGroup];
};

}  // namespace
}  // namespace sparsefast
