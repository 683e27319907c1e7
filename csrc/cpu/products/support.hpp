// The gradients of least squares coefficients on fixed supports, one pass over the signals.
//
// The systems of kLanes signals are solved together (solve.hpp). What follows goes through the features of one signal
// after the other, or with few features through the signals, feature by feature.
#pragma once

#include "cpu/products/solve.hpp"
#include "cpu/products/sums.hpp"
#include "sparsefast/products.hpp"

namespace sparsefast {
namespace {

// Features known to the compiler (kFeatures > 0) or not (0).
template <typename T, int kFeatures>
class Support {
   public:
    Support(const SupportGradients& p, void* workspace, int n_threads)
        : p_(p),
          arena_(workspace),
          threads_(n_threads > 1 ? n_threads : 1),
          s_(p.codes.n_nonzero),
          features_(kFeatures ? kFeatures : p.n_features),
          sums_(arena_, p.codes.n_signals, p.n_atoms, p.n_features) {
        scratch_n_ = round_up((s_ * s_ + s_) * kLanes + 2 * features_ * (kFeatures ? kLanes : 1), 16);
        scratch_ = arena_.take<T>(threads_ * scratch_n_);
        atoms_ = arena_.take<int32_t>(threads_ * s_ * kLanes);
    }
    int64_t bytes() const { return arena_.used(); }

    void run() {
        const auto visit = [&](int64_t begin, int64_t end, T* table, int thread) {
            T* const scratch = scratch_ + thread * scratch_n_;
            int32_t* const atoms = atoms_ + thread * s_ * kLanes;
            for (int64_t n = begin; n < end; n += kLanes)
                signals(n, end - n < kLanes ? end - n : kLanes, table, scratch, atoms);
        };
        if (p_.of_dictionary) {
            sums_.run(threads_, static_cast<T*>(p_.of_dictionary), visit);
            return;
        }
        constexpr int64_t share = 1024;
        const int64_t n = p_.codes.n_signals;
        parallel_tasks((n + share - 1) / share, threads_, [&](int64_t task, int thread) {
            const int64_t begin = task * share;
            visit(begin, begin + share < n ? begin + share : n, nullptr, thread);
        });
    }

   private:
    typedef T Lane __attribute__((vector_size(kLanes * sizeof(T)), aligned(sizeof(T)), may_alias));
    SF_INLINE static Lane lanes(const T* p) { return *reinterpret_cast<const Lane*>(p); }
    SF_INLINE static void put(T* p, Lane v) { *reinterpret_cast<Lane*>(p) = v; }

    void signals(int64_t first, int64_t n, T* table, T* scratch, int32_t* at) {
        T* const system = scratch;                   // (s, s, kLanes), below the diagonal; d on it
        T* const right = system + s_ * s_ * kLanes;  // (s, kLanes)
        T* const through = right + s_ * kLanes;      // (features,), with few features (features, kLanes)
        T* const residual = through + features_ * (kFeatures ? kLanes : 1);  // the same
        const int64_t* const atoms = static_cast<const int64_t*>(p_.codes.indices) + first * s_;
        const T* const values = static_cast<const T*>(p_.codes.values) + first * s_;
        gather(first, n, atoms, at, system, right);
        solve_lanes<T>(s_, p_.least_pivot, system, right);
        const T* const norms = static_cast<const T*>(p_.inverse_norms);
        for (int64_t j = 0; j < s_; ++j)
            for (int64_t l = 0; l < kLanes; ++l) right[j * kLanes + l] *= norms[at[j * kLanes + l]];
        if constexpr (kFeatures > 0) {
            // The values in the place of the systems.
            for (int64_t l = 0; l < kLanes; ++l)
                for (int64_t j = 0; j < s_; ++j) system[j * kLanes + l] = l < n ? values[l * s_ + j] : T(0);
            finish_lanes(first, n, at, system, right, table, through, residual);
        } else {
            for (int64_t l = 0; l < n; ++l)
                finish(first + l, p_.codes.counts[first + l], l, atoms + l * s_, values + l * s_, right, table, through,
                       residual);
        }
    }

    // The systems of n signals and their right-hand sides; rows that are not in use are those of the identity.
    void gather(int64_t first, int64_t n, const int64_t* atoms, int32_t* at, T* system, T* right) {
        const T* const gram = static_cast<const T*>(p_.gram);
        const T* const norms = static_cast<const T*>(p_.inverse_norms);
        const T* const grad = static_cast<const T*>(p_.grad) + first * s_;
        int32_t counts[kLanes];
        for (int64_t l = 0; l < kLanes; ++l) {
            counts[l] = l < n ? p_.codes.counts[first + l] : 0;
            for (int64_t j = 0; j < s_; ++j) {
                const bool used = j < counts[l];
                at[j * kLanes + l] = used ? static_cast<int32_t>(atoms[l * s_ + j]) : 0;
                right[j * kLanes + l] = used ? grad[l * s_ + j] : T(0);
            }
        }
        const auto size = static_cast<int32_t>(p_.n_atoms);
        for (int64_t i = 0; i < s_; ++i) {
            const int32_t* const of_i = at + i * kLanes;
            for (int64_t j = 0; j < i; ++j) {
                const int32_t* const of_j = at + j * kLanes;
                T* const out = system + (i * s_ + j) * kLanes;
                T product[kLanes];  // nothing else lies there, which the compiler knows
                for (int64_t l = 0; l < kLanes; ++l) product[l] = gram[of_i[l] * size + of_j[l]];
                for (int64_t l = 0; l < kLanes; ++l) out[l] = i < counts[l] ? product[l] : T(0);
            }
            for (int64_t l = 0; l < kLanes; ++l) {
                system[(i * s_ + i) * kLanes + l] = static_cast<T>(1 + p_.ridge);
                right[i * kLanes + l] *= norms[of_i[l]];
            }
        }
    }

    // Few features: each of them for all lanes. Entries that are not in use have weights of zero.
    void finish_lanes(int64_t first, int64_t n, const int32_t* at, const T* values, const T* u, T* table, T* through,
                      T* residual) {
        const T* const dictionary = static_cast<const T*>(p_.dictionary);
        const T* const x = static_cast<const T*>(p_.signals) + first * features_;
        for (int64_t f = 0; f < features_; ++f) {
            Lane into{}, rest{};
            for (int64_t l = 0; l < n; ++l) rest[l] = x[l * features_ + f];
            for (int64_t j = 0; j < s_; ++j) {
                T d[kLanes];
                for (int64_t l = 0; l < kLanes; ++l)
                    d[l] = dictionary[at[j * kLanes + l] * static_cast<int32_t>(features_) + f];
                into += lanes(u + j * kLanes) * lanes(d);
                rest -= lanes(values + j * kLanes) * lanes(d);
            }
            put(through + f * kLanes, into);
            put(residual + f * kLanes, rest);
        }
        if (table)
            for (int64_t j = 0; j < s_; ++j) {
                T add[kFeatures ? kFeatures : 1][kLanes];
                for (int64_t f = 0; f < features_; ++f)
                    put(add[f], lanes(u + j * kLanes) * lanes(residual + f * kLanes) -
                                    lanes(values + j * kLanes) * lanes(through + f * kLanes));
                for (int64_t l = 0; l < n; ++l) {
                    if (j >= p_.codes.counts[first + l]) continue;
                    T* const sum = table + at[j * kLanes + l] * features_;
                    for (int64_t f = 0; f < features_; ++f) sum[f] += add[f][l];
                }
            }
        if (!p_.of_signals) return;
        T* const out = static_cast<T*>(p_.of_signals) + first * features_;
        for (int64_t l = 0; l < n; ++l) {
            const T zero_or_nan = values[l] == values[l] ? T(0) : values[l];
            for (int64_t f = 0; f < features_; ++f) out[l * features_ + f] = through[f * kLanes + l] + zero_or_nan;
        }
    }

    SF_INLINE void finish(int64_t n, int64_t count, int64_t lane, const int64_t* atoms, const T* values, const T* right,
                          T* table, T* through, T* residual) {
        const T* const dictionary = static_cast<const T*>(p_.dictionary);
        const T* const x = static_cast<const T*>(p_.signals) + n * features_;
        for (int64_t f = 0; f < features_; ++f) through[f] = 0, residual[f] = x[f];
        for (int64_t j = 0; j < count; ++j) {
            const T* const d = dictionary + atoms[j] * features_;
            const T u = right[j * kLanes + lane], a = values[j];
            for (int64_t f = 0; f < features_; ++f) through[f] += u * d[f], residual[f] -= a * d[f];
        }
        if (table)
            for (int64_t j = 0; j < count; ++j) {
                T* const sum = table + atoms[j] * features_;
                const T u = right[j * kLanes + lane], a = values[j];
                for (int64_t f = 0; f < features_; ++f) sum[f] += u * residual[f] - a * through[f];
            }
        if (!p_.of_signals) return;
        T* const out = static_cast<T*>(p_.of_signals) + n * features_;
        const T zero_or_nan = values[0] == values[0] ? T(0) : values[0];
        for (int64_t f = 0; f < features_; ++f) out[f] = through[f] + zero_or_nan;
    }

    const SupportGradients& p_;
    Arena arena_;
    int64_t threads_, s_, features_;
    AtomSums<T> sums_;
    int64_t scratch_n_;
    T* scratch_;
    int32_t* atoms_;
};

}  // namespace
}  // namespace sparsefast
