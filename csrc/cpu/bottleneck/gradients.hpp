// The gradients of the bottleneck, one pass over the signals: see sparsefast/bottleneck.hpp.
//
// Straight-through, a tile of residuals is brought into planes and added to g. Implicit, the products of the atoms of
// each signal among themselves and with g come from the atoms, which are needed anyway: a Gram matrix of all atoms
// would take longer to make than a small batch to differentiate, and its entries lie apart. The systems of kLanes
// signals are solved together (solve.hpp).
#pragma once

#include "cpu/bottleneck/inner.hpp"
#include "cpu/bottleneck/rows.hpp"
#include "cpu/products/solve.hpp"
#include "cpu/products/sums.hpp"

namespace sparsefast {
namespace {

template <typename T>
class Backward {
   public:
    Backward(const BottleneckGradients& p, void* workspace, int n_threads)
        : p_(p),
          arena_(workspace),
          threads_(n_threads > 1 ? n_threads : 1),
          n_(p.places.n_images * p.places.n_places),
          f_(p.places.n_features),
          s_(p.codes.n_nonzero),
          block_(sums_block(p.n_atoms)),
          sums_(arena_, p.of_dictionary ? n_ : 0, p.n_atoms, p.of_dictionary ? f_ : 0) {
        const int64_t fit = (int64_t(24) << 10) / (f_ * static_cast<int64_t>(sizeof(T))) / 64 * 64;
        tile_ = fit < 64 ? 64 : fit < block_ ? fit : block_;
        // Rows of g and of the output, where the latent has planes or there is none; g - p of a signal; systems.
        rows_n_ = round_up(tile_ * f_, 16);
        scratch_n_ = 2 * rows_n_ + (p.implicit ? round_up(f_, 16) + round_up((s_ * s_ + s_) * kLanes, 16) : 0);
        scratch_ = arena_.take<T>(threads_ * scratch_n_);
    }
    int64_t bytes() const { return arena_.used(); }

    void run() {
        const auto visit = [&](int64_t begin, int64_t end, T* table, int thread) {
            T* const scratch = scratch_ + thread * scratch_n_;
            for (int64_t at = begin; at < end; at += tile_) {
                const int64_t n = end - at < tile_ ? end - at : tile_;
                if (!p_.implicit || spanned(at, n))
                    straight(at, n, scratch);
                else
                    implicit(at, n, table, scratch);
            }
        };
        if (p_.of_dictionary) return sums_.run(static_cast<int>(threads_), static_cast<T*>(p_.of_dictionary), visit);
        parallel_tasks((n_ + block_ - 1) / block_, static_cast<int>(threads_), [&](int64_t task, int thread) {
            const int64_t begin = task * block_;
            visit(begin, begin + block_ < n_ ? begin + block_ : n_, nullptr, thread);
        });
    }

   private:
    const T* values(int64_t n) const { return static_cast<const T*>(p_.codes.values) + n * s_; }
    const int64_t* indices(int64_t n) const { return static_cast<const int64_t*>(p_.codes.indices) + n * s_; }
    const T* residual(int64_t n) const { return static_cast<const T*>(p_.residual) + n * f_; }

    // g + to_signals r
    void straight(int64_t first, int64_t n, T* scratch) const {
        if (!p_.of_signals) return;
        const T scale = static_cast<T>(p_.to_signals);
        const T* const grad = static_cast<const T*>(p_.grad);
        T* const out = static_cast<T*>(p_.of_signals);
        const auto add = [&](int64_t at, const T* rest, int64_t count) {
            row_pieces<T>(count, [&](int64_t i, auto piece) {
                for (int v = 0; v < decltype(piece)::vectors; ++v) {
                    Vec<T> sum = grad ? piece.read(grad + at + i, v) : Vec<T>{};
                    if (rest) sum += broadcast(scale) * piece.read(rest + i, v);
                    piece.write(out + at + i, v, sum);
                }
            });
        };
        const T* const rest = p_.residual ? residual(first) : nullptr;
        if (!p_.places.planes) return add(first * f_, rest, n * f_);
        by_image(p_.places, first, n, [&](int64_t at, int64_t done, int64_t part) {
            const int64_t stride = p_.places.n_places;
            if (f_ == 3 && rest && grad) return three(grad + at, rest + 3 * done, part, stride, scale, out + at);
            if (rest) transpose<T, false>(rest + done * f_, f_, part, f_, scratch, tile_);
            for (int64_t f = 0; f < f_; ++f) add(at + f * stride, rest ? scratch + f * tile_ : nullptr, part);
        });
    }

    static void three(const T* grad, const T* rest, int64_t n, int64_t stride, T scale, T* out) {
        constexpr int64_t lanes = Lanes<T>::n;
        int64_t i = 0;
        for (; i + lanes <= n; i += lanes) {
            Vec<T> r[3];
            load_rows<T, 3>(rest + 3 * i, r);
            for (int f = 0; f < 3; ++f)
                store(out + f * stride + i, load(grad + f * stride + i) + broadcast(scale) * r[f]);
        }
        for (; i < n; ++i)
            for (int64_t f = 0; f < 3; ++f) out[f * stride + i] = grad[f * stride + i] + scale * rest[3 * i + f];
    }

    // Whether all these signals have as many atoms as features: no system is solved, and nothing moves the atoms.
    bool spanned(int64_t first, int64_t n) const {
        if (p_.grad_values || s_ < f_) return false;
        int32_t least = static_cast<int32_t>(s_);
        for (int64_t i = 0; i < n; ++i) least = p_.codes.counts[first + i] < least ? p_.codes.counts[first + i] : least;
        return least >= f_;
    }

    void implicit(int64_t first, int64_t n, T* table, T* scratch) const {
        T* const rows = scratch;
        T* const made = scratch + rows_n_;
        T* const beside = made + rows_n_;  // g - p of a signal
        T* const system = beside + round_up(f_, 16);
        T* const right = system + s_ * s_ * kLanes;
        const T* grad = rows;
        if (!p_.grad) {
            for (int64_t i = 0; i < n * f_; ++i) rows[i] = 0;
        } else if (p_.places.planes) {
            planes_to_rows(p_.places, static_cast<const T*>(p_.grad), first, n, rows);
        } else {
            grad = static_cast<const T*>(p_.grad) + first * f_;
        }
        T* const out = !p_.of_signals ? nullptr : p_.places.planes ? made : static_cast<T*>(p_.of_signals) + first * f_;
        for (int64_t at = 0; at < n; at += kLanes) {
            const int64_t lanes = n - at < kLanes ? n - at : kLanes;
            for (int64_t l = 0; l < kLanes; ++l)
                set_up(first + at + l, l < lanes ? p_.codes.counts[first + at + l] : 0, l, grad + (at + l) * f_, system,
                       right);
            solve_lanes<T>(s_, p_.least_pivot, system, right);
            for (int64_t l = 0; l < lanes; ++l)
                finish(first + at + l, l, grad + (at + l) * f_, right, beside, out ? out + (at + l) * f_ : nullptr,
                       table);
        }
        if (out && p_.places.planes) rows_to_planes(p_.places, out, first, n, static_cast<T*>(p_.of_signals));
    }

    bool solved(int64_t count) const { return count < f_ || p_.grad_values; }
    T inverse_norm(int64_t atom) const {
        return p_.inverse_norms ? static_cast<const T*>(p_.inverse_norms)[atom] : T(1);
    }

    // The system of a signal and its right-hand side, in one lane; rows that are not in use are those of the identity.
    void set_up(int64_t n, int64_t count, int64_t lane, const T* grad, T* system, T* right) const {
        const T* const unit = static_cast<const T*>(p_.unit_atoms);
        if (!solved(count)) count = 0;
        for (int64_t i = 0; i < s_; ++i) {
            system[(i * s_ + i) * kLanes + lane] = static_cast<T>(1 + p_.ridge);
            right[i * kLanes + lane] = 0;
            for (int64_t j = 0; i >= count && j < i; ++j) system[(i * s_ + j) * kLanes + lane] = 0;
        }
        if (!count) return;
        const int64_t* const at = indices(n);
        const auto row = [&](int64_t i) { return unit + at[i < count ? i : 0] * f_; };
        // <d_i, g> / ||d_i|| is the product of the unit atom: the fourth column of the squares on the diagonal.
        for (int64_t i0 = 0; i0 < count; i0 += kSide)
            for (int64_t j0 = 0; j0 <= i0; j0 += kSide) {
                const T* const a[kSide] = {row(i0), row(i0 + 1), row(i0 + 2), row(i0 + 3)};
                const T* const b[kSide] = {row(j0), row(j0 + 1), row(j0 + 2), i0 == j0 ? grad : row(j0 + 3)};
                T all[kSquare];
                products_of_four<T>(a, b, f_, all);
                for (int64_t i = i0; i < i0 + kSide && i < count; ++i) {
                    const T* const own = all + (i - i0) * kSide;
                    for (int64_t j = j0; j < j0 + kSide && j < i; ++j)
                        system[(i * s_ + j) * kLanes + lane] = own[j - j0];
                    if (i0 == j0) right[i * kLanes + lane] = own[kSide - 1];
                }
            }
        if (!p_.grad_values) return;
        for (int64_t i = 0; i < count; ++i)
            right[i * kLanes + lane] += static_cast<const T*>(p_.grad_values)[n * s_ + i] * inverse_norm(at[i]);
    }

    SF_INLINE void finish(int64_t n, int64_t lane, const T* grad, T* right, T* beside, T* out, T* table) const {
        const T* const atoms = static_cast<const T*>(p_.atoms);
        const int64_t* const at = indices(n);
        const T* const a = values(n);
        const T* const rest = residual(n);
        const int64_t count = p_.codes.counts[n];
        const bool has_u = solved(count);
        const T zero_or_nan = a[0] == a[0] ? T(0) : a[0];
        const Vec<T> to_signals = broadcast(static_cast<T>(p_.to_signals));
        for (int64_t j = 0; j < count && has_u; ++j) right[j * kLanes + lane] *= inverse_norm(at[j]);
        row_pieces<T>(f_, [&](int64_t f, auto piece) {
            constexpr int vectors = decltype(piece)::vectors;
            Vec<T> p[vectors];
            for (int v = 0; v < vectors; ++v) p[v] = has_u ? Vec<T>{} : piece.read(grad + f, v);
            for (int64_t j = 0; j < count && has_u; ++j) {
                const T* const atom = atoms + at[j] * f_ + f;
                const Vec<T> u = broadcast(right[j * kLanes + lane]);
                for (int v = 0; v < vectors; ++v) p[v] += u * piece.read(atom, v);
            }
            for (int v = 0; v < vectors; ++v) {
                piece.write(beside + f, v, piece.read(grad + f, v) - p[v]);
                if (out) piece.write(out + f, v, p[v] + to_signals * piece.read(rest + f, v) + zero_or_nan);
            }
        });
        if (!table || !has_u) return;
        const T to_atoms = static_cast<T>(p_.to_atoms);
        row_pieces<T>(f_, [&](int64_t f, auto piece) {
            constexpr int vectors = decltype(piece)::vectors;
            Vec<T> r[vectors], other[vectors];
            for (int v = 0; v < vectors; ++v) r[v] = piece.read(rest + f, v), other[v] = piece.read(beside + f, v);
            for (int64_t j = 0; j < count; ++j) {
                T* const sum = table + at[j] * f_ + f;
                const Vec<T> of_r = broadcast(to_atoms * a[j] + right[j * kLanes + lane]);
                const Vec<T> of_other = broadcast(a[j]);
                for (int v = 0; v < vectors; ++v)
                    piece.write(sum, v, piece.read(sum, v) + of_r * r[v] + of_other * other[v]);
            }
        });
    }

    const BottleneckGradients& p_;
    Arena arena_;
    int64_t threads_, n_, f_, s_, block_;
    AtomSums<T> sums_;
    int64_t tile_, rows_n_, scratch_n_;
    T* scratch_;
};

// out = scale (G - <G, a> a) / ||d||, or scale G / 1e-12 where ||d|| is less.
template <typename T>
void through_norms(const T* rows, const T* grad, double scale, int64_t n_atoms, int64_t n_features, T* out) {
    constexpr double least = 1e-12;
    constexpr int64_t chains = 16;
    for (int64_t k = 0; k < n_atoms; ++k, rows += n_features, grad += n_features, out += n_features) {
        // In chains, so that the compiler may keep them in a vector.
        double norms[chains] = {}, alongs[chains] = {};
        const auto add = [&](int64_t f, int64_t c) {
            const double row = static_cast<double>(rows[f]);
            norms[c] += row * row;
            alongs[c] += row * static_cast<double>(grad[f]);
        };
        const int64_t whole = n_features / chains * chains;
        for (int64_t f = 0; f < whole; f += chains)
            for (int64_t c = 0; c < chains; ++c) add(f + c, c);
        for (int64_t f = whole; f < n_features; ++f) add(f, f - whole);
        double norm2 = 0, along = 0;
        for (int64_t c = 0; c < chains; ++c) norm2 += norms[c], along += alongs[c];
        const double norm = __builtin_sqrt(norm2);
        const bool clamped = norm < least;
        const double of_grad = scale / (clamped ? least : norm), of_row = clamped ? 0 : of_grad * along / norm2;
        for (int64_t f = 0; f < n_features; ++f)
            out[f] = static_cast<T>(of_grad * static_cast<double>(grad[f]) - of_row * static_cast<double>(rows[f]));
    }
}

}  // namespace
}  // namespace sparsefast
