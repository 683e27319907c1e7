// Products of sparse codes and dictionaries, compiled once for each instruction set. What each computes is in
// sparsefast/products.hpp; how sums and systems are organised, in the headers of their classes.
#include "cpu/kernels.hpp"
#include "cpu/products/support.hpp"

namespace sparsefast {
namespace {

// Calls visit(T, features) with the features as a constant where they are few: a loop of three is no loop.
template <typename Visit>
auto with(DType dtype, int64_t n_features, const Visit& visit) {
    struct Few {
        enum { n = 3 };
    };
    struct Many {
        enum { n = 0 };
    };
    if (dtype == DType::float32) return n_features == Few::n ? visit(float{}, Few{}) : visit(float{}, Many{});
    return n_features == Few::n ? visit(double{}, Few{}) : visit(double{}, Many{});
}

// Colours: rows of three are read and written as four, where the fourth is of the next row or of padding, since one
// vector is cheaper than three numbers.
template <typename T>
struct Colours {
    typedef T Four __attribute__((vector_size(4 * sizeof(T)), aligned(sizeof(T)), may_alias));
    static constexpr int64_t most = 256;  // atoms that are copied for that
    static Four read(const T* p) { return *reinterpret_cast<const Four*>(p); }
    static void write(T* p, Four v) { *reinterpret_cast<Four*>(p) = v; }
    static Four read_three(const T* p) { return Four{p[0], p[1], p[2], 0}; }

    static void decode(const ProductProblem& p, int64_t begin, int64_t end) {
        T padded[4 * most];
        const T* const dictionary = static_cast<const T*>(p.rows);
        for (int64_t k = 0; k < p.n_atoms; ++k) write(padded + 4 * k, read_three(dictionary + 3 * k));
        const int64_t s = p.codes.n_nonzero;
        const T* values = static_cast<const T*>(p.codes.values) + begin * s;
        const int64_t* atoms = static_cast<const int64_t*>(p.codes.indices) + begin * s;
        T* out = static_cast<T*>(p.out) + 3 * begin;
        for (int64_t n = begin; n < end; ++n, values += s, atoms += s, out += 3) {
            Four sum{};
            for (int64_t j = 0; j < s; ++j) sum += values[j] * read(padded + 4 * atoms[j]);
            if (n + 1 < end)
                write(out, sum);
            else
                for (int f = 0; f < 3; ++f) out[f] = sum[f];
        }
    }

    static void add(const ProductProblem& p, int64_t begin, int64_t end, T* table) {
        T padded[4 * most] = {};
        const int64_t s = p.codes.n_nonzero;
        const T* values = static_cast<const T*>(p.codes.values) + begin * s;
        const int64_t* atoms = static_cast<const int64_t*>(p.codes.indices) + begin * s;
        const T* x = static_cast<const T*>(p.rows) + 3 * begin;
        for (int64_t n = begin; n < end; ++n, values += s, atoms += s, x += 3) {
            const Four row = n + 1 < end ? read(x) : read_three(x);
            for (int64_t j = 0; j < p.codes.counts[n]; ++j) {
                T* const sum = padded + 4 * atoms[j];
                write(sum, read(sum) + values[j] * row);
            }
        }
        for (int64_t k = 0; k < p.n_atoms; ++k)
            for (int f = 0; f < 3; ++f) table[3 * k + f] += padded[4 * k + f];
    }
};

template <typename T, int kFeatures>
void decode_rows(const ProductProblem& p, int64_t begin, int64_t end) {
    if constexpr (kFeatures == 3)
        if (p.n_atoms <= Colours<T>::most) return Colours<T>::decode(p, begin, end);
    const int64_t features = kFeatures ? kFeatures : p.n_features, s = p.codes.n_nonzero;
    const T* const dictionary = static_cast<const T*>(p.rows);
    for (int64_t n = begin; n < end; ++n) {
        const T* const values = static_cast<const T*>(p.codes.values) + n * s;
        const int64_t* const atoms = static_cast<const int64_t*>(p.codes.indices) + n * s;
        T* const out = static_cast<T*>(p.out) + n * features;
        if constexpr (kFeatures > 0) {
            T sum[kFeatures] = {};
            for (int64_t j = 0; j < s; ++j)
                for (int64_t f = 0; f < features; ++f) sum[f] += values[j] * dictionary[atoms[j] * features + f];
            for (int64_t f = 0; f < features; ++f) out[f] = sum[f];
        } else {
            for (int64_t f = 0; f < features; ++f) out[f] = 0;
            for (int64_t j = 0; j < s; ++j) {
                const T value = values[j];
                const T* const d = dictionary + atoms[j] * features;
                for (int64_t f = 0; f < features; ++f) out[f] += value * d[f];
            }
        }
    }
}

template <typename T, int kFeatures>
void correlate_rows(const ProductProblem& p, int64_t begin, int64_t end) {
    const int64_t features = kFeatures ? kFeatures : p.n_features, s = p.codes.n_nonzero;
    const T* const dictionary = static_cast<const T*>(p.rows);
    constexpr int64_t chains = 16;
    for (int64_t n = begin; n < end; ++n) {
        const int64_t* const atoms = static_cast<const int64_t*>(p.codes.indices) + n * s;
        const T* const x = static_cast<const T*>(p.signals) + n * features;
        T* const out = static_cast<T*>(p.out) + n * s;
        const int64_t count = p.codes.counts[n];
        for (int64_t j = 0; j < count; ++j) {
            const T* const d = dictionary + atoms[j] * features;
            T sum = 0;
            if constexpr (kFeatures > 0) {
                for (int64_t f = 0; f < features; ++f) sum += x[f] * d[f];
            } else {
                // In chains, so that the compiler may keep them in a vector.
                T part[chains] = {};
                int64_t f = 0;
                for (; f + chains <= features; f += chains)
                    for (int64_t c = 0; c < chains; ++c) part[c] += x[f + c] * d[f + c];
                for (int64_t half = chains / 2; half > 0; half /= 2)
                    for (int64_t c = 0; c < half; ++c) part[c] += part[c + half];
                sum = part[0];
                for (; f < features; ++f) sum += x[f] * d[f];
            }
            out[j] = sum;
        }
        for (int64_t j = count; j < s; ++j) out[j] = 0;
    }
}

template <typename T, int kFeatures>
void add_rows(const ProductProblem& p, int64_t begin, int64_t end, T* table) {
    if constexpr (kFeatures == 3)
        if (p.n_atoms <= Colours<T>::most) return Colours<T>::add(p, begin, end, table);
    const int64_t features = kFeatures ? kFeatures : p.n_features, s = p.codes.n_nonzero;
    for (int64_t n = begin; n < end; ++n) {
        const T* const values = static_cast<const T*>(p.codes.values) + n * s;
        const int64_t* const atoms = static_cast<const int64_t*>(p.codes.indices) + n * s;
        const T* const x = static_cast<const T*>(p.rows) + n * features;
        for (int64_t j = 0; j < p.codes.counts[n]; ++j) {
            T* const sum = table + atoms[j] * features;
            const T value = values[j];
            for (int64_t f = 0; f < features; ++f) sum[f] += value * x[f];
        }
    }
}

void decode(const ProductProblem& p, int64_t begin, int64_t end) {
    with(p.dtype, p.n_features,
         [&](auto number, auto features) { decode_rows<decltype(number), decltype(features)::n>(p, begin, end); });
}
void correlate(const ProductProblem& p, int64_t begin, int64_t end) {
    with(p.dtype, p.n_features,
         [&](auto number, auto features) { correlate_rows<decltype(number), decltype(features)::n>(p, begin, end); });
}

int64_t accumulate_bytes(const ProductProblem& p, int) {
    return with(p.dtype, p.n_features, [&](auto number, auto) {
        Arena arena(nullptr);
        AtomSums<decltype(number)>(arena, p.codes.n_signals, p.n_atoms, p.n_features);
        return arena.used();
    });
}
void accumulate_all(const ProductProblem& p, void* workspace, int n_threads) {
    with(p.dtype, p.n_features, [&](auto number, auto features) {
        using T = decltype(number);
        Arena arena(workspace);
        AtomSums<T> sums(arena, p.codes.n_signals, p.n_atoms, p.n_features);
        sums.run(n_threads, static_cast<T*>(p.out), [&](int64_t begin, int64_t end, T* table, int) {
            add_rows<T, decltype(features)::n>(p, begin, end, table);
        });
    });
}

// Without a branch, for vectors: a bad number sets the sign of what is gathered.
bool fit(const SparseCodes& c, int64_t n_atoms) {
    const auto* const indices = static_cast<const uint64_t*>(c.indices);
    const uint64_t last = static_cast<uint64_t>(n_atoms - 1);
    uint64_t bad = 0;
    for (int64_t i = 0; i < c.n_signals * c.n_nonzero; ++i) bad |= indices[i] | (last - indices[i]);
    const auto most = static_cast<uint32_t>(c.n_nonzero);
    uint32_t bad_count = 0;
    for (int64_t n = 0; n < c.n_signals; ++n) {
        const auto count = static_cast<uint32_t>(c.counts[n]);
        bad_count |= count | (most - count);
    }
    return !(bad >> 63) && !(bad_count >> 31);
}

int64_t support_bytes(const SupportGradients& p, int n_threads) {
    return with(p.dtype, p.n_features, [&](auto number, auto features) {
        return Support<decltype(number), decltype(features)::n>(p, nullptr, n_threads).bytes();
    });
}
void support(const SupportGradients& p, void* workspace, int n_threads) {
    with(p.dtype, p.n_features, [&](auto number, auto features) {
        Support<decltype(number), decltype(features)::n>(p, workspace, n_threads).run();
    });
}

}  // namespace

const ProductKernels SF_TABLE(product_kernels_) = {decode,  correlate, accumulate_bytes, accumulate_all, support_bytes,
                                                   support, fit};

}  // namespace sparsefast
