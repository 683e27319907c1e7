// The k-sparse code of a signal: the n_nonzero atoms with the largest |<d, x>|, or the largest <d, x> that are
// positive, with these correlations as coefficients.
//
// Correlations are made in tiles of 64 signals by a chunk of the atoms and consumed in L2. What bounds it is the GEMM,
// 2 F K FLOPs a signal, then one pass over K numbers with a comparison against the worst entry kept.
// Source: Makhzani and Frey, k-Sparse Autoencoders, 2013.
#pragma once

#include "cpu/omp/block.hpp"
#include "cpu/omp/output.hpp"
#include "cpu/omp/select.hpp"

namespace sparsefast {
namespace {

template <typename T>
class TopKCoder {
   public:
    TopKCoder(const OmpProblem& problem, int64_t max_signals, void* workspace, int64_t* bytes = nullptr)
        : p_(problem),
          d_(problem.dictionary, const_cast<void*>(problem.packed)),
          carve_{static_cast<char*>(workspace)},
          block_(problem.dictionary, max_signals, false, carve_),
          s_(problem.n_nonzero) {
        numbers_ = carve_.take<T>(block_.rows * s_);
        indices_ = carve_.take<int32_t>(block_.rows * s_);
        if (bytes) *bytes = carve_.used;
    }

    void code(int64_t begin, int64_t end) {
        for (int64_t n0 = begin; n0 < end; n0 += block_.rows) {
            const int64_t n = smaller(block_.rows, end - n0);
            block_.load_signals(p_.signals, n0, n);
            p_.positive ? code_block(n0, n, AsIs<T>{}) : code_block(n0, n, Magnitude<T>{});
        }
    }

   private:
    template <typename Key>
    void code_block(int64_t n0, int64_t n, const Key& key) {
        if (block_.chunk >= d_.n_padded) {
            block_.correlate_chunk(d_, n, 0);
            for (int64_t r = 0; r < n; ++r)
                write(n0 + r, r, select_largest(block_.c + r * block_.ld_c, d_.n_padded, s_, key, numbers_, indices_),
                      0);
            return;
        }
        constexpr int64_t kMostRows = 64;
        int64_t kept[kMostRows] = {};
        for (int64_t from = 0; from < d_.n_padded; from += block_.chunk) {
            const int64_t width = block_.correlate_chunk(d_, n, from);
            for (int64_t r = 0; r < n; ++r) {
                Top<T> top(numbers_ + r * s_, indices_ + r * s_, s_, kept[r]);
                top.offer(block_.c + r * block_.ld_c, width, from, key);
                kept[r] = top.size();
            }
        }
        for (int64_t r = 0; r < n; ++r) {
            Top<T>(numbers_ + r * s_, indices_ + r * s_, s_, kept[r]).sort();
            write(n0 + r, r, kept[r], r * s_);
        }
    }

    // Writes the sorted entries that begin at `at`.
    void write(int64_t signal, int64_t r, int64_t count, int64_t at) {
        const bool finite = block_.norm2[r] - block_.norm2[r] == 0;
        const OmpStatus end = count < s_ ? OmpStatus::orthogonal : OmpStatus::complete;
        write_code<T>(p_, signal, finite ? end : OmpStatus::nonfinite, count, numbers_ + at, indices_ + at, 1,
                      block_.scale[r] + static_cast<int>(*d_.exponent));
    }

    const OmpProblem& p_;
    const PackedDictionary<T> d_;
    Carver carve_;
    Block<T> block_;
    const int64_t s_;
    T* numbers_;
    int32_t* indices_;
};

}  // namespace
}  // namespace sparsefast
