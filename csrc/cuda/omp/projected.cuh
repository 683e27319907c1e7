// Batch-OMP in single precision with a Gram matrix: what most calls ask for.
//
// With G the Gram matrix of all atoms and L L^T that of the support, row k of L continued over all atoms is
//     u_k = (G[S_k] - sum_{j<k} w_j u_j) / d,   w_j = u_j[S_k],   d^2 = G[S_k, S_k] - sum_j w_j^2,
// the correlations of all atoms with the k-th direction of an orthonormal basis of the support. So the new row of L is
// read off the older u_j, y_k = c[S_k] / d, and c -= y_k u_k; at the end L^T gamma = y. (arXiv 2407.06434 keeps the
// same products with an inverse factor.)
//
// A block is a team of W warps. A thread has Q times four atoms, and their correlations with all signals of a tile in
// registers; the signals are then coded one after the other. Directions u lie in shared memory, where a thread reads
// what it wrote itself, but for the w. A warp knows the support, y and 1 / d one entry a lane.
#pragma once

#include "cuda/omp/output.cuh"
#include "cuda/omp/projected_signals.cuh"

namespace sparsefast {
namespace {

constexpr int kProjectedMost = kWarp;  // entries of a code

// What the device is asked for: shared memory of a block, and where its parts lie.
struct ProjectedLayout {
    int64_t limit;   // atoms that a signal may have
    int64_t stride;  // of rows of u, in floats: four more than the atoms, so that entries of a column lie apart
    int64_t rows;    // where they begin
    int64_t bytes;
};

inline ProjectedLayout projected_layout(const OmpProblem& p, int tile, int atoms) {
    const int64_t f = p.dictionary.n_features, k = p.dictionary.n_atoms, most = f < k ? f : k;
    ProjectedLayout out{};
    out.limit = p.n_nonzero < most ? p.n_nonzero : most;
    out.stride = atoms + kQuad;
    out.rows = padded(f * tile, kQuad);
    // The last direction is never read.
    out.bytes = (out.rows + (out.limit - 1) * out.stride) * static_cast<int64_t>(sizeof(float));
    return out;
}

template <int Q, int W, int kTile>
class ProjectedPursuit {
    static constexpr float kEps = Epsilon<float>::value, kFloor = 32 * kEps;

   public:
    static constexpr int kThreads = W * kWarp, kAtoms = kThreads * Q * kQuad;

    __device__ ProjectedPursuit(const DeviceDictionary<float>& d, const ProjectedLayout& layout, float* shared)
        : d_(d), signals_(shared), rows_(shared + layout.rows), stride_(static_cast<int>(layout.stride)) {
        own_ = (warp() * Q * kWarp + lane()) * kQuad;
        limit_ = static_cast<int>(layout.limit);
        ld_ = static_cast<unsigned>(d.ld);
        gram_ = d.gram + own_;
#pragma unroll
        for (int q = 0; q < Q; ++q) there_[q] = own_ + q * kWarp * kQuad < d.ld;
    }

    __device__ void load(const Matrix& signals, const Tolerances<float>& tolerances, int64_t begin, int n) {
        signals_.load(signals, tolerances, begin, n);
    }

    // Correlations of the tile's signals with the atoms of this thread, each a sum over the features in order. The
    // atoms of the next feature are on their way meanwhile.
    __device__ void correlate() {
#pragma unroll
        for (int t = 0; t < kTile; ++t)
#pragma unroll
            for (int q = 0; q < Q; ++q) c_[t][q] = Four<float>{};
        const int n = static_cast<int>(d_.n_features);
        const float* column = d_.transposed + own_;
        // What is beyond the dictionary: any of its columns.
        int offset[Q];
#pragma unroll
        for (int q = 0; q < Q; ++q) offset[q] = there_[q] ? q * kWarp * kQuad : -own_;
        Four<float> now[Q], next[Q];
#pragma unroll
        for (int q = 0; q < Q; ++q) now[q] = *reinterpret_cast<const Four<float>*>(column + offset[q]);
#pragma unroll 2
        for (int f = 0; f < n; ++f) {
            column += f + 1 < n ? d_.ld : 0;
#pragma unroll
            for (int q = 0; q < Q; ++q) next[q] = *reinterpret_cast<const Four<float>*>(column + offset[q]);
            multiply(f, now);
#pragma unroll
            for (int q = 0; q < Q; ++q) now[q] = next[q];
        }
#pragma unroll
        for (int q = 0; q < Q; ++q)
            if (!there_[q])
#pragma unroll
                for (int t = 0; t < kTile; ++t) c_[t][q] = Four<float>{};
    }

    // Codes signal t; the correlations that were second are first then.
    __device__ void code(int t, int64_t n_nonzero) {
        t_ = t;
        count_ = 0;
        const float norm2 = signals_.facts().norm2[t];
        if (!is_finite(norm2))
            status_ = OmpStatus::nonfinite;
        else if (norm2 <= signals_.facts().tol2[t])
            status_ = OmpStatus::tolerance;
        else if (norm2 == 0)
            status_ = OmpStatus::orthogonal;
        else
            pursue(norm2, signals_.facts().tol2[t], limit_ == n_nonzero);
#pragma unroll
        for (int i = 0; i + 1 < kTile; ++i)
#pragma unroll
            for (int q = 0; q < Q; ++q) c_[i][q] = c_[i + 1][q];
    }

    // Writes the code of `signal`, which is t of the tile: the first warp.
    __device__ void write(const Outputs<float>& out, int t, int64_t signal) const {
        if (warp() != 0) return;
        const float gamma = solve();
        const Shift<float> to_scale(signals_.facts().exponent[t] - *d_.exponent);
        const float padding = status_ == OmpStatus::nonfinite ? static_cast<float>(NAN) : 0.0f;
        const bool used = lane() < count_;
        const int64_t at = signal * out.n_nonzero + lane();
        if (lane() < out.n_nonzero) {
            out.values[at] = used ? to_scale(gamma) : padding;
            out.put_index(at, used ? support_ : 0);
        }
        for (int64_t j = lane() + kWarp; j < out.n_nonzero; j += kWarp) {
            out.values[at - lane() + j] = padding;
            out.put_index(at - lane() + j, 0);
        }
        if (lane() == 0) {
            out.counts[signal] = count_;
            out.status[signal] = static_cast<uint8_t>(status_);
        }
    }

   private:
    struct Found {
        unsigned key;  // bits of |c|: of numbers that are not negative, in their order
        int atom;
        float c;
    };

    __device__ int lane() const { return threadIdx.x % kWarp; }
    __device__ int warp() const { return W == 1 ? 0 : threadIdx.x / kWarp; }
    // The row of the Gram matrix of an atom; zeros beyond it.
    __device__ void fetch(int atom, Four<float>* row) const {
        const float* const from = gram_ + static_cast<uint64_t>(static_cast<unsigned>(atom)) * ld_;
#pragma unroll
        for (int q = 0; q < Q; ++q)
            row[q] = there_[q] ? *reinterpret_cast<const Four<float>*>(from + q * kWarp * kQuad) : Four<float>{};
    }

    __device__ void multiply(int f, const Four<float>* atoms) {
        float x[kTile];
        signals_.read(f, x);
#pragma unroll
        for (int t = 0; t < kTile; ++t)
#pragma unroll
            for (int q = 0; q < Q; ++q)
#pragma unroll
                for (int i = 0; i < kQuad; ++i) c_[t][q].v[i] = fma(x[t], atoms[q].v[i], c_[t][q].v[i]);
    }

    __device__ void pursue(float norm2, float tol2, bool complete) {
        float error2 = norm2;
        while (true) {
            const Found best = find();
            if (best.key == 0) return stop(OmpStatus::orthogonal);
            if (__any_sync(kAllLanes, lane() < count_ && support_ == best.atom)) {
                // Rounding alone has chosen an atom again: once more without those.
                forget();
                continue;
            }
            const float length2 = d_.diagonal[best.atom];
            const bool last = count_ + 1 == limit_;
            Four<float> u[Q];
            if (!last) fetch(best.atom, u);
            const float pivot = last ? distance(best.atom, length2) : project(best.atom, length2, u);
            if (best.c * best.c <= kFloor * kFloor * norm2 * length2) return stop(OmpStatus::orthogonal);
            if (!(pivot > 16 * kEps * length2)) return stop(OmpStatus::dependent);
            float inverse = rsqrtf(pivot);
            inverse = inverse * fma(-0.5f * pivot * inverse, inverse, 1.5f);
            const float y = best.c * inverse;
            if (lane() == count_) support_ = best.atom, y_ = y, inverse_ = inverse, length2_ = length2;
            ++count_;
            error2 -= y * y;
            if (tol2 >= 0 && is_near(norm2, tol2, error2)) return stop(OmpStatus::tolerance);
            if (last) return stop(complete ? OmpStatus::complete : OmpStatus::exhausted);
            append(u, inverse, y);
        }
    }

    __device__ void stop(OmpStatus why) { status_ = why; }

    // Entry `lane` of gamma, from L^T gamma = y; zero beyond the code.
    __device__ float solve() const {
        float y = y_;
        for (int k = count_ - 1; k > 0; --k) {
            const float gamma = __shfl_sync(kAllLanes, y * inverse_, k);
            const int atom = __shfl_sync(kAllLanes, support_, k);
            if (lane() < k) y = fma(-rows_[lane() * stride_ + atom], gamma, y);
        }
        return lane() < count_ ? y * inverse_ : 0.0f;
    }

    // Whether the residual is within the tolerance. ||x||^2 - sum y^2 says where to look, the residual whether it is
    // so.
    //
    // The Gram matrix and the correlations have errors of F eps, and L L^T differs from the former by k eps, relative
    // to the norms that they are products of: together they move x^2 - c^T G^-1 c by at most (F + k) eps p (p + 2
    // ||x||) with p = sum |gamma_j| ||d_j||.
    __device__ bool is_near(float norm2, float tol2, float error2) const {
        const float gamma = solve();
        const float parts = warp_sum(fabs(gamma) * sqrt(length2_));
        const float relative = 4 * kEps * static_cast<float>(d_.n_features + count_);
        return !(error2 - relative * parts * (parts + 2 * sqrt(norm2)) > tol2) && residual_norm2(gamma) <= tol2;
    }

    __device__ double residual_norm2(float gamma) const {
        double sum = 0;
        const int n_features = static_cast<int>(d_.n_features);
#pragma unroll 1
        for (int begin = 0; begin < n_features; begin += kWarp) {
            const int f = begin + lane();
            double e = f < n_features ? signals_.at(f, t_) : 0.0f;
#pragma unroll 1
            for (int j = 0; j < count_; ++j) {
                const double weight = __shfl_sync(kAllLanes, gamma, j);
                const int atom = __shfl_sync(kAllLanes, support_, j);
                if (f < n_features) e -= weight * d_.atoms[atom * d_.ld_atoms + f];
            }
            sum += e * e;
        }
        return warp_sum(sum);
    }

    // The atom of the largest |c|, of equal ones the first.
    __device__ Found find() {
        float best = 0;
        int at = 0;
#pragma unroll
        for (int q = 0; q < Q; ++q) {
            float of_quad = 0;
            int in_quad = 0;
#pragma unroll
            for (int i = 0; i < kQuad; ++i) {
                const bool more = fabs(c_[0][q].v[i]) > fabs(of_quad);
                of_quad = more ? c_[0][q].v[i] : of_quad;
                in_quad = more ? q * kWarp * kQuad + i : in_quad;
            }
            const bool more = fabs(of_quad) > fabs(best);
            best = more ? of_quad : best;
            at = more ? in_quad : at;
        }
        Found found;
        const unsigned key = __float_as_uint(fabs(best));
        found.key = __reduce_max_sync(kAllLanes, key);
        const unsigned first = __reduce_max_sync(kAllLanes, key == found.key ? ~static_cast<unsigned>(own_ + at) : 0u);
        found.atom = static_cast<int>(~first);
        found.c = __shfl_sync(kAllLanes, best, static_cast<int>(~first / kQuad % kWarp));
        if constexpr (W > 1) {
            // Two places in turn: who is slow still reads the one while another writes the next. The sign of c is in
            // the lowest bit, below the atom, of which a warp has its own.
            __shared__ uint64_t of_warp[2][W];
            turn_ ^= 1;
            if (lane() == 0)
                of_warp[turn_][warp()] = static_cast<uint64_t>(found.key) << 32 | first << 1 | (found.c < 0 ? 1u : 0u);
            __syncthreads();
            uint64_t most = of_warp[turn_][0];
#pragma unroll
            for (int w = 1; w < W; ++w) most = of_warp[turn_][w] > most ? of_warp[turn_][w] : most;
            found.key = static_cast<unsigned>(most >> 32);
            found.atom = static_cast<int>(~static_cast<unsigned>(most) >> 1 & 0x7fffffffu);
            found.c = __uint_as_float(found.key | static_cast<unsigned>(most) << 31);
        } else {
            __syncwarp(kAllLanes);  // what others wrote of u is read next
        }
        return found;
    }

    // Correlations of selected atoms are zero.
    __device__ void forget() {
        for (int j = 0; j < count_; ++j) {
            const int atom = __shfl_sync(kAllLanes, support_, j);
#pragma unroll
            for (int q = 0; q < Q; ++q)
#pragma unroll
                for (int i = 0; i < kQuad; ++i)
                    if (own_ + q * kWarp * kQuad + i == atom) c_[0][q].v[i] = 0;
        }
    }

    // The squared distance of the atom from the span of the support.
    __device__ float distance(int atom, float length2) const {
        const float* column = rows_ + atom;
#pragma unroll 4
        for (int j = 0; j < count_; ++j, column += stride_) length2 = fma(-*column, *column, length2);
        return length2;
    }

    // The same; and u -= sum_j w_j u_j. Rows are read two at a time: reading takes longer than what is done with it.
    __device__ float project(int atom, float length2, Four<float>* u) const {
        const float *column = rows_ + atom, *row = rows_ + own_;
        int j = 0;
        for (; j + 1 < count_; j += 2, column += 2 * stride_, row += 2 * stride_) {
            const float w = column[0], w_next = column[stride_];
            Four<float> older[Q], next[Q];
            read(row, older);
            read(row + stride_, next);
            length2 = fma(-w_next, w_next, fma(-w, w, length2));
            subtract(u, w, older);
            subtract(u, w_next, next);
        }
        if (j < count_) {
            const float w = *column;
            Four<float> older[Q];
            read(row, older);
            length2 = fma(-w, w, length2);
            subtract(u, w, older);
        }
        return length2;
    }
    __device__ static void read(const float* row, Four<float>* to) {
#pragma unroll
        for (int q = 0; q < Q; ++q) to[q] = *reinterpret_cast<const Four<float>*>(row + q * kWarp * kQuad);
    }
    __device__ static void subtract(Four<float>* u, float w, const Four<float>* older) {
#pragma unroll
        for (int q = 0; q < Q; ++q)
#pragma unroll
            for (int i = 0; i < kQuad; ++i) u[q].v[i] = fma(-w, older[q].v[i], u[q].v[i]);
    }

    // The direction of the atom that was taken last is u / d: kept, and taken out of the correlations.
    __device__ void append(Four<float>* u, float inverse, float y) {
        float* const row = rows_ + (count_ - 1) * stride_ + own_;
#pragma unroll
        for (int q = 0; q < Q; ++q) {
#pragma unroll
            for (int i = 0; i < kQuad; ++i) {
                u[q].v[i] *= inverse;
                c_[0][q].v[i] = fma(-y, u[q].v[i], c_[0][q].v[i]);
            }
            *reinterpret_cast<Four<float>*>(row + q * kWarp * kQuad) = u[q];
        }
    }

    const DeviceDictionary<float>& d_;
    TileSignals<kTile, kThreads> signals_;
    float* const rows_;
    const int stride_;
    const float* gram_;
    unsigned ld_;
    int own_, limit_, t_ = 0, count_ = 0, turn_ = 0;
    bool there_[Q];  // whether a quad of this thread is one of the padded dictionary
    Four<float> c_[kTile][Q];
    // Entry `lane` of the code.
    int support_ = 0;
    float y_ = 0, inverse_ = 0, length2_ = 0;
    OmpStatus status_ = OmpStatus::orthogonal;
};

template <int Q, int W, int kTile>
__global__ void __launch_bounds__(W* kWarp, 16 / W)
    projected_kernel(Matrix signals, DeviceDictionary<float> d, Tolerances<float> tolerances, Outputs<float> out,
                     ProjectedLayout layout) {
    SF_DYNAMIC_SHARED(float, shared);
    ProjectedPursuit<Q, W, kTile> pursuit(d, layout, shared);
    for (int64_t begin = blockIdx.x * static_cast<int64_t>(kTile); begin < signals.rows;
         begin += gridDim.x * static_cast<int64_t>(kTile)) {
        const int64_t left = signals.rows - begin;
        const int n = static_cast<int>(left < kTile ? left : kTile);
        if (begin != blockIdx.x * static_cast<int64_t>(kTile)) __syncthreads();  // all are done with the last tile
        pursuit.load(signals, tolerances, begin, n);
        pursuit.correlate();
        for (int t = 0; t < n; ++t) {
            pursuit.code(t, out.n_nonzero);
            pursuit.write(out, t, begin + t);
        }
    }
}

}  // namespace
}  // namespace sparsefast
