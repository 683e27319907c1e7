// Normalised iterative hard thresholding of one signal after the other:
//
//     a <- H_s(a + mu c),   c = D (x - a D),   mu = ||c_S||^2 / ||c_S D_S||^2,  S the support of a
//
// H_s keeps the s entries of largest magnitude. Where the support changes, mu is halved until
// mu <= 0.99 ||a' - a||^2 / ||(a' - a) D||^2, which makes the residual shrink. A given step is taken as it is.
//
// c = c0 - sum_j a_j G[i_j] from s rows of the Gram matrix, 2 s K FLOPs instead of 2 F K, or from the residual where
// there is none; squared norms of combinations of atoms are those of the combinations themselves.
// Source: Blumensath and Davies, Normalized Iterative Hard Thresholding, 2010; the plain form 2009.
#pragma once

#include "cpu/omp/correlations.hpp"
#include "cpu/omp/output.hpp"
#include "cpu/omp/select.hpp"

namespace sparsefast {
namespace {

template <typename T>
class IhtCoder {
   public:
    IhtCoder(const OmpProblem& p, int64_t max_signals, void* workspace, int64_t* bytes = nullptr)
        : p_(p),
          d_(p.dictionary, const_cast<void*>(p.packed)),
          carve_{static_cast<char*>(workspace)},
          block_(p.dictionary, max_signals, true, carve_),
          s_(smaller(p.n_nonzero, smaller(p.dictionary.n_features, p.dictionary.n_atoms))) {
        a_ = carve_.take<T>(s_);
        next_ = carve_.take<T>(s_);
        part_ = carve_.take<T>(2 * s_);
        support_ = carve_.take<int32_t>(s_);
        next_support_ = carve_.take<int32_t>(s_);
        both_ = carve_.take<int32_t>(2 * s_);
        c_ = carve_.take<T>(block_.ld_c);
        moved_ = carve_.take<T>(block_.ld_c);
        wide_ = carve_.take<T>(block_.ld_x);
        if (bytes) *bytes = carve_.used;
    }

    void code(int64_t begin, int64_t end) {
        for (int64_t n0 = begin; n0 < end; n0 += block_.rows) {
            const int64_t n = smaller(block_.rows, end - n0);
            block_.load_signals(p_.signals, n0, n);
            block_.correlate_chunk(d_, n, 0);
            for (int64_t r = 0; r < n; ++r) {
                const OmpStatus status = iterate(n0 + r, r);
                write_code<T>(p_, n0 + r, status, size_, a_, support_, 1,
                              block_.scale[r] - static_cast<int>(*d_.exponent));
            }
        }
    }

   private:
    OmpStatus iterate(int64_t signal, int64_t r) {
        size_ = 0;
        x_ = block_.x + r * block_.ld_x;
        c0_ = block_.c + r * block_.ld_c;
        if (block_.norm2[r] - block_.norm2[r] != 0) return OmpStatus::nonfinite;
        const T tol2 = p_.tol ? squared_tolerance<T>(p_, signal, block_.scale[r]) : T(-1);
        T mu = first_step();
        for (int64_t t = 0; t < p_.n_iterations; ++t) {
            if (within(tol2)) return OmpStatus::tolerance;
            correlate_residual();
            if (p_.step == 0) mu = normalised_step(mu);
            threshold(mu);
            // The first step is along the support that it finds, which cannot change.
            if (p_.step == 0 && t > 0) mu = safe_step(mu);
            if (!advance()) break;
        }
        if (within(tol2)) return OmpStatus::tolerance;
        return size_ < s_ ? OmpStatus::orthogonal : s_ < p_.n_nonzero ? OmpStatus::exhausted : OmpStatus::complete;
    }

    // A given step, in the units of the packed dictionary; else 1 / max ||d||^2, for when no other can be computed.
    T first_step() const {
        if (p_.step > 0) {
            const Shift<double> scale(static_cast<int>(*d_.exponent));
            return static_cast<T>(scale(scale(p_.step)));
        }
        T most = 0;
        for (int64_t k = 0; k < d_.n_atoms; ++k) most = d_.diagonal[k] > most ? d_.diagonal[k] : most;
        return most > 0 ? 1 / most : T(1);
    }

    bool within(T tol2) {
        if (!(tol2 >= 0)) return false;
        Combination<T>{a_, support_, size_}.subtract_from(x_, d_, wide_);
        return squared_norm(wide_, block_.ld_x) <= tol2;
    }

    void correlate_residual() {
        constexpr int lanes = Lanes<T>::n, V = 4;
        if (!d_.gram) {
            Combination<T>{a_, support_, size_}.subtract_from(x_, d_, wide_);
            return correlate_row<T>(wide_, d_.panels, d_.n_features, d_.n_padded, c_);
        }
        const auto run = [&](int64_t at, auto width) {
            constexpr int W = decltype(width)::value;
            Vec<T> sum[W];
            for (int v = 0; v < W; ++v) sum[v] = load(c0_ + at + v * lanes);
            for (int64_t j = 0; j < size_; ++j) {
                const T* const row = d_.gram + support_[j] * d_.ld_gram + at;
                const Vec<T> weight = broadcast(a_[j]);
                for (int v = 0; v < W; ++v) sum[v] -= weight * load(row + v * lanes);
            }
            for (int v = 0; v < W; ++v) store(c_ + at + v * lanes, sum[v]);
        };
        int64_t at = 0;
        for (; at + V * lanes <= d_.n_padded; at += V * lanes) run(at, Width<V>{});
        for (; at < d_.n_padded; at += lanes) run(at, Width<1>{});
    }
    template <int n>
    struct Width {
        static constexpr int value = n;
    };

    // ||v||^2 / ||v D||^2 of an entry for each atom of a support; 0 where v is zero.
    T ratio(const T* v, const int32_t* support, int64_t count) {
        T own = 0;
        for (int64_t j = 0; j < count; ++j) own += v[j] * v[j];
        if (!(own > 0)) return 0;
        Combination<T>{v, support, count}.subtract_from(nullptr, d_, wide_);
        const T image = squared_norm(wide_, block_.ld_x);
        return image > 0 ? own / image : T(0);
    }

    T normalised_step(T last) {
        const int32_t* support = support_;
        int64_t count = size_;
        if (size_ == 0) {
            support = next_support_;
            count = select_largest(c_, d_.n_padded, s_, Magnitude<T>{}, next_, next_support_);
        }
        for (int64_t j = 0; j < count; ++j) part_[j] = c_[support[j]];
        const T mu = ratio(part_, support, count);
        return mu > 0 ? mu : last;
    }

    // next = H_s(a + mu c)
    void threshold(T mu) {
        const Vec<T> step = broadcast(mu);
        for (int64_t at = 0; at < d_.n_padded; at += Lanes<T>::n) store(moved_ + at, step * load(c_ + at));
        // The entries of the support are s numbers at least as large as their least.
        T least = static_cast<T>(__builtin_inff());
        for (int64_t j = 0; j < size_; ++j) {
            const T moved = moved_[support_[j]] += a_[j];
            least = magnitude(moved) < least ? magnitude(moved) : least;
        }
        next_size_ =
            select_largest(moved_, d_.n_padded, s_, Magnitude<T>{}, next_, next_support_, size_ == s_ ? least : T(0));
    }

    bool same_support() const {
        if (next_size_ != size_) return false;
        for (int64_t i = 0; i < size_; ++i) {
            bool found = false;
            for (int64_t j = 0; j < size_; ++j) found |= next_support_[i] == support_[j];
            if (!found) return false;
        }
        return true;
    }

    T safe_step(T mu) {
        constexpr int kHalvings = 30;
        for (int halving = 0; halving < kHalvings && !same_support(); ++halving) {
            int64_t count = difference();
            const T most = ratio(part_, both_, count);
            if (!(most > 0) || mu <= static_cast<T>(0.99) * most) break;
            mu /= 2;
            threshold(mu);
        }
        return mu;
    }

    // next - a, on the union of their supports, in part_ and both_.
    int64_t difference() {
        int64_t count = 0;
        for (int64_t i = 0; i < next_size_; ++i) both_[count] = next_support_[i], part_[count++] = next_[i];
        for (int64_t j = 0; j < size_; ++j) {
            int64_t at = 0;
            while (at < next_size_ && both_[at] != support_[j]) ++at;
            if (at < next_size_)
                part_[at] -= a_[j];
            else
                both_[count] = support_[j], part_[count++] = -a_[j];
        }
        return count;
    }

    // a = next; false where it has come to rest, or would overflow, as with a step too long, and is not taken.
    bool advance() {
        bool rest = same_support();
        T most = 0, change = 0;
        for (int64_t j = 0; j < next_size_; ++j)
            if (next_[j] - next_[j] != 0) return false;
        if (rest) {
            const int64_t count = difference();
            for (int64_t j = 0; j < count; ++j) change = magnitude(part_[j]) > change ? magnitude(part_[j]) : change;
            for (int64_t j = 0; j < next_size_; ++j) most = magnitude(next_[j]) > most ? magnitude(next_[j]) : most;
            rest = change <= 4 * Lanes<T>::epsilon * most;
        }
        size_ = next_size_;
        for (int64_t j = 0; j < size_; ++j) a_[j] = next_[j], support_[j] = next_support_[j];
        return !rest;
    }
    static T magnitude(T v) { return v < 0 ? -v : v; }

    const OmpProblem& p_;
    const PackedDictionary<T> d_;
    Carver carve_;
    Block<T> block_;
    const int64_t s_;
    int64_t size_ = 0, next_size_ = 0;
    const T *x_ = nullptr, *c0_ = nullptr;
    T *a_, *next_, *part_, *c_, *moved_, *wide_;
    int32_t *support_, *next_support_, *both_;
};

}  // namespace
}  // namespace sparsefast
