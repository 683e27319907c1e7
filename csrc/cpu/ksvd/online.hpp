// Block coordinate descent on the atoms from the statistics A and B: for one atom after the other
//
//     u = d_k + (b_k - sum_j A_kj d_j) / A_kk,   d_k = u / max(||u||, 1), with `sphere` u / ||u||
//
// in float64, on a copy of the dictionary that stays in the second-level cache: K F multiplications an atom.
//
// Source: Mairal, Bach, Ponce, Sapiro 2009, Algorithm 2.
#pragma once

#include "cpu/ksvd/entries.hpp"

namespace sparsefast {
namespace {

template <typename T>
class Online {
   public:
    Online(const OnlineProblem& p, void* workspace) : p_(p), arena_(workspace) {
        width_ = round_up(p.dictionary.cols, kAlignment / 8);
        atoms_ = arena_.take<double>(p.dictionary.rows * width_);
        u_ = arena_.take<double>(width_);
    }
    int64_t bytes() const { return arena_.used(); }

    void updates(int64_t begin, int64_t end) {
        const int64_t n = p_.dictionary.rows;
        if (begin == 0) read();
        for (int64_t i = begin; i < end; ++i) update(i % n);
        if (end == n * p_.n_iterations) write();
    }

   private:
    void read() {
        const Matrix& d = p_.dictionary;
        for (int64_t k = 0; k < d.rows; ++k)
            for (int64_t f = 0; f < width_; ++f)
                atoms_[k * width_ + f] =
                    f < d.cols ? static_cast<double>(static_cast<const T*>(d.data)[k * d.row_stride + f * d.col_stride])
                               : 0;
    }
    void write() {
        T* const out = static_cast<T*>(p_.atoms);
        for (int64_t k = 0; k < p_.dictionary.rows; ++k)
            for (int64_t f = 0; f < p_.dictionary.cols; ++f)
                out[k * p_.dictionary.cols + f] = static_cast<T>(atoms_[k * width_ + f]);
    }

    void update(int64_t k) {
        const int64_t n = p_.dictionary.rows, features = p_.dictionary.cols;
        const double* const a = p_.a + k * n;
        const double diagonal = a[k];
        if (!(diagonal > 0)) return;
        for (int64_t f = 0; f < width_; ++f) u_[f] = f < features ? p_.b[k * features + f] : 0;
        int64_t j = 0;
        // Four atoms a pass, so that u is read and written less often.
        for (; j + 4 <= n; j += 4) {
            const double* const d = atoms_ + j * width_;
            const double a0 = a[j], a1 = a[j + 1], a2 = a[j + 2], a3 = a[j + 3];
            if (a0 == 0 && a1 == 0 && a2 == 0 && a3 == 0) continue;
            for (int64_t f = 0; f < width_; ++f)
                u_[f] -= (a0 * d[f] + a1 * d[width_ + f]) + (a2 * d[2 * width_ + f] + a3 * d[3 * width_ + f]);
        }
        for (; j < n; ++j)
            for (int64_t f = 0; f < width_; ++f) u_[f] -= a[j] * atoms_[j * width_ + f];
        double squares = 0;
        double* const atom = atoms_ + k * width_;
        for (int64_t f = 0; f < width_; ++f) {
            u_[f] = atom[f] + u_[f] / diagonal;
            squares += u_[f] * u_[f];
        }
        const double norm = __builtin_sqrt(squares);
        if (!(norm > 0 && norm - norm == 0)) return;
        const double inverse = p_.sphere || norm > 1 ? 1 / norm : 1;
        for (int64_t f = 0; f < width_; ++f) atom[f] = u_[f] * inverse;
    }

    const OnlineProblem& p_;
    Arena arena_;
    int64_t width_;
    double *atoms_, *u_;
};

}  // namespace
}  // namespace sparsefast
