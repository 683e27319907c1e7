// The leading eigenvector of a symmetric positive semi-definite matrix, given by its products: the restarted Lanczos
// iteration of csrc/cpu/ksvd/lanczos.hpp by a crew of threads, which is a warp or a block. All in double.
//
// Sums of one basis vector after the other would wait for each other: all products with the basis are taken at once and
// subtracted at once, twice where the first time took nearly all away. The leading vector of the tridiagonal matrix
// comes from its largest eigenvalue, which the lanes of a warp enclose 32 times as close with each look at the signs of
// leading minors, by inverse iteration.
//
// Sources: Y. Saad, Numerical methods for large eigenvalue problems, SIAM 2011, sections 4.1.2, 6.3 and 6.4; L. Giraud,
// J. Langou, M. Rozloznik, The loss of orthogonality in the Gram-Schmidt process, 2005 (twice is enough).
#pragma once

#include "cuda/ksvd/columns.cuh"

namespace sparsefast {
namespace {

constexpr int kBasis = 8, kRestarts = 24;

// Shared memory of a crew.
struct Krylov {
    double diagonal[kBasis], beside[kBasis], ritz[kBasis];
    double sums[kWarps][kBasis];
    const double* x;  // of the product that is wanted; null when there are no more
};

class WarpCrew {
   public:
    static constexpr int size = kWarp;
    __device__ int rank() const { return threadIdx.x % kWarp; }
    __device__ void sync() const { __syncwarp(kAllLanes); }
    // The sums of the first n numbers over all threads, in every thread.
    __device__ void sum(double (&v)[kBasis], int n, Krylov&) const {
#pragma unroll
        for (int k = 0; k < kBasis; ++k)
            if (k < n) v[k] = warp_sum(v[k]);
    }
};

class BlockCrew {
   public:
    static constexpr int size = kBlock;
    __device__ int rank() const { return threadIdx.x; }
    __device__ void sync() const { __syncthreads(); }
    __device__ void sum(double (&v)[kBasis], int n, Krylov& shared) const {
        __syncthreads();
#pragma unroll
        for (int k = 0; k < kBasis; ++k)
            if (k < n) {
                const double in_warp = warp_sum(v[k]);
                if (threadIdx.x % kWarp == 0) shared.sums[threadIdx.x / kWarp][k] = in_warp;
            }
        __syncthreads();
#pragma unroll
        for (int k = 0; k < kBasis; ++k)
            if (k < n) {
                v[k] = 0;
                for (int w = 0; w < kWarps; ++w) v[k] += shared.sums[w][k];
            }
    }
};

// Whether x is above all eigenvalues: leading minors of x - T, of norm at most 1, are all positive.
__device__ inline bool is_above(const double (&a)[kBasis], const double (&squares)[kBasis], int n, double x) {
    double before = 1, minor = x - a[0];
    bool above = minor > 0;
#pragma unroll
    for (int i = 1; i < kBasis; ++i)
        if (i < n) {
            const double next = (x - a[i]) * minor - squares[i - 1] * before;
            before = minor;
            minor = next;
            above = above && minor > 0;
        }
    return above;
}

// shared.ritz: the leading eigenvector of the tridiagonal matrix of order n. By one warp.
__device__ inline void leading_of_tridiagonal(Krylov& shared, int n, double tolerance) {
    const int lane = threadIdx.x % kWarp;
    double a[kBasis], b[kBasis], squares[kBasis], most = 0;
#pragma unroll
    for (int i = 0; i < kBasis; ++i) {
        a[i] = i < n ? shared.diagonal[i] : 0;
        b[i] = i + 1 < n ? shared.beside[i] : 0;
        const double reach = fabs(a[i]) + b[i] + (i ? b[i ? i - 1 : 0] : 0);
        most = reach > most ? reach : most;
    }
    const double scale = 1 / most;
    double low = 0, high = 1 + 4e-15;
#pragma unroll
    for (int i = 0; i < kBasis; ++i) {
        a[i] *= scale;
        b[i] *= scale;
        squares[i] = b[i] * b[i];
        low = a[i] > low ? a[i] : low;
    }
    // 55 bits, 5 with each vote; for float32 30, as each inverse iteration below multiplies the error by what is left.
    const int votes = tolerance > 1e-9 ? 6 : 11;
    for (int step = 0; step < votes; ++step) {
        const double part = (high - low) / kWarp;
        const bool above = lane == kWarp - 1 || is_above(a, squares, n, low + part * (lane + 1));
        const int first = __ffs(static_cast<int>(__ballot_sync(kAllLanes, above))) - 1;
        if (first < kWarp - 1) high = low + part * (first + 1);
        low += part * first;
    }
    // high - T is positive definite, or off by rounding: factored as L diag(1 / inverse) L^T without pivoting.
    constexpr double least = 1e-17;
    double inverse[kBasis], y[kBasis];
#pragma unroll
    for (int i = 0; i < kBasis; ++i) {
        double pivot = high - a[i];
        if (i) pivot -= squares[i ? i - 1 : 0] * inverse[i ? i - 1 : 0];
        inverse[i] = 1 / (pivot > least ? pivot : least);
        y[i] = i == 0;  // the start of the basis, which is orthogonal to no eigenvector
    }
    for (int pass = 0; pass < 3; ++pass) {
#pragma unroll
        for (int i = 1; i < kBasis; ++i)
            if (i < n) y[i] += b[i - 1] * inverse[i - 1] * y[i - 1];
        double norm2 = 0;
#pragma unroll
        for (int i = kBasis - 1; i >= 0; --i)
            if (i < n) {
                y[i] *= inverse[i];
                if (i + 1 < n) y[i] += b[i] * inverse[i] * y[i + 1 < kBasis ? i + 1 : i];
                norm2 += y[i] * y[i];
            }
        const double by_norm = 1 / sqrt(norm2);
#pragma unroll
        for (int i = 0; i < kBasis; ++i) y[i] *= by_norm;
    }
#pragma unroll
    for (int i = 0; i < kBasis; ++i)
        if (lane == 0 && i < n) shared.ritz[i] = y[i];
}

// v (n,) holds a start of norm 1, and then the eigenvector. `basis` holds (kBasis + 1, n); multiply(x, y) writes y = S
// x, each element by the thread of the crew whose it is, x being visible to all.
template <typename Crew, typename Multiply>
__device__ __forceinline__ void leading_eigenvector(const Crew& crew, int n, double tolerance, double* v, double* basis,
                                                    Krylov& shared, const Multiply& multiply) {
    const int rank = crew.rank();
    const int64_t wide = n;
    for (int restart = 0; restart < kRestarts; ++restart) {
        for (int f = rank; f < n; f += crew.size) basis[f] = v[f];
        int used = 0;
        double first = 0, norm = 0, overlap = 1e-15;
        for (;;) {
            double* const w = basis + (used + 1) * wide;
            crew.sync();
            multiply(basis + used * wide, w);
            ++used;
            for (int pass = 0; pass < 2; ++pass) {
                double along[kBasis] = {};
                for (int f = rank; f < n; f += crew.size) {
#pragma unroll
                    for (int k = 0; k < kBasis; ++k)
                        if (k < used) along[k] += basis[k * wide + f] * w[f];
                }
                crew.sum(along, used, shared);
                if (pass == 0) {
                    double diagonal = along[0];
#pragma unroll
                    for (int k = 1; k < kBasis; ++k)
                        if (k == used - 1) diagonal = along[k];
                    if (used == 1) first = diagonal;
                    if (rank == 0) shared.diagonal[used - 1] = diagonal;
                    if (!(first > 0)) return;  // the start is in the null space, or S is not finite
                }
                double square[kBasis] = {};
                for (int f = rank; f < n; f += crew.size) {
                    double rest = w[f];
#pragma unroll
                    for (int k = 0; k < kBasis; ++k)
                        if (k < used) rest -= along[k] * basis[k * wide + f];
                    w[f] = rest;
                    square[0] += rest * rest;
                }
                crew.sum(square, 1, shared);
                norm = sqrt(square[0]);
                // What is left of the basis in w, of norm 1, if this is the last pass: errors grow with each vector.
                const double left = overlap * first / norm;
                if (left <= 1e-3 * tolerance) {
                    overlap = left > overlap ? left : overlap;
                    break;
                }
            }
            if (rank == 0) shared.beside[used - 1] = norm;
            // After the first product this is the residual of the start itself.
            if (used == 1 && norm <= tolerance * first) return;
            if (!(norm > 1e-14 * first) || used == kBasis) break;
            const double inverse = 1 / norm;
            for (int f = rank; f < n; f += crew.size) w[f] *= inverse;
        }
        crew.sync();
        if (rank < kWarp) leading_of_tridiagonal(shared, used, tolerance);
        crew.sync();
        double square[kBasis] = {};
        for (int f = rank; f < n; f += crew.size) {
            double sum = 0;
            for (int k = 0; k < used; ++k) sum += shared.ritz[k] * basis[k * wide + f];
            v[f] = sum;
            square[0] += sum * sum;
        }
        crew.sum(square, 1, shared);
        const double inverse = 1 / sqrt(square[0]);
        for (int f = rank; f < n; f += crew.size) v[f] *= inverse;
        // What the Ritz vector leaves is the next product beside T times its last entry: no product is needed to know.
        double theta = 0;
        for (int k = 0; k < used; ++k) {
            theta += shared.diagonal[k] * shared.ritz[k] * shared.ritz[k];
            if (k + 1 < used) theta += 2 * shared.beside[k] * shared.ritz[k] * shared.ritz[k + 1];
        }
        if (fabs(norm * shared.ritz[used - 1]) <= tolerance * theta) return;
    }
}

}  // namespace
}  // namespace sparsefast
