// The leading eigenvector of a symmetric positive semi-definite matrix, given by its products: restarted Lanczos.
//
// From a start v a basis of at most kBasis vectors of the Krylov space is made, kept orthogonal by full
// reorthogonalisation; the leading Ritz vector of its tridiagonal matrix T (by Jacobi rotations) is the next start,
// until ||S v - theta v|| <= tolerance * theta, at most kRestarts times. The start lies in every space, so that the
// Rayleigh quotient never decreases, converged or not. All in double.
//
// Source: Y. Saad, Numerical methods for large eigenvalue problems, SIAM 2011, sections 6.3 and 6.4.
#pragma once

#include "common/vec.hpp"

namespace sparsefast {
namespace {

constexpr int kBasis = 8;
constexpr int kRestarts = 24;

// The leading eigenvector of the tridiagonal matrix with this diagonal and the products beside it, n <= kBasis.
inline void leading_of_tridiagonal(const double* diagonal, const double* beside, int n, double* vector) {
    double a[kBasis][kBasis] = {}, q[kBasis][kBasis] = {};
    for (int i = 0; i < n; ++i) {
        a[i][i] = diagonal[i];
        q[i][i] = 1;
        if (i + 1 < n) a[i][i + 1] = a[i + 1][i] = beside[i];
    }
    for (int sweep = 0; sweep < 30; ++sweep) {
        double off = 0, on = 0;
        for (int i = 0; i < n; ++i) {
            on += a[i][i] * a[i][i];
            for (int j = i + 1; j < n; ++j) off += a[i][j] * a[i][j];
        }
        if (!(off > 1e-32 * on)) break;
        for (int i = 0; i + 1 < n; ++i)
            for (int j = i + 1; j < n; ++j) {
                if (a[i][j] == 0) continue;
                const double theta = (a[j][j] - a[i][i]) / (2 * a[i][j]);
                const double t = (theta < 0 ? -1 : 1) / (__builtin_fabs(theta) + __builtin_sqrt(theta * theta + 1));
                const double c = 1 / __builtin_sqrt(t * t + 1), s = t * c;
                for (int k = 0; k < n; ++k) {
                    const double x = a[k][i], y = a[k][j];
                    a[k][i] = c * x - s * y;
                    a[k][j] = s * x + c * y;
                }
                for (int k = 0; k < n; ++k) {
                    const double x = a[i][k], y = a[j][k];
                    a[i][k] = c * x - s * y;
                    a[j][k] = s * x + c * y;
                }
                for (int k = 0; k < n; ++k) {
                    const double x = q[k][i], y = q[k][j];
                    q[k][i] = c * x - s * y;
                    q[k][j] = s * x + c * y;
                }
            }
    }
    int best = 0;
    for (int i = 1; i < n; ++i) best = a[i][i] > a[best][best] ? i : best;
    for (int i = 0; i < n; ++i) vector[i] = q[i][best];
}

inline double dot_double(const double* a, const double* b, int64_t n) {
    typedef Lanes<double> L;
    Vec<double> sum{};
    int64_t f = 0;
    for (; f + L::n <= n; f += L::n) sum += load(a + f) * load(b + f);
    double rest = 0;
    for (; f < n; ++f) rest += a[f] * b[f];
    return sum_of_lanes<double>(sum) + rest;
}

// v (n,) holds a start of norm 1, and then the eigenvector. `basis` holds (kBasis + 1, n); multiply(x, y) writes
// y = S x.
template <typename Multiply>
void leading_eigenvector(int64_t n, double tolerance, double* v, double* basis, const Multiply& multiply) {
    double diagonal[kBasis], beside[kBasis], ritz[kBasis];
    for (int restart = 0; restart < kRestarts; ++restart) {
        for (int64_t f = 0; f < n; ++f) basis[f] = v[f];
        int used = 0;
        while (used < kBasis) {
            const double* const q = basis + used * n;
            double* const w = basis + (used + 1) * n;
            multiply(q, w);
            diagonal[used] = dot_double(q, w, n);
            ++used;
            if (!(diagonal[0] > 0)) return;  // the start is in the null space, or S is not finite
            // Twice is enough to be orthogonal to rounding.
            for (int pass = 0; pass < 2; ++pass)
                for (int k = used - 1; k >= 0; --k) {
                    const double* const b = basis + k * n;
                    const double along = dot_double(b, w, n);
                    for (int64_t f = 0; f < n; ++f) w[f] -= along * b[f];
                }
            const double norm = __builtin_sqrt(dot_double(w, w, n));
            beside[used - 1] = norm;
            // After the first product this is the residual of the start itself.
            if (used == 1 && norm <= tolerance * diagonal[0]) return;
            if (!(norm > 1e-14 * diagonal[0]) || used == kBasis) break;
            for (int64_t f = 0; f < n; ++f) w[f] /= norm;
        }
        leading_of_tridiagonal(diagonal, beside, used, ritz);
        for (int64_t f = 0; f < n; ++f) v[f] = 0;
        for (int k = 0; k < used; ++k)
            for (int64_t f = 0; f < n; ++f) v[f] += ritz[k] * basis[k * n + f];
        const double norm = __builtin_sqrt(dot_double(v, v, n));
        for (int64_t f = 0; f < n; ++f) v[f] /= norm;
        // What the Ritz vector leaves is the next product beside T times its last entry: no product is needed to know.
        double theta = 0;
        for (int k = 0; k < used; ++k) {
            theta += diagonal[k] * ritz[k] * ritz[k];
            if (k + 1 < used) theta += 2 * beside[k] * ritz[k] * ritz[k + 1];
        }
        if (__builtin_fabs(beside[used - 1] * ritz[used - 1]) <= tolerance * theta) return;
    }
}

}  // namespace
}  // namespace sparsefast
