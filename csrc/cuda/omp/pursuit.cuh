// Batch-OMP and its relatives omp, ols and masked of one signal by a team of threads, atoms spread over the threads.
//
// With L L^T the Gram matrix of the support S and M = L^-1, a new atom i with g = G[S, i] gives
//     w = M g,   d^2 = G_ii - ||w||^2,   y = c_i / d,   new row of M: m = (-w^T M, 1) / d,   gamma += y m
// as in csrc/cpu/omp/group.hpp. Correlations c are made as they are scored, c = c0 - sum_j gamma_j G[S_j] from rows of
// the Gram matrix in the second-level cache, and never stored; without a Gram matrix, and for masked, from the residual
// and the transposed dictionary. ols keeps them, and the squared distances of all atoms from the span.
#pragma once

#include "cuda/omp/output.cuh"
#include "cuda/omp/tile.cuh"

namespace sparsefast {
namespace {

// The small arrays of a team.
template <typename T>
struct PursuitArrays {
    T* inverse;  // packed lower triangle of M
    T* gamma;    // (limit,) as are the following
    T* g;
    T* w;
    T* lengths;   // norms of the selected atoms
    T* v;         // (n_features,): a residual or a direction, where there is no Gram matrix
    T* per_atom;  // (ld,): squared distances for ols, weights for masked
    int* support;
};

template <typename T, OmpCoder coder, bool gram, int threads>
class Pursuit {
    static constexpr bool ols = coder == OmpCoder::ols, masked = coder == OmpCoder::masked;
    static constexpr T kEps = Epsilon<T>::value, kFloor = 32 * kEps;

   public:
    __device__ Pursuit(const DeviceDictionary<T>& d, const TileArrays<T>& tile, const SignalFacts<T>& facts,
                       const PursuitArrays<T>& arrays, int64_t limit)
        : d_(d), tile_(tile), facts_(facts), a_(arrays), limit_(static_cast<int>(limit)) {}

    // Codes signal t of the tile; support and gamma are in the arrays then.
    __device__ OmpStatus code(int t, int64_t n_nonzero, int* count) {
        t_ = t;
        c_ = tile_.c + t * d_.ld;
        norm2_ = facts_.norm2[t];
        k_ = 0;
        const OmpStatus why = pursue(n_nonzero);
        *count = k_;
        return why;
    }

   private:
    __device__ OmpStatus pursue(int64_t n_nonzero) {
        if (!is_finite(norm2_)) return OmpStatus::nonfinite;
        const T tol2 = facts_.tol2[t_];
        T error2 = norm2_, doubt = 16 * kEps * norm2_;
        if (masked && norm2_ > 0) weigh();
        for (;; ++k_) {
            // ||x||^2 - sum y^2 says where to look, the residual whether it is so.
            if (tol2 >= 0 && !(error2 - doubt > tol2) && (k_ == 0 ? norm2_ : residual_norm2()) <= tol2)
                return OmpStatus::tolerance;
            if (norm2_ == 0) return masked && facts_.observed[t_] == 0 ? OmpStatus::exhausted : OmpStatus::orthogonal;
            if (k_ == limit_) return limit_ == n_nonzero ? OmpStatus::complete : OmpStatus::exhausted;
            if (masked && k_ == facts_.observed[t_]) return OmpStatus::exhausted;

            OmpStatus why = OmpStatus::orthogonal;
            const Best<T> best = select(&why);
            if (!best.found()) return why;
            const int atom = best.index;
            const T length2 = masked ? inner(atom, atom) : d_.diagonal[atom];
            if (!ols && best.value * best.value <= kFloor * kFloor * norm2_ * length2) return OmpStatus::orthogonal;
            const T pivot = project(atom, length2);
            if (!ols && !(pivot > 16 * kEps * length2)) return OmpStatus::dependent;
            y_ = append(atom, best.value, pivot, length2);
            error2 -= y_ * y_;
            if (tol2 >= 0) doubt += drift();
        }
    }

    // How far rounding may have led the sum of y^2: y is made of correlations <d, r> that are differences of larger
    // ones, <d, x> and the gamma_j <d, d_j>, and belongs to the direction sum_j m_j d_j, of unit length as far as its
    // parts have not cancelled.
    __device__ T drift() {
        const T* const row = a_.inverse + k_ * (k_ + 1) / 2;
        T parts = 0, direction = 0;
        for (int j = team_.rank(); j <= k_; j += threads) {
            parts += fabs(a_.gamma[j]) * a_.lengths[j];
            direction += fabs(row[j]) * a_.lengths[j];
        }
        parts = sqrt(norm2_) + team_.sum(parts);
        const T step = fabs(y_) * team_.sum(direction);
        return 4 * kEps * static_cast<T>(d_.n_features + k_ + 1) * step * (parts + step);
    }

    __device__ T feature(int64_t f) const { return tile_.x[f * tile_.signals + t_]; }
    __device__ T observed(int64_t f) const { return masked ? tile_.mask[f * tile_.signals + t_] : T(1); }
    __device__ const T* atom_row(int i) const { return d_.atoms + i * d_.ld_atoms; }

    __device__ double residual_norm2() {
        double sum = 0;
        for (int64_t f = team_.rank(); f < d_.n_features; f += threads) {
            double e = feature(f);
            for (int j = 0; j < k_; ++j) e -= static_cast<double>(a_.gamma[j]) * atom_row(a_.support[j])[f];
            if (masked) e *= observed(f);
            sum += e * e;
        }
        return team_.sum(sum);
    }

    // <a, b> over what is observed.
    __device__ T inner(int a, int b) {
        const T *const left = atom_row(a), *const right = atom_row(b);
        T sum = 0;
        for (int64_t f = team_.rank(); f < d_.n_features; f += threads) sum += observed(f) * (left[f] * right[f]);
        return team_.sum(sum);
    }

    // v = scale_x x + sum_j weight_j d_j, masked.
    __device__ void combine(T of_x, T sign, const T* weights) {
        for (int64_t f = team_.rank(); f < d_.n_features; f += threads) {
            T e = of_x * feature(f);
            for (int j = 0; j < k_; ++j) e += sign * weights[j] * atom_row(a_.support[j])[f];
            a_.v[f] = masked ? e * observed(f) : e;
        }
        team_.sync();
    }

    // <d_i, v> of the four atoms from `atom` on.
    __device__ Four<T> correlate(int64_t atom) const {
        Four<T> sum = {};
        const T* column = d_.transposed + atom;
        for (int64_t f = 0; f < d_.n_features; ++f, column += d_.ld) {
            const Four<T> a = *reinterpret_cast<const Four<T>*>(column);
#pragma unroll
            for (int i = 0; i < kQuad; ++i) sum.v[i] = fma(a_.v[f], a.v[i], sum.v[i]);
        }
        return sum;
    }

    // sum + sign sum_j weight_j G[S_j] of the four atoms from `atom` on.
    __device__ Four<T> combine_rows(Four<T> sum, T sign, const T* weights, int64_t atom) const {
        for (int j = 0; j < k_; ++j) {
            const T weight = sign * weights[j];
            const Four<T> row = *reinterpret_cast<const Four<T>*>(d_.gram + a_.support[j] * d_.ld + atom);
#pragma unroll
            for (int i = 0; i < kQuad; ++i) sum.v[i] = fma(weight, row.v[i], sum.v[i]);
        }
        return sum;
    }

    // Correlations of the residual with the four atoms from `atom` on.
    __device__ Four<T> current(int64_t atom) const {
        const Four<T> first = *reinterpret_cast<const Four<T>*>(c_ + atom);
        if (k_ == 0) return first;
        return gram ? combine_rows(first, T(-1), a_.gamma, atom) : correlate(atom);
    }

    __device__ bool is_selected(int64_t atom) const {
        bool found = false;
        for (int j = 0; j < k_; ++j) found |= a_.support[j] == atom;
        return found;
    }

    __device__ Best<T> select(OmpStatus* why) {
        if (ols) return select_ols(why);
        if (!gram && k_ > 0) combine(T(1), T(-1), a_.gamma);
        Best<T> best = scan(false);
        if (best.found() && is_selected(best.index)) best = scan(true);
        return best;
    }

    __device__ Best<T> scan(bool exclude) {
        Best<T> best;
        for (int64_t atom = team_.rank() * kQuad; atom < d_.ld; atom += threads * kQuad) {
            const Four<T> c = current(atom);
#pragma unroll
            for (int i = 0; i < kQuad; ++i) {
                T key = fabs(c.v[i]);
                if (masked) key *= a_.per_atom[atom + i];
                if (!exclude || !is_selected(atom + i)) best.offer(key, c.v[i], static_cast<int>(atom + i));
            }
        }
        return team_.best(best);
    }

    // Updates all correlations and distances by the direction added last, and scores the atoms that are candidates.
    __device__ Best<T> select_ols(OmpStatus* why) {
        const T* const row = a_.inverse + k_ * (k_ - 1) / 2;
        if (!gram && k_ > 0) combine(T(0), T(1), row);
        Best<T> best;
        bool outside = false;
        for (int64_t atom = team_.rank() * kQuad; atom < d_.ld; atom += threads * kQuad) {
            Four<T> c = *reinterpret_cast<const Four<T>*>(c_ + atom);
            Four<T> distance2 = *reinterpret_cast<const Four<T>*>((k_ == 0 ? d_.diagonal : a_.per_atom) + atom);
            if (k_ > 0) {
                const Four<T> u = gram ? combine_rows(Four<T>{}, T(1), row, atom) : correlate(atom);
#pragma unroll
                for (int i = 0; i < kQuad; ++i) {
                    c.v[i] = fma(-y_, u.v[i], c.v[i]);
                    distance2.v[i] = fma(-u.v[i], u.v[i], distance2.v[i]);
                }
                *reinterpret_cast<Four<T>*>(c_ + atom) = c;
            }
            *reinterpret_cast<Four<T>*>(a_.per_atom + atom) = distance2;
#pragma unroll
            for (int i = 0; i < kQuad; ++i) {
                const T length2 = d_.diagonal[atom + i], c2 = c.v[i] * c.v[i];
                const bool correlates = c2 > kFloor * kFloor * norm2_ * length2;
                const bool inside = !(distance2.v[i] > 16 * kEps * length2);
                // A selected atom is at an infinite distance.
                outside |= correlates && inside;
                const T score = correlates && !inside ? c2 / distance2.v[i] : T(0);
                best.offer(score, c.v[i], static_cast<int>(atom + i));
            }
        }
        best = team_.best(best);
        if (team_.any(outside)) *why = OmpStatus::dependent;
        return best;
    }

    // w, and the squared distance of the atom from the span of the support.
    __device__ T project(int atom, T length2) {
        if (gram) {
            for (int j = team_.rank(); j < k_; j += threads) a_.g[j] = d_.gram[atom * d_.ld + a_.support[j]];
        } else {
            for (int j = 0; j < k_; ++j) {
                const T product = inner(atom, a_.support[j]);
                if (team_.rank() == 0) a_.g[j] = product;
            }
        }
        team_.sync();
        T inside = 0;
        for (int a = team_.rank(); a < k_; a += threads) {
            const T* const row = a_.inverse + a * (a + 1) / 2;
            T sum = 0;
            for (int b = 0; b <= a; ++b) sum += row[b] * a_.g[b];
            a_.w[a] = sum;
            inside += sum * sum;
        }
        if (ols) {
            const T distance2 = a_.per_atom[atom];  // as the selection saw it
            team_.sync();
            return distance2;
        }
        return length2 - team_.sum(inside);
    }

    // A row of M for the atom, of correlation c, and the refit of gamma; returns y.
    __device__ T append(int atom, T c, T pivot, T length2) {
        team_.sync();
        const T inverse_d = T(1) / sqrt(pivot), y = c * inverse_d;
        T* const last = a_.inverse + k_ * (k_ + 1) / 2;
        for (int b = team_.rank(); b < k_; b += threads) {
            T sum = 0;
            for (int a = b; a < k_; ++a) sum -= a_.w[a] * a_.inverse[a * (a + 1) / 2 + b];
            last[b] = sum * inverse_d;
            a_.gamma[b] += y * last[b];
        }
        if (team_.rank() == 0) {
            last[k_] = inverse_d;
            a_.gamma[k_] = y * inverse_d;
            a_.support[k_] = atom;
            a_.lengths[k_] = sqrt(length2);
            if (ols) a_.per_atom[atom] = static_cast<T>(INFINITY);
        }
        team_.sync();
        return y;
    }

    // Weights ||d|| / ||m d|| of all atoms, zero where nothing of an atom is observed.
    __device__ void weigh() {
        for (int64_t atom = team_.rank() * kQuad; atom < d_.ld; atom += threads * kQuad) {
            Four<T> seen = {};
            const T* column = d_.transposed + atom;
            for (int64_t f = 0; f < d_.n_features; ++f, column += d_.ld) {
                const Four<T> a = *reinterpret_cast<const Four<T>*>(column);
                const T m = observed(f);
#pragma unroll
                for (int i = 0; i < kQuad; ++i) seen.v[i] = fma(m * a.v[i], a.v[i], seen.v[i]);
            }
#pragma unroll
            for (int i = 0; i < kQuad; ++i) {
                const T whole = d_.diagonal[atom + i];
                a_.per_atom[atom + i] = seen.v[i] > 16 * kEps * whole ? sqrt(whole / seen.v[i]) : T(0);
            }
        }
        team_.sync();
    }

    const DeviceDictionary<T>& d_;
    const TileArrays<T>& tile_;
    const SignalFacts<T>& facts_;
    const PursuitArrays<T> a_;
    const int limit_;
    Team<T, threads> team_;
    T* c_ = nullptr;
    T norm2_ = 0, y_ = 0;
    int t_ = 0, k_ = 0;
};

}  // namespace
}  // namespace sparsefast
