// Codes, reconstruction, residual, error, usage and sums in one pass.
//
// A task goes through a block of signals in tiles: it brings a tile into rows, codes it, and makes the rest from the
// codes while they are in the cache. Blocks and tiles are decided by shapes alone; the error is added up in float64 in
// the order of the blocks.
#pragma once

#include "cpu/bottleneck/rows.hpp"
#include "cpu/bottleneck/tables.hpp"
#include "cpu/kernels.hpp"
#include "cpu/products/sums.hpp"

namespace sparsefast {
namespace {

// Few: three features and at most three entries, a signal a lane.
template <typename T, bool few>
class Forward {
   public:
    Forward(const BottleneckProblem& p, void* workspace, int n_threads)
        : p_(p),
          arena_(workspace),
          threads_(n_threads > 1 ? n_threads : 1),
          n_(p.places.n_images * p.places.n_places),
          f_(p.places.n_features),
          s_(p.n_nonzero),
          k_(p.dictionary.n_atoms),
          block_(sums_block(k_)),
          sums_(arena_, p.sums ? n_ : 0, k_, p.sums ? f_ : 0) {
        // Rows of a tile stay in L1 or L2; whole groups of the coder.
        const int64_t fit = (int64_t(48) << 10) / (f_ * static_cast<int64_t>(sizeof(T))) / 64 * 64;
        tile_ = fit < 64 ? 64 : fit < block_ ? fit : block_;
        errors_ = arena_.take<double>((n_ + block_ - 1) / block_);
        usage_ = arena_.take<int64_t>(threads_ * k_);
        rows_ = arena_.take<T>(p.places.planes && !p.residual ? threads_ * tile_ * f_ : 0);
        decoded_ = arena_.take<T>(p.places.planes && !few ? threads_ * tile_ * f_ : 0);
        table_ = arena_.take<T>(few ? 3 * k_ : 0);
        scratch_bytes_ =
            round_up(SF_TABLE(omp_kernels_).scratch_bytes(p.dictionary, OmpCoder::omp, tile_, s_), kAlignment);
        scratch_ = arena_.take<char>(threads_ * scratch_bytes_);
    }
    int64_t bytes() const { return arena_.used(); }

    void run() {
        for (int64_t i = 0; i < threads_ * k_; ++i) usage_[i] = 0;
        if constexpr (few) columns();
        const auto visit = [&](int64_t begin, int64_t end, T* table, int thread) {
            double error = 0;
            for (int64_t at = begin; at < end; at += tile_)
                error += tile(at, end - at < tile_ ? end - at : tile_, table, thread);
            errors_[begin / block_] = error;
        };
        const int64_t blocks = (n_ + block_ - 1) / block_;
        if (p_.sums)
            sums_.run(static_cast<int>(threads_), static_cast<T*>(p_.sums), visit);
        else
            parallel_tasks(blocks, static_cast<int>(threads_), [&](int64_t task, int thread) {
                const int64_t begin = task * block_;
                visit(begin, begin + block_ < n_ ? begin + block_ : n_, nullptr, thread);
            });
        double error = 0;
        for (int64_t i = 0; i < blocks; ++i) error += errors_[i];
        *p_.error = error;
        for (int64_t k = 0; k < k_; ++k) {
            p_.usage[k] = 0;
            for (int64_t t = 0; t < threads_; ++t) p_.usage[k] += usage_[t * k_ + k];
        }
    }

   private:
    double tile(int64_t first, int64_t n, T* table, int thread) {
        T* const residual = p_.residual ? static_cast<T*>(p_.residual) + first * f_ : nullptr;
        const T* const latent = static_cast<const T*>(p_.latent);
        const T* x = latent + first * f_;
        if (p_.places.planes) {
            T* const rows = residual ? residual : rows_ + thread * tile_ * f_;
            planes_to_rows(p_.places, latent, first, n, rows);
            x = rows;
        }
        code(first, n, x, scratch_ + thread * scratch_bytes_);
        int64_t* const usage = usage_ + thread * k_;
        if constexpr (few) {
            const double error = s_ == 1   ? in_lanes<1>(first, n, x, residual)
                                 : s_ == 2 ? in_lanes<2>(first, n, x, residual)
                                           : in_lanes<3>(first, n, x, residual);
            count(first, n, residual, table, usage);
            return error;
        }
        T* const decoded =
            p_.places.planes ? decoded_ + thread * tile_ * f_ : static_cast<T*>(p_.reconstruction) + first * f_;
        double error = 0;
        for (int64_t i = 0; i < n; ++i)
            error += one(first + i, x + i * f_, decoded + i * f_, residual, i, table, usage);
        if (p_.places.planes) rows_to_planes(p_.places, decoded, first, n, static_cast<T*>(p_.reconstruction));
        return error;
    }

    void code(int64_t first, int64_t n, const T* x, void* scratch) const {
        OmpProblem q{};
        q.coder = OmpCoder::omp;
        q.dictionary = p_.dictionary;
        q.packed = p_.packed;
        q.signals = {x, n, f_, f_, 1};
        q.n_nonzero = s_;
        q.values = static_cast<T*>(p_.values) + first * s_;
        q.indices = p_.indices + first * s_;
        q.counts = p_.counts + first;
        q.status = p_.status + first;
        q.index_type = IndexType::int64;
        SF_TABLE(omp_kernels_).range(q, 0, n, tile_, scratch);
    }

    // Signal n: row i of its tile. The row of x may be that of the residual.
    SF_INLINE double one(int64_t n, const T* x, T* decoded, T* residuals, int64_t i, T* table, int64_t* usage) const {
        const T* const atoms = static_cast<const T*>(p_.atoms);
        const T* const values = static_cast<const T*>(p_.values) + n * s_;
        const int64_t* const indices = p_.indices + n * s_;
        const int64_t count = p_.counts[n];
        T* const residual = residuals ? residuals + i * f_ : nullptr;
        const T nothing = count ? T(0) : values[0];  // or NaN
        Vec<T> squares{};
        row_pieces<T>(f_, [&](int64_t f, auto piece) {
            constexpr int vectors = decltype(piece)::vectors;
            Vec<T> sum[vectors];
            for (int v = 0; v < vectors; ++v) sum[v] = broadcast(nothing);
            for (int64_t j = 0; j < count; ++j) {
                const T* const atom = atoms + indices[j] * f_ + f;
                const Vec<T> value = broadcast(values[j]);
                for (int v = 0; v < vectors; ++v) sum[v] += value * piece.read(atom, v);
            }
            for (int v = 0; v < vectors; ++v) {
                const Vec<T> rest = piece.read(x + f, v) - sum[v];
                piece.write(decoded + f, v, sum[v]);
                if (residual) piece.write(residual + f, v, rest);
                squares += rest * rest;
            }
        });
        for (int64_t j = 0; j < count; ++j) ++usage[indices[j]];
        if (table)
            row_pieces<T>(f_, [&](int64_t f, auto piece) {
                constexpr int vectors = decltype(piece)::vectors;
                Vec<T> rest[vectors];
                for (int v = 0; v < vectors; ++v) rest[v] = piece.read(residual + f, v);
                for (int64_t j = 0; j < count; ++j) {
                    T* const sum = table + indices[j] * f_ + f;
                    const Vec<T> value = broadcast(values[j]);
                    for (int v = 0; v < vectors; ++v) piece.write(sum, v, piece.read(sum, v) + value * rest[v]);
                }
            });
        return static_cast<double>(sum_of_lanes<T>(squares));
    }

    // Columns of the atoms, with zeros in place of those that are not finite: no code names them, and padding does.
    void columns() const {
        const T* const atoms = static_cast<const T*>(p_.atoms);
        for (int64_t k = 0; k < k_; ++k) {
            T taint = 0;
            for (int64_t f = 0; f < 3; ++f) taint += atoms[3 * k + f] * 0;
            for (int64_t f = 0; f < 3; ++f) table_[f * k_ + k] = taint == 0 ? atoms[3 * k + f] : T(0);
        }
    }

    template <int s>
    double in_lanes(int64_t first, int64_t n, const T* x, T* residual) const {
        constexpr int64_t lanes = Lanes<T>::n;
        const T* const values = static_cast<const T*>(p_.values) + first * s;
        const int64_t* const indices = p_.indices + first * s;
        T* const out = static_cast<T*>(p_.reconstruction);
        const Atoms<T> atoms(table_, k_);
        double error = 0;
        Vec<T> squares{};
        const auto whole = [&](int64_t i, Vec<T>* sum) {
            Vec<T> a[s], signal[3], rest[3];
            IntVec<T> at[s];
            load_rows<T, s>(values + i * s, a);
            index_rows<T, s>(indices + i * s, at);
            load_rows<T, 3>(x + 3 * i, signal);
            for (int f = 0; f < 3; ++f) sum[f] = Vec<T>{};
            for (int j = 0; j < s; ++j)
                for (int f = 0; f < 3; ++f) sum[f] += a[j] * atoms(f, at[j]);
            for (int f = 0; f < 3; ++f) {
                rest[f] = signal[f] - sum[f];
                squares += rest[f] * rest[f];
            }
            if (residual) store_rows<T, 3>(rest, residual + 3 * i);
        };
        const auto single = [&](int64_t i, T* sum) {
            for (int f = 0; f < 3; ++f) {
                sum[f] = 0;
                for (int j = 0; j < s; ++j) sum[f] += values[i * s + j] * table_[f * k_ + indices[i * s + j]];
                const T rest = x[3 * i + f] - sum[f];
                if (residual) residual[3 * i + f] = rest;
                error += static_cast<double>(rest * rest);
            }
        };
        const auto run = [&](int64_t from, int64_t part, T* to, int64_t of_place, int64_t of_feature) {
            int64_t i = 0;
            for (; i + lanes <= part; i += lanes) {
                Vec<T> sum[3];
                whole(from + i, sum);
                if (of_place == 1)
                    for (int f = 0; f < 3; ++f) store(to + f * of_feature + i, sum[f]);
                else
                    store_rows<T, 3>(sum, to + 3 * i);
            }
            for (; i < part; ++i) {
                T sum[3];
                single(from + i, sum);
                for (int f = 0; f < 3; ++f) to[i * of_place + f * of_feature] = sum[f];
            }
        };
        if (p_.places.planes)
            by_image(p_.places, first, n,
                     [&](int64_t at, int64_t done, int64_t part) { run(done, part, out + at, 1, p_.places.n_places); });
        else
            run(0, n, out + 3 * first, 3, 1);
        return error + static_cast<double>(sum_of_lanes<T>(squares));
    }

    void count(int64_t first, int64_t n, const T* residual, T* table, int64_t* usage) const {
        const T* const values = static_cast<const T*>(p_.values) + first * s_;
        const int64_t* const indices = p_.indices + first * s_;
        const int32_t* const counts = p_.counts + first;
        if (table && k_ <= ThreeTable<T>::most) {
            ThreeTable<T> sums(k_);
            if (s_ == 1) sums.template add<1>(values, indices, counts, residual, n);
            if (s_ == 2) sums.template add<2>(values, indices, counts, residual, n);
            if (s_ == 3) sums.template add<3>(values, indices, counts, residual, n);
            return sums.into(table, usage);
        }
        for (int64_t i = 0; i < n; ++i)
            for (int64_t j = 0; j < counts[i]; ++j) {
                const int64_t atom = indices[i * s_ + j];
                ++usage[atom];
                for (int64_t f = 0; f < 3 && table; ++f)
                    table[3 * atom + f] += values[i * s_ + j] * residual[3 * i + f];
            }
    }

    const BottleneckProblem& p_;
    Arena arena_;
    int64_t threads_, n_, f_, s_, k_, block_;
    AtomSums<T> sums_;
    int64_t tile_, scratch_bytes_;
    double* errors_;
    int64_t* usage_;
    T *rows_, *decoded_, *table_;
    char* scratch_;
};

}  // namespace
}  // namespace sparsefast
