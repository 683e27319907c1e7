// Signals, a dictionary and codes in buffers of just their size, with rows and entries of every kind, for the drivers
// of the ksvd family on a CPU and on an emulated device.
#pragma once

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <memory>
#include <random>
#include <vector>

#include "sparsefast/ksvd.hpp"

namespace sparsefast {
namespace ksvd_driver {

struct Buffer {
    std::unique_ptr<void, void (*)(void*)> data{nullptr, std::free};
    explicit Buffer(int64_t bytes)
        : data(bytes ? std::aligned_alloc(kAlignment, (bytes + kAlignment - 1) / kAlignment * kAlignment) : nullptr,
               std::free) {}
    void* get() const { return data.get(); }
};

struct Shape {
    int64_t n, features, atoms, nonzero;
};

// Entries that name no atom, and counts that are none, are for devices alone.
enum class Codes { good, bad };

template <typename T>
struct Problem {
    Shape shape;
    bool strided;
    std::vector<T> signals, dictionary, values;
    std::vector<int64_t> indices;
    std::vector<int32_t> counts;

    Problem(const Shape& s, bool strided, Codes codes, unsigned seed)
        : shape(s),
          strided(strided),
          signals(s.n * s.features),
          dictionary(s.atoms * s.features),
          values(s.n * s.nonzero),
          indices(s.n * s.nonzero),
          counts(s.n) {
        std::mt19937 random(seed);
        std::normal_distribution<double> normal;
        for (T& v : signals) v = static_cast<T>(normal(random));
        for (T& v : dictionary) v = static_cast<T>(normal(random));
        for (T& v : values) v = static_cast<T>(normal(random));
        const int64_t most = s.nonzero < s.atoms ? s.nonzero : s.atoms;
        for (int64_t n = 0; n < s.n; ++n) {
            counts[n] = static_cast<int32_t>(random() % (most + 1));
            const int64_t first = random() % s.atoms;
            for (int64_t i = 0; i < s.nonzero; ++i) indices[n * s.nonzero + i] = (first + i) % s.atoms;
        }
        if (s.n > 8) {
            signals[s.features] = std::numeric_limits<T>::quiet_NaN();
            signals[2 * s.features] = std::numeric_limits<T>::max();
            for (int64_t f = 0; f < s.features; ++f) signals[3 * s.features + f] = 0;
            if (codes == Codes::bad) {
                counts[4] = -1, counts[5] = static_cast<int32_t>(s.nonzero + 1), counts[6] = counts[7] = most;
                if (s.nonzero) indices[6 * s.nonzero] = s.atoms, indices[7 * s.nonzero] = -1;
            }
        }
        // An atom of coefficients that are zero: with exact its longest row is the start.
        for (int64_t i = 0; i < s.n * s.nonzero; ++i)
            if (indices[i] == s.atoms - 1) values[i] = 0;
    }

    DType dtype() const { return sizeof(T) == 4 ? DType::float32 : DType::float64; }
    Matrix x() const {
        return strided ? Matrix{signals.data(), shape.n, shape.features, 1, shape.n}
                       : Matrix{signals.data(), shape.n, shape.features, shape.features, 1};
    }
    Matrix d() const { return {dictionary.data(), shape.atoms, shape.features, shape.features, 1}; }
    SparseCodes codes() const {
        return {values.data(), indices.data(), counts.data(), shape.n, shape.nonzero, IndexType::int64};
    }
};

// What a call wrote, as bytes, over others that say nothing.
class Written {
   public:
    explicit Written(unsigned char before) : before_(before) {}
    template <typename T>
    T* take(int64_t n) {
        parts_.emplace_back(n * sizeof(T), before_);
        return reinterpret_cast<T*>(parts_.back().data());
    }
    bool operator==(const Written& other) const { return parts_ == other.parts_; }

   private:
    unsigned char before_;
    std::vector<std::vector<unsigned char>> parts_;
};

template <typename T>
KsvdProblem update_of(const Problem<T>& p, KsvdMethod method, bool parallel, Written& out) {
    const Shape& s = p.shape;
    KsvdProblem k{p.dtype(), method, parallel, p.x(), p.d(), p.codes(), nullptr, nullptr, nullptr, nullptr};
    k.atoms = out.take<T>(s.atoms * s.features);
    k.coefficients = out.take<T>(s.n * s.nonzero);
    k.errors = out.take<T>(s.n);
    k.usage = out.take<int64_t>(s.atoms);
    return k;
}

template <typename T>
StatsProblem stats_of(const Problem<T>& p, Written& out) {
    const Shape& s = p.shape;
    const auto zeros = [&](int64_t n) {
        double* const sums = out.take<double>(n);
        for (int64_t i = 0; i < n; ++i) sums[i] = 0;
        return sums;
    };
    double* const a = zeros(s.atoms * s.atoms);
    double* const b = zeros(s.atoms * s.features);
    double* const usage = zeros(s.atoms);
    return {p.dtype(), p.x(), p.codes(), s.atoms, a, b, usage, zeros(2)};
}

template <typename T>
OnlineProblem online_of(const Problem<T>& p, const StatsProblem& stats, bool sphere, Written& out) {
    return {p.dtype(), stats.a, stats.b, p.d(), out.take<T>(p.shape.atoms * p.shape.features), 2, sphere};
}

}  // namespace ksvd_driver
}  // namespace sparsefast
