// OMP, or order-recursive selection, for at most F = 4 or 8 features: a thread a signal, its residual in registers, no
// Gram matrix. The atoms pass through shared memory, where all threads of a warp read the same one.
//
// Each step scores all atoms, c_k = <d_k, r>, orthogonalises the winner against those before it, q_k, and takes its
// part out of the residual, r -= <q_k, r> q_k. At the end R gamma = y is solved. As csrc/cpu/omp/small.hpp.
#pragma once

#include "cuda/omp/output.cuh"
#include "cuda/omp/tile.cuh"

namespace sparsefast {
namespace {

constexpr int kSmallBlock = 128, kSmallBytes = 32 << 10;

template <typename T, int F, bool ols>
class SmallPursuit {
    static constexpr T kEps = Epsilon<T>::value, kFloor = 32 * kEps;

   public:
    static constexpr int kChunk = kSmallBytes / (F * static_cast<int>(sizeof(T)));

    __device__ SmallPursuit(const DeviceDictionary<T>& d, T* shared) : d_(d), shared_(shared) {}

    __device__ void load(const Matrix& signals, int64_t signal, bool here) {
        const T* const x = static_cast<const T*>(signals.data) + signal * signals.row_stride;
        T peak = 0;
        bool bad = false;
#pragma unroll
        for (int f = 0; f < F; ++f) {
            r_[f] = here && f < signals.cols ? x[f * signals.col_stride] : T(0);
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
        status = bad ? OmpStatus::nonfinite : OmpStatus::orthogonal;
    }

    __device__ void pursue(int limit, bool complete, T tol2) {
        const bool whole = d_.n_atoms <= kChunk;
        if (whole) bring(0, static_cast<int>(d_.n_atoms));
#pragma unroll
        for (int k = 0; k < F; ++k) {
            if (k >= limit) break;
            if (active_ && inner(r_, r_) <= tol2) stop(OmpStatus::tolerance);
            if (active_ && norm2_ == 0) stop(OmpStatus::orthogonal);
            if (!__syncthreads_or(active_)) break;
            score(k, whole);
            if (active_ && best_.found() && is_selected(best_.index, k)) score_others(k);
            if (active_ && !best_.found()) stop(outside_ ? OmpStatus::dependent : OmpStatus::orthogonal);
            if (active_) append(k);
        }
        if (active_ && inner(r_, r_) <= tol2) stop(OmpStatus::tolerance);
        if (active_) stop(complete ? OmpStatus::complete : OmpStatus::exhausted);
    }

    // R gamma = y from the last to the first; gamma is in y then.
    __device__ void solve() {
#pragma unroll
        for (int k = F - 1; k >= 0; --k) {
            if (k >= count) continue;
            T sum = y_[k];
#pragma unroll
            for (int j = k + 1; j < F; ++j)
                if (j < count) sum -= w_[j][k] * y_[j];
            y_[k] = sum * inverse_[k];
        }
    }

    __device__ void write(const Outputs<T>& out, int64_t signal, int shift) const {
        const Shift<T> to_scale(shift);
        const T padding = status == OmpStatus::nonfinite ? static_cast<T>(NAN) : T(0);
        const int64_t row = signal * out.n_nonzero;
        if (out.in_fours) {
            // In 16-byte stores: neighbouring threads fill whole sectors.
            Four<T> four;
            alignas(16) int index[kQuad];
#pragma unroll
            for (int j = 0; j < kQuad; ++j) {
                four.v[j] = j < count ? to_scale(y_[j]) : padding;
                index[j] = j < count ? pick_[j] : 0;
            }
            *reinterpret_cast<Four<T>*>(out.values + row) = four;
            out.put_four(row, index);
        } else {
#pragma unroll
            for (int j = 0; j < F; ++j) {
                if (j >= out.n_nonzero) break;
                out.values[row + j] = j < count ? to_scale(y_[j]) : padding;
                out.put_index(row + j, j < count ? pick_[j] : 0);
            }
        }
        for (int64_t j = F; j < out.n_nonzero; ++j) {
            out.values[row + j] = padding;
            out.put_index(row + j, 0);
        }
        out.counts[signal] = count;
        out.status[signal] = static_cast<uint8_t>(status);
    }

    int exponent = 0, count = 0;
    OmpStatus status = OmpStatus::orthogonal;

   private:
    __device__ static T inner(const T* a, const T* b) {
        T sum = a[0] * b[0];
#pragma unroll
        for (int f = 1; f < F; ++f) sum = fma(a[f], b[f], sum);
        return sum;
    }
    __device__ void stop(OmpStatus why) {
        status = why;
        active_ = false;
    }
    __device__ bool is_selected(int atom, int k) const {
        bool found = false;
#pragma unroll
        for (int j = 0; j < F; ++j) found |= j < k && pick_[j] == atom;
        return found;
    }

    // Atoms [from, from + n) into shared memory; all threads of the block take part.
    __device__ void bring(int64_t from, int n) {
        __syncthreads();
        for (int i = threadIdx.x; i < n * F; i += kSmallBlock) {
            const int f = i % F;
            shared_[i] = f < d_.ld_atoms ? d_.atoms[(from + i / F) * d_.ld_atoms + f] : T(0);
        }
        __syncthreads();
    }

    // What an atom scores in step k; 0 where it is no candidate.
    __device__ void offer(const T* atom, int index, int k) {
        const T c = inner(r_, atom);
        if constexpr (!ols) {
            best_.offer(fabs(c), c, index);
        } else {
            const T length2 = inner(atom, atom);
            T left = length2;
#pragma unroll
            for (int j = 0; j < F; ++j) {
                if (j >= k) break;
                const T along = inner(q_[j], atom);
                left = fma(-along, along, left);
            }
            const bool correlates = c * c > kFloor * kFloor * norm2_ * length2;
            const bool inside = !(left > 16 * kEps * length2);
            if (correlates && inside && !is_selected(index, k)) outside_ = true;
            best_.offer(correlates && !inside ? c * c / left : T(0), c, index);
        }
    }

    __device__ void score(int k, bool whole) {
        best_ = Best<T>();
        outside_ = false;
        for (int64_t from = 0; from < d_.n_atoms; from += kChunk) {
            const int64_t left = d_.n_atoms - from;
            const int n = static_cast<int>(left < kChunk ? left : kChunk);
            if (!whole) bring(from, n);
            for (int a = 0; a < n; ++a) {
                T atom[F];
#pragma unroll
                for (int f = 0; f < F; f += kQuad) {
                    const Four<T> four = *reinterpret_cast<const Four<T>*>(shared_ + a * F + f);
#pragma unroll
                    for (int i = 0; i < kQuad; ++i) atom[f + i] = four.v[i];
                }
                offer(atom, static_cast<int>(from + a), k);
            }
        }
    }

    __device__ void read(int64_t index, T* atom) const {
#pragma unroll
        for (int f = 0; f < F; ++f) atom[f] = f < d_.ld_atoms ? d_.atoms[index * d_.ld_atoms + f] : T(0);
    }

    // A second look without the selected atoms, of which one has won, through rounding alone.
    __device__ void score_others(int k) {
        best_ = Best<T>();
        for (int64_t a = 0; a < d_.n_atoms; ++a) {
            T atom[F];
            read(a, atom);
            if (!is_selected(static_cast<int>(a), k)) offer(atom, static_cast<int>(a), k);
        }
    }

    __device__ void append(int k) {
        T atom[F];
        read(best_.index, atom);
        const T length2 = inner(atom, atom);
        if (!ols && best_.value * best_.value <= kFloor * kFloor * norm2_ * length2) return stop(OmpStatus::orthogonal);
#pragma unroll
        for (int j = 0; j < F; ++j) {
            if (j >= k) break;
            const T along = inner(q_[j], atom);
#pragma unroll
            for (int f = 0; f < F; ++f) atom[f] = fma(-along, q_[j][f], atom[f]);
            w_[k][j] = along;
        }
        const T pivot = inner(atom, atom);
        if (!(pivot > 16 * kEps * length2)) return stop(OmpStatus::dependent);
        const T inverse = T(1) / sqrt(pivot);
#pragma unroll
        for (int f = 0; f < F; ++f) q_[k][f] = atom[f] * inverse;
        const T y = inner(q_[k], r_);
#pragma unroll
        for (int f = 0; f < F; ++f) r_[f] = fma(-y, q_[k][f], r_[f]);
        y_[k] = y;
        inverse_[k] = inverse;
        pick_[k] = best_.index;
        count = k + 1;
    }

    const DeviceDictionary<T>& d_;
    T* const shared_;
    T r_[F], q_[F][F], w_[F][F], y_[F], inverse_[F], norm2_ = 0;
    int pick_[F];
    Best<T> best_;
    bool active_ = false, outside_ = false;
};

template <typename T, int F, bool ols>
__global__ void __launch_bounds__(kSmallBlock, 2)
    small_kernel(Matrix signals, DeviceDictionary<T> d, Tolerances<T> tolerances, Outputs<T> out) {
    SF_DYNAMIC_SHARED(T, shared);
    const int64_t most = d.n_features < d.n_atoms ? d.n_features : d.n_atoms;
    const int64_t limit = out.n_nonzero < most ? out.n_nonzero : most;
    for (int64_t begin = blockIdx.x * static_cast<int64_t>(kSmallBlock); begin < signals.rows;
         begin += gridDim.x * static_cast<int64_t>(kSmallBlock)) {
        const int64_t signal = begin + threadIdx.x;
        const bool here = signal < signals.rows;
        SmallPursuit<T, F, ols> pursuit(d, shared);
        pursuit.load(signals, here ? signal : 0, here);
        const T tol2 = here ? tolerances.squared(signal, pursuit.exponent) : T(-1);
        pursuit.pursue(static_cast<int>(limit), limit == out.n_nonzero, tol2);
        pursuit.solve();
        if (here) pursuit.write(out, signal, pursuit.exponent - *d.exponent);
    }
}

}  // namespace
}  // namespace sparsefast
