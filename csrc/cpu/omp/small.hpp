// OMP for at most 8 features: a signal a lane, its residual in registers, no Gram matrix and no block of correlations.
//
// Each step scores all atoms, c_k = <d_k, r>, against the residual itself, orthogonalises the winner against the
// selected atoms (modified Gram-Schmidt: D_S^T = Q R, q_k = (d - sum w_j q_j) / d_k), and takes its part off the
// residual, r -= <q_k, r> q_k. At the end R gamma = y is solved. What bounds it is the scoring: (F + 4) K operations a
// step for as many signals as a vector has lanes.
#pragma once

#include "cpu/omp/interleave.hpp"
#include "cpu/omp/layout.hpp"
#include "cpu/omp/scaling.hpp"

namespace sparsefast {
namespace {

template <typename T, int F>
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
        s.best = score(s.r);
        if (k == 0) return;
        I again = s.best.index == s.pick[0];
        for (int j = 1; j < k; ++j) again |= s.best.index == s.pick[j];
        again &= s.active;
        if (any<T>(again)) score_excluding(again, s.r, s.pick, k, s.best);
    }

    SF_INLINE void append(State& s, int k) const {
        if (k >= F || !any<T>(s.active)) return;
        const LaneMax<T> best = s.best;
        // A lane without a winner is about to stop; any atom will do for it.
        const I chosen = best.index < 0 ? I{} : best.index;
        V atom[F];
        gather(chosen, atom);
        const V length2 = squared_norm(atom);
        const T floor = 32 * Lanes<T>::epsilon;
        stop(s.active & (best.value * best.value <= floor * floor * s.norm2 * length2), OmpStatus::orthogonal, s);
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
        write(s.begin, s.n, s.y, s.pick, s.exponent, s.count, s.status);
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
        const T* const x = static_cast<const T*>(p_.signals.data) + begin * p_.signals.row_stride;
        if (n == lanes && p_.signals.row_stride == F && p_.signals.col_stride == 1) {
            load_rows<T, F>(x, r);
        } else {
            T rows[F][lanes];
            for (int l = 0; l < lanes; ++l)
                for (int f = 0; f < F; ++f)
                    rows[f][l] = x[smaller(l, n - 1) * p_.signals.row_stride + f * p_.signals.col_stride];
            for (int f = 0; f < F; ++f) r[f] = load(rows[f]);
        }
        V peak = {};
        for (int f = 0; f < F; ++f) {
            const V a = absolute<T>(r[f]);
            peak = a > peak ? a : peak;
        }
        constexpr int mantissa = sizeof(T) == 4 ? 23 : 52;
        constexpr Int<T> bias = sizeof(T) == 4 ? 127 : 1023;
        I e = (reinterpret_cast<I>(peak) >> mantissa) - bias;
        e = e < 1 - bias ? I{} + (1 - bias) : e;
        e = e > bias - 1 ? I{} + (bias - 1) : e;
        exponent = peak > 0 ? e : I{};
        const V scale = reinterpret_cast<V>((bias - exponent) << mantissa);
        for (int f = 0; f < F; ++f) r[f] *= scale;
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

    // A second look at the lanes whose winner is already selected, which happens through rounding alone.
    __attribute__((noinline)) void score_excluding(I which, const V* r, const I* pick, int k, LaneMax<T>& best) const {
        for (int l = 0; l < lanes; ++l) {
            if (!which[l]) continue;
            T value = 0;
            Int<T> index = -1;
            for (int64_t a = 0; a < d_.n_atoms; ++a) {
                bool selected = false;
                for (int j = 0; j < k; ++j) selected |= pick[j][l] == a;
                T sum = 0;
                for (int f = 0; f < F; ++f) sum += r[f][l] * d_.atoms[a * d_.ld_atoms + f];
                const T magnitude = sum < 0 ? -sum : sum;
                if (!selected && magnitude > value) value = magnitude, index = static_cast<Int<T>>(a);
            }
            best.value[l] = value;
            best.index[l] = index;
        }
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

    SF_INLINE void write(int64_t begin, int n, const V* gamma, const I* pick, I exponent, I count, I status) const {
        const I shift = exponent - static_cast<Int<T>>(*d_.exponent);
        const I half = shift >> 1, rest = shift - half;
        constexpr int mantissa = sizeof(T) == 4 ? 23 : 52;
        constexpr Int<T> bias = sizeof(T) == 4 ? 127 : 1023;
        const V scale = reinterpret_cast<V>((half + bias) << mantissa);
        const V more = reinterpret_cast<V>((rest + bias) << mantissa);
        const I nonfinite = status == code_of(OmpStatus::nonfinite);
        const V nan = V{} + static_cast<T>(__builtin_nanf(""));
        V values[F];
        for (int j = 0; j < F; ++j) values[j] = nonfinite ? nan : gamma[j] * scale * more;
        const int64_t s = p_.n_nonzero;
        T* const out = static_cast<T*>(p_.values) + begin * s;
        write_rows<T>(out, n, values, nonfinite ? nan : V{});
        if (p_.index_type == IndexType::int64)
            write_rows<int64_t>(static_cast<int64_t*>(p_.indices) + begin * s, n, pick, I{});
        else
            write_rows<int32_t>(static_cast<int32_t*>(p_.indices) + begin * s, n, pick, I{});
        int32_t counts[lanes];
        uint8_t codes[lanes];
        for (int l = 0; l < lanes; ++l) counts[l] = static_cast<int32_t>(count[l]);
        for (int l = 0; l < lanes; ++l) codes[l] = static_cast<uint8_t>(status[l]);
        __builtin_memcpy(p_.counts + begin, counts, static_cast<unsigned long>(n) * sizeof(int32_t));
        __builtin_memcpy(p_.status + begin, codes, static_cast<unsigned long>(n));
    }

    // Rows of n_nonzero numbers: F columns, then padding.
    template <typename Out, typename Column>
    SF_INLINE void write_rows(Out* out, int n, const Column* columns, Column padding) const {
        const int64_t s = p_.n_nonzero;
        if constexpr (sizeof(Out) == sizeof(T)) {
            if (n == lanes && s <= 4) {
                V wide[4];
                for (int j = 0; j < 4; ++j) wide[j] = reinterpret_cast<V>(j < F ? columns[j] : padding);
                T* const rows = reinterpret_cast<T*>(out);
                if (s == 1) return store_rows<T, 1>(wide, rows);
                if (s == 2) return store_rows<T, 2>(wide, rows);
                if (s == 3) return store_rows<T, 3>(wide, rows);
                return store_rows<T, 4>(wide, rows);
            }
        }
        for (int l = 0; l < n; ++l) {
            for (int j = 0; j < F && j < s; ++j) out[l * s + j] = static_cast<Out>(columns[j][l]);
            for (int64_t j = F; j < s; ++j) out[l * s + j] = static_cast<Out>(padding[l]);
        }
    }

    const OmpProblem& p_;
    const PackedDictionary<T>& d_;
    const int limit_;
    V table_[F][2];  // D^T of the first atoms, for a gather in registers
};

template <typename T, int F>
static void code_small(const OmpProblem& p, const PackedDictionary<T>& d, int64_t begin, int64_t end) {
    SmallCoder<T, F>(p, d).code(begin, end);
}

template <typename T>
static void code_small(const OmpProblem& p, const PackedDictionary<T>& d, int64_t begin, int64_t end) {
    switch (d.n_features) {
        case 1: return code_small<T, 1>(p, d, begin, end);
        case 2: return code_small<T, 2>(p, d, begin, end);
        case 3: return code_small<T, 3>(p, d, begin, end);
        case 4: return code_small<T, 4>(p, d, begin, end);
        case 5: return code_small<T, 5>(p, d, begin, end);
        case 6: return code_small<T, 6>(p, d, begin, end);
        case 7: return code_small<T, 7>(p, d, begin, end);
        default: return code_small<T, 8>(p, d, begin, end);
    }
}

}  // namespace
}  // namespace sparsefast
