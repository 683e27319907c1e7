// Runs the products of sparse codes and the dictionary bottleneck of the native core, without Python, over shapes,
// types, values, instruction sets and thread counts. Built with a sanitizer, it shows that the core reads and writes
// only what it may; as it is, it checks that every output element is written, and that results do not depend on
// threads.
#include "sparsefast/products.hpp"

#include <cmath>

#include "common/isa.hpp"
#include "ksvd_problem.hpp"
#include "sparsefast/bottleneck.hpp"

namespace {

using namespace sparsefast;
using namespace sparsefast::ksvd_driver;

int failures = 0, calls = 0;

void check(bool ok, const char* what, const Shape& s) {
    if (ok) return;
    ++failures;
    std::printf("FAILED %s: %s n=%ld F=%ld K=%ld s=%ld\n", isa_name(isa_current()), what, long(s.n), long(s.features),
                long(s.atoms), long(s.nonzero));
}

// The outputs of `call(threads, out)`: the same whatever was there, with one thread or several.
template <typename Call>
void same(const Shape& s, const char* what, const Call& call) {
    Written first(0x5a), other(0xa5);
    call(1, first);
    call(3, other);
    calls += 2;
    check(first == other, what, s);
}

// Unit atoms, their Gram matrix and the inverses of their norms.
template <typename T>
struct Unit {
    std::vector<T> atoms, gram, inverse_norms;
    explicit Unit(const Problem<T>& p) : atoms(p.dictionary), gram(p.shape.atoms * p.shape.atoms) {
        const int64_t k = p.shape.atoms, f = p.shape.features;
        for (int64_t i = 0; i < k; ++i) {
            double norm2 = 0;
            for (int64_t j = 0; j < f; ++j) norm2 += double(atoms[i * f + j]) * double(atoms[i * f + j]);
            inverse_norms.push_back(static_cast<T>(1 / std::sqrt(norm2)));
            for (int64_t j = 0; j < f; ++j) atoms[i * f + j] *= inverse_norms[i];
        }
        for (int64_t i = 0; i < k * k; ++i)
            for (int64_t j = 0; j < f; ++j) gram[i] += atoms[i / k * f + j] * atoms[i % k * f + j];
    }
};

template <typename T>
void products(const Problem<T>& p, const Unit<T>& unit) {
    const Shape& s = p.shape;
    check(codes_fit(p.codes(), s.atoms), "good codes are refused", s);
    same(s, "decode, correlate, accumulate", [&](int threads, Written& out) {
        ProductProblem q{p.dtype(), p.codes(), p.dictionary.data(), p.signals.data(), s.atoms, s.features, nullptr};
        const int64_t split = threads > 1 ? 7 : s.n + 1;
        q.out = out.take<T>(s.n * s.features);
        for (int64_t at = 0; at < s.n; at += split) decode_range(q, at, at + split < s.n ? at + split : s.n);
        q.out = out.take<T>(s.n * s.nonzero);
        for (int64_t at = 0; at < s.n; at += split) correlate_range(q, at, at + split < s.n ? at + split : s.n);
        q.rows = p.signals.data();
        q.out = out.take<T>(s.atoms * s.features);
        const Buffer workspace(accumulate_workspace_bytes(q, threads));
        accumulate(q, workspace.get(), threads);
    });
    if (!s.nonzero) return;
    for (const int wanted : {1, 2, 3})
        same(s, "support_gradients", [&](int threads, Written& out) {
            SupportGradients q{p.dtype(),
                               p.codes(),
                               p.values.data(),
                               p.signals.data(),
                               p.dictionary.data(),
                               unit.gram.data(),
                               unit.inverse_norms.data(),
                               s.atoms,
                               s.features,
                               1e-6,
                               1e-6,
                               wanted & 1 ? out.take<T>(s.n * s.features) : nullptr,
                               wanted & 2 ? out.take<T>(s.atoms * s.features) : nullptr};
            const Buffer workspace(support_gradients_workspace_bytes(q, threads));
            support_gradients(q, workspace.get(), threads);
        });
    Problem<T> bad = p;
    if (!s.n) return;
    bad.indices.back() = s.atoms;
    check(!codes_fit(bad.codes(), s.atoms), "an atom that is not there is not found", s);
    bad.indices.back() = -1;
    check(!codes_fit(bad.codes(), s.atoms), "an index below zero is not found", s);
    bad = p;
    bad.counts.back() = static_cast<int32_t>(s.nonzero + 1);
    check(!codes_fit(bad.codes(), s.atoms), "a count too large is not found", s);
}

template <typename T>
void layer(const Problem<T>& p, const Unit<T>& unit, bool planes) {
    const Shape& s = p.shape;
    if (!s.nonzero) return;
    const int64_t images = planes && s.n % 3 == 0 ? 3 : 1;
    const Places places{images, s.n / images, s.features, planes};
    const OmpDictionary dictionary{p.dtype(), s.atoms, s.features, omp_method(s.atoms, s.features, p.dtype(), false)};
    const Buffer packed(omp_packed_bytes(dictionary));
    omp_pack_atoms(dictionary, p.d(), packed.get());
    if (dictionary.method == OmpMethod::gram) omp_pack_gram(dictionary, Matrix{}, packed.get(), 0, s.atoms, 1);
    for (const int wanted : {0, 1, 2})
        same(s, "bottleneck", [&](int threads, Written& out) {
            BottleneckProblem b{};
            b.dictionary = dictionary;
            b.packed = packed.get();
            b.atoms = p.dictionary.data();
            b.places = places;
            b.latent = p.signals.data();
            b.n_nonzero = s.nonzero;
            b.values = out.take<T>(s.n * s.nonzero);
            b.indices = out.take<int64_t>(s.n * s.nonzero);
            b.counts = out.take<int32_t>(s.n);
            b.status = out.take<uint8_t>(s.n);
            b.reconstruction = out.take<T>(s.n * s.features);
            b.residual = wanted > 0 ? out.take<T>(s.n * s.features) : nullptr;
            b.sums = wanted > 1 ? out.take<T>(s.atoms * s.features) : nullptr;
            b.error = out.take<double>(1);
            b.usage = out.take<int64_t>(s.atoms);
            const Buffer workspace(bottleneck_workspace_bytes(b, threads));
            bottleneck(b, workspace.get(), threads);
        });
    for (const bool implicit : {false, true})
        for (const int given : {1, 2, 3})
            for (const int wanted : {1, 2, 3})
                same(s, "bottleneck_gradients", [&](int threads, Written& out) {
                    BottleneckGradients g{};
                    g.dtype = p.dtype();
                    g.places = places;
                    g.codes = p.codes();
                    g.n_atoms = s.atoms;
                    g.implicit = implicit;
                    g.grad = given & 1 ? p.signals.data() : nullptr;
                    g.grad_values = implicit && given & 2 ? p.values.data() : nullptr;
                    g.residual = implicit || given & 2 ? p.signals.data() : nullptr;
                    g.atoms = p.dictionary.data();
                    g.unit_atoms = unit.atoms.data();
                    g.inverse_norms = given & 1 ? unit.inverse_norms.data() : nullptr;
                    g.to_signals = g.residual ? 0.5 : 0;
                    g.to_atoms = -0.25;
                    g.ridge = g.least_pivot = 1e-6;
                    g.of_signals = wanted & 1 ? out.take<T>(s.n * s.features) : nullptr;
                    g.of_dictionary = implicit && wanted & 2 ? out.take<T>(s.atoms * s.features) : nullptr;
                    const Buffer workspace(bottleneck_gradients_workspace_bytes(g, threads));
                    bottleneck_gradients(g, workspace.get(), threads);
                    unit_norm_gradients(p.dtype(), p.dictionary.data(), unit.atoms.data(), 2, s.atoms, s.features,
                                        out.take<T>(s.atoms * s.features));
                });
}

template <typename T>
void run(const Shape& s) {
    const Problem<T> p(s, false, Codes::good, 1);
    const Unit<T> unit(p);
    products(p, unit);
    for (const bool planes : {false, true}) layer(p, unit, planes);
}

}  // namespace

int main() {
    const Shape shapes[] = {{0, 5, 7, 2},    {1, 1, 1, 1},     {9, 3, 16, 4},   {45, 3, 16, 3},   {33, 3, 300, 2},
                            {50, 3, 5, 1},   {37, 7, 33, 9},   {60, 17, 5, 0},  {201, 64, 20, 5}, {90, 100, 6, 3},
                            {40, 131, 9, 4}, {2502, 3, 40, 3}, {2500, 9, 12, 2}};  // several blocks
    Isa isas[3];
    int n_isas = isa_available(isas);
#if defined(__SANITIZE_THREAD__)
    n_isas = 1;  // it is slow, and threads are the same for all
#endif
    for (int i = 0; i < n_isas; ++i) {
        isa_force(isa_name(isas[i]));
        for (const Shape& s : shapes) {
            run<float>(s);
            run<double>(s);
        }
    }
    std::printf("products: %d calls, %d checks failed\n", calls, failures);
    return failures != 0;
}
