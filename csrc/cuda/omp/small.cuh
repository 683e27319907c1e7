// OMP, or order-recursive selection, for 3 features, or at most F = 4 or 8: a thread a signal, its residual in
// registers, no Gram matrix. All threads of a warp read the same atom from shared memory, where the dictionary lies as
// a whole and is brought once a block; one that is too large passes through it in each step.
//
// Each step scores all atoms, c_k = <d_k, r>, orthogonalises the winner against those before it, q_k, and takes its
// part out of the residual, r -= <q_k, r> q_k. At the end R gamma = y is solved. As csrc/cpu/omp/small.hpp.
//
// A thread meets the atoms in order, so that of equal ones the first stays by itself. A signal that has stopped goes
// along with its warp and chooses nothing: without branches, what it has not chosen is zero in y, R and the indices.
#pragma once

#include "cuda/omp/output.cuh"
#include "cuda/omp/tile.cuh"

namespace sparsefast {
namespace {

constexpr int kSmallBlock = 128, kSmallBytes = 32 << 10;
// Blocks, each of which brings the dictionary: so many that the last ones leave few multiprocessors idle.
constexpr int64_t kSmallGrid = 16384;

// 1 / sqrt(v), rounded about as well as the division, in a fifth of its instructions.
template <typename T>
__device__ inline T inverse_root(T v) {
    const T guess = rsqrt(v);
    return fma(guess * T(0.5), fma(-v * guess, guess, T(1)), guess);
}

template <typename T, int F, bool ols, bool whole>
class SmallPursuit {
    static constexpr T kEps = Epsilon<T>::value, kFloor = 32 * kEps;

   public:
    // Atoms without a branch between them; zero atoms fill the last group.
    static constexpr int kGroup = F == 3 ? 16 : 8;
    static constexpr int kStride = F <= kQuad ? kQuad : 2 * kQuad;
    static constexpr int kChunk = kSmallBytes / (kStride * static_cast<int>(sizeof(T)));

    __device__ SmallPursuit(const DeviceDictionary<T>& d, T* shared) : d_(d), shared_(shared) {}

    // Atoms [from, from + n), and zero atoms to the end of their group, into shared memory; all threads of the block
    // take part.
    __device__ static void bring(const DeviceDictionary<T>& d, T* shared, int64_t from, int n) {
        constexpr int kQuads = kStride / kQuad;
        const Four<T>* const source = reinterpret_cast<const Four<T>*>(d.atoms + from * kStride);
        for (int i = threadIdx.x; i < in_groups(n) * kQuads; i += kSmallBlock)
            reinterpret_cast<Four<T>*>(shared)[i] = i < n * kQuads ? source[i] : Four<T>{};
        __syncthreads();
    }
    __host__ __device__ static constexpr int in_groups(int atoms) { return (atoms + kGroup - 1) / kGroup * kGroup; }

    __device__ void load(const Matrix& signals, int64_t signal, bool here) {
        const T* x = static_cast<const T*>(signals.data) + signal * signals.row_stride;
        const int features = F == 3 ? 3 : static_cast<int>(signals.cols);
        T peak = 0;
        bool bad = false;
#pragma unroll
        for (int f = 0; f < F; ++f) {
            r_[f] = here && f < features ? *x : T(0);
            x += signals.col_stride;
            bad |= !is_finite(r_[f]);
            const T a = fabs(r_[f]);
            peak = a > peak ? a : peak;
        }
        exponent = peak > 0 && !bad ? exponent_of(peak) : 0;
        const Shift<T> scale(-exponent);
#pragma unroll
        for (int f = 0; f < F; ++f) r_[f] = bad ? T(0) : scale(r_[f]);
        norm2_ = inner(r_, r_);
        active_ = here && !bad;
        status_ = code_of(bad ? OmpStatus::nonfinite : OmpStatus::orthogonal);
#pragma unroll
        for (int k = 0; k < F; ++k) {
            y_[k] = inverse_[k] = 0;
            pick_[k] = 0;
#pragma unroll
            for (int j = 0; j < k; ++j) w_[k][j] = 0;
        }
    }

    __device__ void pursue(int limit, bool complete, T tol2) {
        const T floor2 = kFloor * kFloor * norm2_;
#pragma unroll
        for (int k = 0; k < F; ++k) {
            stop_if(inner(r_, r_) <= tol2, OmpStatus::tolerance);
            if (k == 0) stop_if(norm2_ == 0, OmpStatus::orthogonal);
            const bool goes_on = active_ && k < limit;
            if (whole ? !__any_sync(kAllLanes, goes_on) : !__syncthreads_or(goes_on)) break;
            score(k, floor2);
            if (active_ && key_ != 0 && is_selected(index_, k)) score_others(k, floor2);
            append(k, floor2);
        }
        stop_if(inner(r_, r_) <= tol2, OmpStatus::tolerance);
        stop_if(true, complete ? OmpStatus::complete : OmpStatus::exhausted);
    }

    // R gamma = y from the last to the first; gamma is in y then.
    __device__ void solve() {
#pragma unroll
        for (int k = F - 1; k >= 0; --k) {
            T sum = y_[k];
#pragma unroll
            for (int j = k + 1; j < F; ++j) sum = fma(-w_[j][k], y_[j], sum);
            y_[k] = sum * inverse_[k];
        }
    }

    // `together`: all threads of the warp have a signal.
    __device__ void write(const Outputs<T>& out, int64_t signal, bool together, int shift) const {
        Shift<T> to_scale(shift);
        if (status_ == code_of(OmpStatus::nonfinite)) to_scale.half = static_cast<T>(NAN);
        const int64_t row = signal * out.n_nonzero;
        if (out.in_fours && together) {
            // In 16-byte stores: neighbouring threads fill whole sectors.
            Four<T> four;
            int index[kQuad];
#pragma unroll
            for (int j = 0; j < kQuad; ++j) {
                four.v[j] = to_scale(j < F ? y_[j < F ? j : 0] : T(0));
                index[j] = j < F ? pick_[j < F ? j : 0] : 0;
            }
            reinterpret_cast<Four<T>*>(out.values)[signal] = four;
            out.put_four(signal, index);
        } else {
#pragma unroll
            for (int j = 0; j < F; ++j) {
                if (j >= out.n_nonzero) break;
                out.values[row + j] = to_scale(y_[j]);
                out.put_index(row + j, pick_[j]);
            }
            for (int64_t j = F; j < out.n_nonzero; ++j) {
                out.values[row + j] = to_scale(T(0));
                out.put_index(row + j, 0);
            }
        }
        out.counts[signal] = count_;
        out.status[signal] = static_cast<uint8_t>(status_);
    }

    int exponent = 0;

   private:
    __device__ static T inner(const T* a, const T* b) {
        T sum = a[0] * b[0];
#pragma unroll
        for (int f = 1; f < F; ++f) sum = fma(a[f], b[f], sum);
        return sum;
    }
    __device__ static constexpr int code_of(OmpStatus why) { return static_cast<int>(why); }
    __device__ void stop_if(bool met, OmpStatus why) {
        if (active_ && met) status_ = code_of(why);
        active_ = active_ && !met;
    }
    __device__ bool is_selected(int atom, int k) const {
        bool found = false;
#pragma unroll
        for (int j = 0; j < F; ++j) found |= j < k && pick_[j] == atom;
        return found;
    }

    __device__ static void read(const T* from, T* atom) {
#pragma unroll
        for (int f = 0; f < F; f += kQuad) {
            const Four<T> four = *reinterpret_cast<const Four<T>*>(from + f);
#pragma unroll
            for (int i = 0; i < kQuad; ++i)
                if (f + i < F) atom[f + i] = four.v[i];
        }
    }
    __device__ const T* place(int atom) const {
        return whole ? shared_ + atom * kStride : d_.atoms + static_cast<int64_t>(atom) * kStride;
    }

    // What an atom scores in step k: the larger, the better, whatever its sign; 0 where it is no candidate.
    __device__ T score_of(const T* atom, int k, T floor2, int index) {
        const T c = inner(r_, atom);
        if constexpr (!ols) {
            return c;
        } else {
            const T length2 = inner(atom, atom);
            T left = length2;
#pragma unroll
            for (int j = 0; j < F; ++j) {
                if (j >= k) break;
                const T along = inner(q_[j], atom);
                left = fma(-along, along, left);
            }
            const bool correlates = c * c > floor2 * length2;
            const bool inside = !(left > 16 * kEps * length2);
            if (correlates && inside && !is_selected(index, k)) outside_ = true;
            return correlates && !inside ? c * c / left : T(0);
        }
    }

    __device__ void score(int k, T floor2) {
        key_ = 0;
        outside_ = false;
        if (whole) return score(k, floor2, 0, static_cast<int>(d_.n_atoms));
        for (int64_t from = 0; from < d_.n_atoms; from += kChunk) {
            const int64_t left = d_.n_atoms - from;
            const int n = static_cast<int>(left < kChunk ? left : kChunk);
            __syncthreads();
            bring(d_, shared_, from, n);
            score(k, floor2, static_cast<int>(from), n);
        }
    }
    __device__ void score(int k, T floor2, int from, int n) {
        int ahead = index_ - from;  // of the best one, of the group
        const T* at = shared_;
        for (int a = 0; a < n; a += kGroup, at += kGroup * kStride) {
#pragma unroll
            for (int i = 0; i < kGroup; ++i) {
                T atom[F];
                read(at + i * kStride, atom);
                const T key = score_of(atom, k, floor2, ols ? from + a + i : 0);
                const bool better = fabs(key) > fabs(key_);
                key_ = better ? key : key_;
                ahead = better ? i : ahead;
            }
            ahead -= kGroup;
        }
        index_ = ahead + from + in_groups(n);
    }

    // A second look without the selected atoms, of which one has won, through rounding alone.
    __device__ void score_others(int k, T floor2) {
        key_ = 0;
        for (int a = 0; a < d_.n_atoms; ++a) {
            if (is_selected(a, k)) continue;
            T atom[F];
            read(place(a), atom);
            const T key = score_of(atom, k, floor2, a);
            if (fabs(key) > fabs(key_)) key_ = key, index_ = a;
        }
    }

    __device__ void append(int k, T floor2) {
        T atom[F], along[F];
        read(place(index_), atom);
        const T length2 = inner(atom, atom);
        const bool correlates = ols ? key_ != 0 : key_ * key_ > floor2 * length2;
        stop_if(!correlates, ols && outside_ ? OmpStatus::dependent : OmpStatus::orthogonal);
#pragma unroll
        for (int j = 0; j < k; ++j) {
            along[j] = inner(q_[j], atom);
#pragma unroll
            for (int f = 0; f < F; ++f) atom[f] = fma(-along[j], q_[j][f], atom[f]);
        }
        const T pivot = inner(atom, atom);
        stop_if(!(pivot > 16 * kEps * length2), OmpStatus::dependent);
        inverse_[k] = active_ ? inverse_root(pivot) : T(0);
#pragma unroll
        for (int f = 0; f < F; ++f) q_[k][f] = atom[f] * inverse_[k];
        y_[k] = active_ ? inner(q_[k], r_) : T(0);
#pragma unroll
        for (int f = 0; f < F; ++f) r_[f] = fma(-y_[k], q_[k][f], r_[f]);
        // An atom that is not finite would not vanish from the solution of a signal that has stopped.
#pragma unroll
        for (int j = 0; j < k; ++j) w_[k][j] = active_ ? along[j] : T(0);
        pick_[k] = active_ ? index_ : 0;
        count_ += active_;
    }

    const DeviceDictionary<T>& d_;
    T* const shared_;
    T r_[F], q_[F][F], w_[F][F], y_[F], inverse_[F], norm2_ = 0, key_ = 0;
    int pick_[F], index_ = 0, count_ = 0, status_;
    bool active_ = false, outside_ = false;
};

// Blocks a multiprocessor must have registers for.
template <typename T, int F>
constexpr int kSmallResident = sizeof(T) == 8 ? 3
                               : F == 3       ? 7
                               : F == 4       ? 5
                                              : 2;

template <typename T, int F, bool ols, bool whole>
__global__ void __launch_bounds__(kSmallBlock, (kSmallResident<T, F>))
    small_kernel(Matrix signals, DeviceDictionary<T> d, Tolerances<T> tolerances, Outputs<T> out) {
    SF_DYNAMIC_SHARED(T, shared);
    const int own = *d.exponent;
    const int64_t most = d.n_features < d.n_atoms ? d.n_features : d.n_atoms;
    const int64_t limit = out.n_nonzero < most ? out.n_nonzero : most;
    using Pursuit = SmallPursuit<T, F, ols, whole>;
    if (whole) Pursuit::bring(d, shared, 0, static_cast<int>(d.n_atoms));
    for (int64_t begin = blockIdx.x * static_cast<int64_t>(kSmallBlock); begin < signals.rows;
         begin += gridDim.x * static_cast<int64_t>(kSmallBlock)) {
        const int64_t signal = begin + threadIdx.x;
        const bool here = signal < signals.rows;
        Pursuit pursuit(d, shared);
        pursuit.load(signals, signal, here);
        const T tol2 = here ? tolerances.squared(signal, pursuit.exponent) : T(-1);
        pursuit.pursue(static_cast<int>(limit), limit == out.n_nonzero, tol2);
        pursuit.solve();
        if (here) pursuit.write(out, signal, begin + kSmallBlock <= signals.rows, pursuit.exponent - own);
    }
}

}  // namespace
}  // namespace sparsefast
