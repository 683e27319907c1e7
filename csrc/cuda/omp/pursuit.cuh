// Batch-OMP and its relatives omp, ols and masked of one signal by a team of threads, atoms spread over the threads.
//
// With L L^T the Gram matrix of the support S and M = L^-1, a new atom i with g = G[S, i] gives
//     w = M g,   d^2 = G_ii - ||w||^2,   y = c_i / d,   new row of M: m = (-w^T M, 1) / d,   gamma += y m
// as in csrc/cpu/omp/group.hpp. Correlations c are made as they are scored, c = c0 - sum_j gamma_j G[S_j], and never
// stored; each row of the Gram matrix is read from the second-level cache once and kept in shared memory where there is
// room, by the thread that will read it again. Without a Gram matrix, and for masked, they are made from the residual
// and the transposed dictionary. ols keeps them, and the squared distances of all atoms from the span.
//
// Of a block, the first warp alone does the small algebra, and two barriers a step let the others follow.
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
    T* rows;      // (limit, ld): rows of the Gram matrix, or null
    int* support;
};

template <typename T, OmpCoder coder, bool gram, int threads>
class Pursuit {
    static constexpr bool ols = coder == OmpCoder::ols, masked = coder == OmpCoder::masked;
    static constexpr T kEps = Epsilon<T>::value, kFloor = 32 * kEps;
    enum class Flow : int { next, again, stop };

   public:
    __device__ Pursuit(const DeviceDictionary<T>& d, const TileArrays<T>& tile, const SignalFacts<T>& facts,
                       const PursuitArrays<T>& arrays, int64_t limit, int64_t n_nonzero)
        : d_(d),
          tile_(tile),
          facts_(facts),
          a_(arrays),
          limit_(static_cast<int>(limit)),
          complete_(limit == n_nonzero) {}

    // Codes signal t of the tile; support and gamma are in the arrays then.
    __device__ OmpStatus code(int t, int* count) {
        t_ = t;
        c_ = tile_.c + t * d_.ld;
        error2_ = norm2_ = facts_.norm2[t];
        doubt_ = 16 * kEps * norm2_;
        k_ = 0;
        if (threads > kWarp) team_.sync();  // others may still read what was found of the last signal
        if (masked && norm2_ > 0) weigh();
        Flow flow = Flow::stop;
        if (leads()) flow = look();
        flow = share(flow);
        while (flow != Flow::stop) {
            if (!gram && k_ > 0) {
                combine(ols ? T(0) : T(1), ols ? T(1) : T(-1), ols ? a_.inverse + k_ * (k_ - 1) / 2 : a_.gamma);
                team_.sync();
            }
            bool outside = false;
            Best<T> best = ols ? score_ols(&outside) : score(flow == Flow::again);
            outside = team_.gather(best, ols && outside);
            if (leads()) flow = advance(best, outside);
            flow = share(flow);
        }
        *count = k_;
        return why_;
    }

   private:
    // Whether this thread takes part in the small algebra.
    __device__ bool leads() const { return threads == kWarp || threadIdx.x < kWarp; }

    // What the first warp found, told to all.
    __device__ Flow share(Flow flow) {
        if constexpr (threads > kWarp) {
            __shared__ int found[3];
            __shared__ T y;
            if (threadIdx.x == 0) {
                found[0] = static_cast<int>(flow), found[1] = static_cast<int>(why_), found[2] = k_;
                y = y_;
            }
            __syncthreads();
            flow = static_cast<Flow>(found[0]), why_ = static_cast<OmpStatus>(found[1]), k_ = found[2];
            y_ = y;
        }
        return flow;
    }

    __device__ Flow stop(OmpStatus why) {
        why_ = why;
        return Flow::stop;
    }

    // Whether the signal ends with the atoms that it has.
    __device__ Flow look() {
        if (!is_finite(norm2_)) return stop(OmpStatus::nonfinite);
        const T tol2 = facts_.tol2[t_];
        // ||x||^2 - sum y^2 says where to look, the residual whether it is so.
        if (tol2 >= 0 && !(error2_ - doubt_ > tol2) && (k_ == 0 ? norm2_ : residual_norm2()) <= tol2)
            return stop(OmpStatus::tolerance);
        if (norm2_ == 0) return stop(masked && facts_.observed[t_] == 0 ? OmpStatus::exhausted : OmpStatus::orthogonal);
        if (k_ == limit_) return stop(complete_ ? OmpStatus::complete : OmpStatus::exhausted);
        return masked && k_ == facts_.observed[t_] ? stop(OmpStatus::exhausted) : Flow::next;
    }

    // Appends the best atom, unless that ends the signal or the atom is there already.
    __device__ Flow advance(const Best<T>& best, bool outside) {
        if (!best.found()) return stop(outside ? OmpStatus::dependent : OmpStatus::orthogonal);
        const int atom = best.index;
        if (!ols && is_selected(atom)) return Flow::again;
        const T length2 = masked ? inner(atom, atom) : d_.diagonal[atom];
        if (!ols && best.value * best.value <= kFloor * kFloor * norm2_ * length2) return stop(OmpStatus::orthogonal);
        const T pivot = project(atom, length2);
        if (!ols && !(pivot > 16 * kEps * length2)) return stop(OmpStatus::dependent);
        y_ = append(atom, best.value, pivot, length2);
        error2_ -= y_ * y_;
        if (facts_.tol2[t_] >= 0) doubt_ += drift();
        ++k_;
        return look();
    }

    // How far rounding may have led the sum of y^2: y is made of correlations <d, r> that are differences of larger
    // ones, <d, x> and the gamma_j <d, d_j>, and belongs to the direction sum_j m_j d_j, of unit length as far as its
    // parts have not cancelled.
    __device__ T drift() {
        const T* const row = a_.inverse + k_ * (k_ + 1) / 2;
        T parts = 0, direction = 0;
        for (int j = lead_.rank(); j <= k_; j += kWarp) {
            parts += fabs(a_.gamma[j]) * a_.lengths[j];
            direction += fabs(row[j]) * a_.lengths[j];
        }
        parts = sqrt(norm2_) + lead_.sum(parts);
        const T step = fabs(y_) * lead_.sum(direction);
        return 4 * kEps * static_cast<T>(d_.n_features + k_ + 1) * step * (parts + step);
    }

    __device__ T feature(int64_t f) const { return tile_.x[f * tile_.signals + t_]; }
    __device__ T observed(int64_t f) const { return masked ? tile_.mask[f * tile_.signals + t_] : T(1); }
    __device__ const T* atom_row(int i) const { return d_.atoms + i * d_.ld_atoms; }

    __device__ double residual_norm2() {
        double sum = 0;
        for (int64_t f = lead_.rank(); f < d_.n_features; f += kWarp) {
            double e = feature(f);
            for (int j = 0; j < k_; ++j) e -= static_cast<double>(a_.gamma[j]) * atom_row(a_.support[j])[f];
            if (masked) e *= observed(f);
            sum += e * e;
        }
        return lead_.sum(sum);
    }

    // <a, b> over what is observed.
    __device__ T inner(int a, int b) {
        const T *const left = atom_row(a), *const right = atom_row(b);
        T sum = 0;
        for (int64_t f = lead_.rank(); f < d_.n_features; f += kWarp) sum += observed(f) * (left[f] * right[f]);
        return lead_.sum(sum);
    }

    // v = scale_x x + sum_j weight_j d_j, masked.
    __device__ void combine(T of_x, T sign, const T* weights) {
        for (int64_t f = team_.rank(); f < d_.n_features; f += threads) {
            T e = of_x * feature(f);
            for (int j = 0; j < k_; ++j) e += sign * weights[j] * atom_row(a_.support[j])[f];
            a_.v[f] = masked ? e * observed(f) : e;
        }
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

    // sum + sign sum_j weight_j G[S_j] of the four atoms from `atom` on. The row of the last atom is kept for later; a
    // thread reads what it has written itself.
    __device__ Four<T> combine_rows(Four<T> sum, T sign, const T* weights, int64_t atom) const {
        const int kept = a_.rows ? k_ - 1 : 0;
        for (int j = 0; j < kept; ++j) {
            const Four<T> row = *reinterpret_cast<const Four<T>*>(a_.rows + j * d_.ld + atom);
            add(sum, sign * weights[j], row);
        }
        for (int j = kept; j < k_; ++j) {
            const Four<T> row = *reinterpret_cast<const Four<T>*>(d_.gram + a_.support[j] * d_.ld + atom);
            if (a_.rows) *reinterpret_cast<Four<T>*>(a_.rows + j * d_.ld + atom) = row;
            add(sum, sign * weights[j], row);
        }
        return sum;
    }
    __device__ static void add(Four<T>& sum, T weight, const Four<T>& row) {
#pragma unroll
        for (int i = 0; i < kQuad; ++i) sum.v[i] = fma(weight, row.v[i], sum.v[i]);
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

    // The best of this thread's atoms.
    __device__ Best<T> score(bool exclude) const {
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
        return best;
    }

    // Updates correlations and distances by the direction added last, and scores the atoms that are candidates;
    // `outside` says whether one in the span still correlates.
    __device__ Best<T> score_ols(bool* outside) const {
        const T* const row = a_.inverse + k_ * (k_ - 1) / 2;
        Best<T> best;
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
                *outside |= correlates && inside;
                const T score = correlates && !inside ? c2 / distance2.v[i] : T(0);
                best.offer(score, c.v[i], static_cast<int>(atom + i));
            }
        }
        return best;
    }

    // w, and the squared distance of the atom from the span of the support.
    __device__ T project(int atom, T length2) {
        if (gram) {
            for (int j = lead_.rank(); j < k_; j += kWarp) a_.g[j] = d_.gram[atom * d_.ld + a_.support[j]];
        } else {
            for (int j = 0; j < k_; ++j) {
                const T product = inner(atom, a_.support[j]);
                if (lead_.rank() == 0) a_.g[j] = product;
            }
        }
        lead_.sync();
        T inside = 0;
        for (int a = lead_.rank(); a < k_; a += kWarp) {
            const T* const row = a_.inverse + a * (a + 1) / 2;
            T sum = 0;
            for (int b = 0; b <= a; ++b) sum += row[b] * a_.g[b];
            a_.w[a] = sum;
            inside += sum * sum;
        }
        if (ols) {
            const T distance2 = a_.per_atom[atom];  // as the selection saw it
            lead_.sync();
            return distance2;
        }
        return length2 - lead_.sum(inside);
    }

    // A row of M for the atom, of correlation c, and the refit of gamma; returns y.
    __device__ T append(int atom, T c, T pivot, T length2) {
        lead_.sync();
        const T inverse_d = T(1) / sqrt(pivot), y = c * inverse_d;
        T* const last = a_.inverse + k_ * (k_ + 1) / 2;
        for (int b = lead_.rank(); b < k_; b += kWarp) {
            T sum = 0;
            for (int a = b; a < k_; ++a) sum -= a_.w[a] * a_.inverse[a * (a + 1) / 2 + b];
            last[b] = sum * inverse_d;
            a_.gamma[b] += y * last[b];
        }
        if (lead_.rank() == 0) {
            last[k_] = inverse_d;
            a_.gamma[k_] = y * inverse_d;
            a_.support[k_] = atom;
            a_.lengths[k_] = sqrt(length2);
            if (ols) a_.per_atom[atom] = static_cast<T>(INFINITY);
        }
        lead_.sync();
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
    const bool complete_;
    Team<T, threads> team_;
    Team<T, kWarp> lead_;
    T* c_ = nullptr;
    T norm2_ = 0, y_ = 0, error2_ = 0, doubt_ = 0;
    int t_ = 0, k_ = 0;
    OmpStatus why_ = OmpStatus::orthogonal;
};

}  // namespace
}  // namespace sparsefast
