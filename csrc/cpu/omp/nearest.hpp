// Vector quantisation: the nearest atom of each signal, argmin_k ||x - d_k||, and that distance.
//
// Signals (N, F), codebook (K, F). The largest <x, d_k> - ||d_k||^2 / 2 is the nearest: correlations are made in tiles
// of 64 signals by a chunk of the atoms and consumed in L2. The distance is that of the difference itself, since
// ||x||^2 - 2 <x, d> + ||d||^2 cancels. What bounds it is the GEMM, 2 F K FLOPs a signal.
//
// At most 8 features: a signal a lane, the squared distance to every atom in registers, nothing stored.
#pragma once

#include "cpu/omp/block.hpp"
#include "cpu/omp/lanes.hpp"
#include "cpu/omp/scan.hpp"

namespace sparsefast {
namespace {

template <typename T>
SF_INLINE void write_nearest(const NearestProblem& p, int64_t signal, int64_t index, T distance) {
    if (p.index_type == IndexType::int64)
        static_cast<int64_t*>(p.indices)[signal] = index;
    else
        static_cast<int32_t*>(p.indices)[signal] = static_cast<int32_t>(index);
    static_cast<T*>(p.distances)[signal] = distance;
}

// <x, d> and ||d||^2 / 2, brought to one scale: the signal is 2^a of its copy, the codebook 2^b.
template <typename T>
struct Balance {
    T dot, half;
    Balance(int a, int b) : dot(power_of_two<T>(a < b ? a - b : 0)), half(power_of_two<T>(a < b ? 0 : b - a)) {}
};

template <typename T>
struct Nearness {
    Balance<T> scale;
    const T* half;
    SF_INLINE Vec<T> operator()(Vec<T> c, int64_t at) const { return scale.dot * c - scale.half * load(half + at); }
};

// Squared distances below this, of a signal and a codebook with a largest entry in [1, 2), have lost digits.
template <typename T>
constexpr T kLeastSquare = sizeof(T) == 4 ? T(1e-30) : T(1e-290);

// ||x - d|| of signal n and packed atom k whatever their sizes, entry by entry at the scale of the difference.
template <typename T>
static T distance_between(const NearestProblem& p, const PackedDictionary<T>& d, int64_t n, int64_t k) {
    const T* const x = static_cast<const T*>(p.signals.data) + n * p.signals.row_stride;
    const T* const atom = d.atoms + k * d.ld_atoms;
    const Shift<T> of_atom(static_cast<int>(*d.exponent));
    const auto difference = [&](int64_t f) { return x[f * p.signals.col_stride] - of_atom(atom[f]); };
    T peak = 0, sum = 0;
    for (int64_t f = 0; f < d.n_features; ++f) {
        const T magnitude = difference(f) < 0 ? -difference(f) : difference(f);
        peak = magnitude > peak ? magnitude : peak;
    }
    if (!(peak > 0)) return 0;
    const Shift<T> scale(-exponent_of(peak)), back(exponent_of(peak));
    for (int64_t f = 0; f < d.n_features; ++f) {
        const T part = scale(difference(f));
        sum += part * part;
    }
    return back(static_cast<T>(sizeof(T) == 4 ? __builtin_sqrtf(static_cast<float>(sum)) : __builtin_sqrt(sum)));
}

template <typename T>
class NearestCoder {
   public:
    NearestCoder(const NearestProblem& problem, int64_t max_signals, void* workspace, int64_t* bytes = nullptr)
        : p_(problem),
          d_(problem.codebook, const_cast<void*>(problem.packed)),
          carve_{static_cast<char*>(workspace)},
          block_(problem.codebook, max_signals, false, carve_) {
        best_ = carve_.take<Best<T>>(block_.rows);
        if (bytes) *bytes = carve_.used;
    }

    void code(int64_t begin, int64_t end) {
        for (int64_t n0 = begin; n0 < end; n0 += block_.rows) {
            const int64_t n = smaller(block_.rows, end - n0);
            block_.load_signals(p_.signals, n0, n);
            for (int64_t from = 0; from < d_.n_padded; from += block_.chunk) {
                const int64_t width = block_.correlate_chunk(d_, n, from);
                for (int64_t r = 0; r < n; ++r) {
                    const Best<T> found = best_in(block_.c + r * block_.ld_c, from, width, block_.scale[r]);
                    if (from == 0 || found.value > best_[r].value)
                        best_[r] = {found.value,
                                    found.index < 0 ? found.index : static_cast<Int<T>>(found.index + from)};
                }
            }
            for (int64_t r = 0; r < n; ++r) write(n0 + r, r);
        }
    }

   private:
    Best<T> best_in(const T* c, int64_t from, int64_t width, int exponent) const {
        constexpr int lanes = Lanes<T>::n, V = 4;
        const Nearness<T> key{Balance<T>(exponent, static_cast<int>(*d_.exponent)), d_.half + from};
        LaneMax<T> best{Vec<T>{} - static_cast<T>(__builtin_inff()), IntVec<T>{} - 1};
        int64_t at = 0;
        for (; at + V * lanes <= width; at += V * lanes) {
            Vec<T> part[V];
            for (int v = 0; v < V; ++v) part[v] = load(c + at + v * lanes);
            keep_best<T, V>(part, at, key, best);
        }
        for (; at < width; at += lanes) {
            const Vec<T> part = load(c + at);
            keep_best<T, 1>(&part, at, key, best);
        }
        return reduce<T>(best);
    }

    void write(int64_t signal, int64_t r) const {
        const T norm2 = block_.norm2[r];
        const int64_t i = best_[r].index;
        if (norm2 - norm2 != 0 || i < 0) return write_nearest<T>(p_, signal, 0, static_cast<T>(__builtin_nanf("")));
        const int a = block_.scale[r], b = static_cast<int>(*d_.exponent), most = a > b ? a : b;
        const Vec<T> of_signal = broadcast(power_of_two<T>(a - most)), of_atom = broadcast(power_of_two<T>(b - most));
        const T *const x = block_.x + r * block_.ld_x, *const d = d_.atoms + i * d_.ld_atoms;
        Vec<T> sum = {};
        for (int64_t f = 0; f < block_.ld_x; f += Lanes<T>::n) {
            const Vec<T> e = of_signal * load(x + f) - of_atom * load(d + f);
            sum += e * e;
        }
        Vec<T> root = {};
        root[0] = sum_of_lanes<T>(sum);
        if (root[0] < kLeastSquare<T>) return write_nearest<T>(p_, signal, i, distance_between(p_, d_, signal, i));
        write_nearest<T>(p_, signal, i, Shift<T>(most)(square_root<T>(root)[0]));
    }

    const NearestProblem& p_;
    const PackedDictionary<T> d_;
    Carver carve_;
    Block<T> block_;
    Best<T>* best_;
};

// One feature count of the small form.
template <typename T, int F>
static void nearest_small(const NearestProblem& p, int64_t begin, int64_t end) {
    using V = Vec<T>;
    using I = IntVec<T>;
    constexpr int lanes = Lanes<T>::n;
    const PackedDictionary<T> d(p.codebook, const_cast<void*>(p.packed));
    const int dictionary = static_cast<int>(*d.exponent);
    for (int64_t at = begin; at < end; at += lanes) {
        const int n = static_cast<int>(smaller(lanes, end - at));
        V x[F];
        read_lanes<T, F>(p.signals, at, n, x);
        V peak = {}, taint = {};
        for (int f = 0; f < F; ++f) {
            const V a = absolute<T>(x[f]);
            peak = a > peak ? a : peak;
            taint += x[f] * 0;
        }
        // To the scale of the larger of signal and codebook, at which no square overflows.
        T of_signal[lanes], more[lanes], of_atoms[lanes], back[lanes], further[lanes];
        for (int l = 0; l < lanes; ++l) {
            const int own = peak[l] > 0 ? exponent_of(static_cast<T>(peak[l])) : dictionary;
            const int most = own > dictionary ? own : dictionary;
            const Shift<T> to(-most), from(most);
            of_signal[l] = to.half, more[l] = to.rest, back[l] = from.half, further[l] = from.rest;
            of_atoms[l] = power_of_two<T>(dictionary - most);
        }
        const V scale = load(of_signal), rest = load(more), atoms_scale = load(of_atoms);
        for (int f = 0; f < F; ++f) x[f] = x[f] * scale * rest;
        V least = V{} + static_cast<T>(__builtin_inff());
        I index = I{} - 1, k = {};
        for (int64_t a = 0; a < d.n_atoms; ++a, k += 1) {
            const T* const atom = d.atoms + a * d.ld_atoms;
            V sum = {};
            for (int f = 0; f < F; ++f) {
                const V e = x[f] - atoms_scale * broadcast(atom[f]);
                sum += e * e;
            }
            const I nearer = (sum < least) & (d.half[a] < static_cast<T>(__builtin_inff()) ? I{} - 1 : I{});
            least = nearer ? sum : least;
            index = nearer ? k : index;
        }
        const I known = (taint == 0) & (index >= 0);
        const V root = square_root<T>(known ? least : V{}) * load(back) * load(further);
        const V distance = known ? root : V{} + static_cast<T>(__builtin_nanf(""));
        for (int l = 0; l < n; ++l) write_nearest<T>(p, at + l, known[l] ? index[l] : 0, distance[l]);
        const I lost = known & (least < kLeastSquare<T>);
        if (!any<T>(lost)) continue;
        for (int l = 0; l < n; ++l)
            if (lost[l]) write_nearest<T>(p, at + l, index[l], distance_between(p, d, at + l, index[l]));
    }
}

template <typename T>
static void nearest_small(const NearestProblem& p, int64_t begin, int64_t end) {
    switch (p.codebook.n_features) {
        case 1: return nearest_small<T, 1>(p, begin, end);
        case 2: return nearest_small<T, 2>(p, begin, end);
        case 3: return nearest_small<T, 3>(p, begin, end);
        case 4: return nearest_small<T, 4>(p, begin, end);
        case 5: return nearest_small<T, 5>(p, begin, end);
        case 6: return nearest_small<T, 6>(p, begin, end);
        case 7: return nearest_small<T, 7>(p, begin, end);
        default: return nearest_small<T, 8>(p, begin, end);
    }
}

}  // namespace
}  // namespace sparsefast
