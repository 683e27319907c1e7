// OMP, or order-recursive selection, for at most 8 features: a signal a lane, its residual in registers, no Gram matrix
// and no block of correlations.
//
// Each step scores all atoms, c_k = <d_k, r>, against the residual itself, orthogonalises the winner against the
// selected atoms (modified Gram-Schmidt: D_S^T = Q R, q_k = (d - sum w_j q_j) / d_k), and takes its part off the
// residual, r -= <q_k, r> q_k. At the end R gamma = y is solved. What bounds it is the scoring: (F + 4) K operations a
// step for as many signals as a vector has lanes.
#pragma once

#include "cpu/omp/lanes.hpp"
#include "cpu/omp/layout.hpp"
#include "cpu/omp/scaling.hpp"

namespace sparsefast {
namespace {

template <typename T, int F, bool ols>
class SmallCoder {
    using V = Vec<T>;
    using I = IntVec<T>;
    static constexpr int lanes = Lanes<T>::n;

   public:
    SmallCoder(const OmpProblem& problem, const PackedDictionary<T>& dictionary)
        : p_(problem), d_(dictionary), limit_(static_cast<int>(smaller(problem.n_nonzero, smaller(F, d_.n_atoms)))) {
        for (int f = 0; f < F; ++f)
            for (int half = 0; half < 2; ++half) {
                T row[lanes] = {};
                for (int l = 0; l < lanes && half * lanes + l < d_.n_atoms; ++l)
                    row[l] = d_.atoms[(half * lanes + l) * d_.ld_atoms + f];
                table_[f][half] = load(row);
            }
    }

    // Codes signals [begin, end). Several vectors take each half of a step in turn: each half is a chain of dependent
    // operations, and short enough that the processor works on the next vectors' chains meanwhile.
    void code(int64_t begin, int64_t end) {
        State states[kInFlight];
        for (int64_t at = begin; at < end; at += kInFlight * lanes) {
            const int in_flight = static_cast<int>(smaller(kInFlight, (end - at + lanes - 1) / lanes));
            for (int u = 0; u < in_flight; ++u)
                start(states[u], at + u * lanes, static_cast<int>(smaller(lanes, end - at - u * lanes)));
            for (int k = 0; k < limit_; ++k) {
                for (int u = 0; u < in_flight; ++u) select(states[u], k);
                for (int u = 0; u < in_flight; ++u) append(states[u], k);
            }
            for (int u = 0; u < in_flight; ++u) finish(states[u]);
        }
    }

   private:
    static constexpr int kInFlight = 4;
    static constexpr T kFloor = 32 * Lanes<T>::epsilon;

    struct State {
        int64_t begin;
        int n;      // signals in these lanes; those past n repeat the last
        int steps;  // taken by any lane
        I exponent, status, active, count, pick[F];
        LaneMax<T> best;  // of the step under way
        V norm2, tol2;
        V r[F];        // residuals
        V q[F][F];     // orthonormal basis of the selected atoms
        V w[F][F];     // R above its diagonal, column k in w[k]
        V inverse[F];  // of the diagonal of R
        V y[F];        // Q^T x, at last R^-1 Q^T x
    };

    void start(State& s, int64_t begin, int n) const {
        s.begin = begin;
        s.n = n;
        s.steps = 0;
        read(begin, n, s.r, s.exponent);
        s.norm2 = squared_norm(s.r);
        s.active = s.norm2 - s.norm2 == 0;
        s.status = s.active ? I{} : I{} + code_of(OmpStatus::nonfinite);
        s.count = I{};
        if (p_.tol) s.tol2 = scaled_tol2(begin, n, s.exponent);
    }

    SF_INLINE void select(State& s, int k) const {
        if (k >= F) return;  // never so: tells the compiler how long the loops over k are
        if (p_.tol) stop(s.active & (squared_norm(s.r) <= s.tol2), OmpStatus::tolerance, s);
        if (!any<T>(s.active)) return;
        s.best = ols ? score_ols(s, k) : score(s.r);
        if constexpr (ols) stop_without_candidate(s, k);
        if (k == 0) return;
        I again = s.best.index == s.pick[0];
        for (int j = 1; j < k; ++j) again |= s.best.index == s.pick[j];
        again &= s.active;
        if (any<T>(again)) score_excluding(again, s, k);
    }

    SF_INLINE void append(State& s, int k) const {
        if (k >= F || !any<T>(s.active)) return;
        const LaneMax<T> best = s.best;
        // A lane without a winner is about to stop; any atom will do for it.
        const I chosen = best.index < 0 ? I{} : best.index;
        V atom[F];
        gather(chosen, atom);
        const V length2 = squared_norm(atom);
        if constexpr (!ols)
            stop(s.active & (best.value * best.value <= kFloor * kFloor * s.norm2 * length2), OmpStatus::orthogonal, s);
        for (int j = 0; j < k; ++j) {
            const V w = inner(s.q[j], atom);
            for (int f = 0; f < F; ++f) atom[f] -= w * s.q[j][f];
            s.w[k][j] = w;
        }
        const V pivot = squared_norm(atom);
        stop(s.active & (pivot <= 16 * Lanes<T>::epsilon * length2), OmpStatus::dependent, s);
        // A lane that has stopped goes on with coefficient zero and a unit pivot.
        const V inverse = inverse_square_root<T>(s.active ? pivot : V{} + 1);
        for (int f = 0; f < F; ++f) s.q[k][f] = s.active ? atom[f] * inverse : V{};
        for (int j = 0; j < k; ++j) s.w[k][j] = s.active ? s.w[k][j] : V{};
        const V y = inner(s.q[k], s.r);
        for (int f = 0; f < F; ++f) s.r[f] -= y * s.q[k][f];
        s.y[k] = y;
        s.inverse[k] = inverse;
        s.pick[k] = s.active ? chosen : I{};
        s.count -= s.active;
        s.steps = k + 1;
    }

    void finish(State& s) const {
        if (p_.tol) stop(s.active & (squared_norm(s.r) <= s.tol2), OmpStatus::tolerance, s);
        stop(s.active, limit_ == p_.n_nonzero ? OmpStatus::complete : OmpStatus::exhausted, s);
        // At most F in any case, which the compiler cannot see.
        const int steps = static_cast<int>(smaller(s.steps, F));
        for (int k = steps; k < F; ++k) s.y[k] = V{}, s.pick[k] = I{};
        for (int k = steps - 1; k >= 0; --k) {
            V sum = s.y[k];
            for (int j = k + 1; j < steps; ++j) sum -= s.w[j][k] * s.y[j];
            s.y[k] = sum * s.inverse[k];
        }
        write_lanes<T, F>(p_, s.begin, s.n, s.y, s.pick, s.exponent - static_cast<Int<T>>(*d_.exponent), s.count,
                          s.status);
    }

    static Int<T> code_of(OmpStatus status) { return static_cast<Int<T>>(status); }

    SF_INLINE static void stop(I which, OmpStatus why, State& s) {
        s.status = which ? I{} + code_of(why) : s.status;
        s.active &= ~which;
    }
    SF_INLINE static V inner(const V* a, const V* b) {
        V sum = a[0] * b[0];
        for (int f = 1; f < F; ++f) sum += a[f] * b[f];
        return sum;
    }
    SF_INLINE static V squared_norm(const V* a) { return inner(a, a); }
    SF_INLINE void read(int64_t begin, int n, V* r, I& exponent) const {
        read_lanes<T, F>(p_.signals, begin, n, r);
        V peak = {};
        for (int f = 0; f < F; ++f) {
            const V a = absolute<T>(r[f]);
            peak = a > peak ? a : peak;
        }
        constexpr int mantissa = sizeof(T) == 4 ? 23 : 52;
        constexpr Int<T> bias = sizeof(T) == 4 ? 127 : 1023;
        // Subnormal numbers are first made normal ones.
        const I subnormal = (peak > 0) & (reinterpret_cast<I>(peak) >> mantissa == 0);
        const V lift = subnormal ? V{} + power_of_two<T>(mantissa) : V{} + 1;
        I e = (reinterpret_cast<I>(peak * lift) >> mantissa) - bias;
        e = e > bias - 1 ? I{} + (bias - 1) : e;
        e = peak > 0 ? e : I{};
        const V scale = reinterpret_cast<V>((bias - e) << mantissa);
        for (int f = 0; f < F; ++f) r[f] = r[f] * lift * scale;
        exponent = e + (subnormal & -mantissa);
    }

    V scaled_tol2(int64_t begin, int n, I exponent) const {
        T tol2[lanes];
        for (int l = 0; l < lanes; ++l)
            tol2[l] = squared_tolerance<T>(p_, begin + smaller(l, n - 1), static_cast<int>(exponent[l]));
        return load(tol2);
    }

    // The best atom of each lane. Four runs of atoms, each a chain of its own, joined in their order; the packed rows
    // past the last atom are zero and never win.
    SF_INLINE LaneMax<T> score(const V* r) const {
        constexpr int chains = 4;
        const int64_t run = round_up(d_.n_atoms, chains) / chains;
        LaneMax<T> best[chains];
        I at[chains];
        const T* atom[chains];
        for (int c = 0; c < chains; ++c) {
            best[c] = {V{}, I{} - 1};
            at[c] = I{} + static_cast<Int<T>>(c * run);
            atom[c] = d_.atoms + c * run * d_.ld_atoms;
        }
        for (int64_t a = 0; a < run; ++a)
#pragma GCC unroll 4
            for (int c = 0; c < chains; ++c, atom[c - 1] += d_.ld_atoms) {
                V sum = r[0] * broadcast(atom[c][0]);
                for (int f = 1; f < F; ++f) sum += r[f] * broadcast(atom[c][f]);
                best[c] = larger(best[c], LaneMax<T>{absolute<T>(sum), at[c]});
                at[c] += 1;
            }
        return larger(larger(best[0], best[1]), larger(best[2], best[3]));
    }

    // Order-recursive: <d, r>^2 / ||d outside the span||^2, and zero for an atom that is no candidate.
    SF_INLINE LaneMax<T> score_ols(const State& s, int k) const {
        LaneMax<T> best{V{}, I{} - 1};
        I at = {};
        for (int64_t a = 0; a < d_.n_atoms; ++a, at += 1) {
            const T* const atom = d_.atoms + a * d_.ld_atoms;
            const V norm2 = broadcast(d_.diagonal[a]);
            V sum = s.r[0] * broadcast(atom[0]);
            for (int f = 1; f < F; ++f) sum += s.r[f] * broadcast(atom[f]);
            V left = norm2;
            for (int j = 0; j < k; ++j) {
                V along = s.q[j][0] * broadcast(atom[0]);
                for (int f = 1; f < F; ++f) along += s.q[j][f] * broadcast(atom[f]);
                left -= along * along;
            }
            const I candidate =
                (left > 16 * Lanes<T>::epsilon * norm2) & (sum * sum > kFloor * kFloor * s.norm2 * norm2);
            const V value = candidate ? sum * sum / (candidate ? left : V{} + 1) : V{};
            best = larger(best, LaneMax<T>{value, at});
        }
        return best;
    }

    // Lanes where no atom is a candidate: does one that lies in the span of the selected still correlate?
    SF_INLINE void stop_without_candidate(State& s, int k) const {
        const I without = s.active & (s.best.index < 0);
        if (!any<T>(without)) return;
        I outside = {};
        for (int64_t a = 0; a < d_.n_atoms; ++a) {
            V sum = {};
            for (int f = 0; f < F; ++f) sum += s.r[f] * broadcast(d_.atoms[a * d_.ld_atoms + f]);
            I correlates = sum * sum > kFloor * kFloor * s.norm2 * broadcast(d_.diagonal[a]);
            for (int j = 0; j < k; ++j) correlates &= s.pick[j] != static_cast<Int<T>>(a);
            outside |= correlates;
        }
        stop(without & outside, OmpStatus::dependent, s);
        stop(without & ~outside, OmpStatus::orthogonal, s);
    }

    // A second look at the lanes whose winner is already selected, which happens through rounding alone.
    __attribute__((noinline)) void score_excluding(I which, State& s, int k) const {
        for (int l = 0; l < lanes; ++l) {
            if (!which[l]) continue;
            T value = 0;
            Int<T> index = -1;
            for (int64_t a = 0; a < d_.n_atoms; ++a) {
                bool selected = false;
                for (int j = 0; j < k; ++j) selected |= s.pick[j][l] == a;
                T sum = 0, left = d_.diagonal[a];
                for (int f = 0; f < F; ++f) sum += s.r[f][l] * d_.atoms[a * d_.ld_atoms + f];
                T score = sum < 0 ? -sum : sum;
                if constexpr (ols) {
                    for (int j = 0; j < k; ++j) {
                        T along = 0;
                        for (int f = 0; f < F; ++f) along += s.q[j][f][l] * d_.atoms[a * d_.ld_atoms + f];
                        left -= along * along;
                    }
                    const bool candidate = left > 16 * Lanes<T>::epsilon * d_.diagonal[a] &&
                                           sum * sum > kFloor * kFloor * s.norm2[l] * d_.diagonal[a];
                    score = candidate ? sum * sum / left : T(0);
                }
                if (!selected && score > value) value = score, index = static_cast<Int<T>>(a);
            }
            s.best.value[l] = value;
            s.best.index[l] = index;
        }
        if constexpr (ols) stop_without_candidate(s, k);
    }

    SF_INLINE void gather(I index, V* atom) const {
        if (d_.n_atoms <= 2 * lanes) {
            for (int f = 0; f < F; ++f) atom[f] = pick_lanes<T>(table_[f][0], table_[f][1], index);
            return;
        }
        T rows[F][lanes];
        for (int l = 0; l < lanes; ++l) {
            const T* row = d_.atoms + index[l] * d_.ld_atoms;
            for (int f = 0; f < F; ++f) rows[f][l] = row[f];
        }
        for (int f = 0; f < F; ++f) atom[f] = load(rows[f]);
    }

    const OmpProblem& p_;
    const PackedDictionary<T>& d_;
    const int limit_;
    V table_[F][2];  // D^T of the first atoms, for a gather in registers
};

template <typename T, int F, bool ols>
static void code_small(const OmpProblem& p, const PackedDictionary<T>& d, int64_t begin, int64_t end) {
    SmallCoder<T, F, ols>(p, d).code(begin, end);
}

template <typename T, bool ols>
static void code_small(const OmpProblem& p, const PackedDictionary<T>& d, int64_t begin, int64_t end) {
    switch (d.n_features) {
        case 1: return code_small<T, 1, ols>(p, d, begin, end);
        case 2: return code_small<T, 2, ols>(p, d, begin, end);
        case 3: return code_small<T, 3, ols>(p, d, begin, end);
        case 4: return code_small<T, 4, ols>(p, d, begin, end);
        case 5: return code_small<T, 5, ols>(p, d, begin, end);
        case 6: return code_small<T, 6, ols>(p, d, begin, end);
        case 7: return code_small<T, 7, ols>(p, d, begin, end);
        default: return code_small<T, 8, ols>(p, d, begin, end);
    }
}

}  // namespace
}  // namespace sparsefast
