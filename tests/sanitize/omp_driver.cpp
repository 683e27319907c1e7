// Runs the omp family of the native core, without Python, over shapes, strides, types, values, instruction sets and
// thread counts. Built with a sanitizer, it shows that the core reads and writes only what it may; as it is, it checks
// that every output element is written and that results depend neither on threads nor on the split of a batch.
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <memory>
#include <random>
#include <vector>

#include "common/isa.hpp"
#include "sparsefast/omp.hpp"

namespace {

using namespace sparsefast;

int failures = 0;
void check(bool ok, const char* what, const char* where) {
    if (ok) return;
    ++failures;
    std::printf("FAILED %s: %s\n", where, what);
}

struct Buffer {
    std::unique_ptr<void, void (*)(void*)> data{nullptr, std::free};
    explicit Buffer(int64_t bytes)
        : data(std::aligned_alloc(kAlignment, (bytes + kAlignment - 1) / kAlignment * kAlignment), std::free) {}
    void* get() const { return data.get(); }
};

struct Shape {
    int64_t n, features, atoms, nonzero;
};

template <typename T>
struct Result {
    std::vector<T> values;
    std::vector<int64_t> indices;
    std::vector<int32_t> counts;
    std::vector<uint8_t> status;
};

constexpr OmpCoder kCoders[] = {OmpCoder::omp,    OmpCoder::ols,  OmpCoder::positive,
                                OmpCoder::masked, OmpCoder::topk, OmpCoder::iht};

template <typename T>
Result<T> code(OmpProblem p, const T* tol, int64_t tol_stride, int threads, int64_t split) {
    const Matrix& x = p.signals;
    const auto n = static_cast<std::size_t>(x.rows), entries = n * static_cast<std::size_t>(p.n_nonzero);
    Result<T> r{std::vector<T>(entries, T(-77)), std::vector<int64_t>(entries, -7), std::vector<int32_t>(n, -7),
                std::vector<uint8_t>(n, 99)};
    p.tol = tol;
    p.tol_stride = tol_stride;
    p.values = r.values.data();
    p.indices = r.indices.data();
    p.counts = r.counts.data();
    p.status = r.status.data();
    p.index_type = IndexType::int64;
    Buffer workspace(omp_workspace_bytes(p.dictionary, p.coder, x.rows, p.n_nonzero, threads));
    for (int64_t begin = 0; begin < x.rows; begin += split)
        omp(p, begin, begin + split < x.rows ? begin + split : x.rows, workspace.get(), threads);
    return r;
}

// Indices and distances as (values, indices) of a Result.
template <typename T>
Result<T> quantise(const OmpDictionary& d, const void* packed, const Matrix& x, int threads, int64_t split) {
    const auto n = static_cast<std::size_t>(x.rows);
    Result<T> r{std::vector<T>(n, T(-77)), std::vector<int64_t>(n, -7), {}, {}};
    const NearestProblem p{d, packed, x, r.indices.data(), r.values.data(), IndexType::int64};
    Buffer workspace(nearest_workspace_bytes(d, x.rows, threads));
    for (int64_t begin = 0; begin < x.rows; begin += split)
        nearest_code(p, begin, begin + split < x.rows ? begin + split : x.rows, workspace.get(), threads);
    return r;
}

template <typename T>
bool same(const std::vector<T>& a, const std::vector<T>& b) {
    return a.size() == b.size() && (a.empty() || !std::memcmp(a.data(), b.data(), a.size() * sizeof(T)));
}

template <typename T>
void check_coder(const OmpProblem& p, const std::vector<T>& tol, const char* where) {
    const int64_t n_signals = p.signals.rows, s = p.n_nonzero, whole = n_signals > 0 ? n_signals : 1;
    const auto one = code<T>(p, nullptr, 0, 1, whole);
    for (int64_t n = 0; n < n_signals; ++n) {
        check(one.counts[n] >= 0 && one.counts[n] <= s && one.status[n] <= 5, "counts and status", where);
        for (int64_t j = 0; j < s; ++j) {
            const int64_t index = one.indices[n * s + j];
            check(index >= 0 && index < p.dictionary.n_atoms, "an index is written and in range", where);
        }
    }
    if (n_signals > 4) check(one.status[3] == 5 && one.status[4] == 5 && one.status[1] == 3, "special rows", where);
    for (const auto& other : {code<T>(p, nullptr, 0, 4, whole), code<T>(p, nullptr, 0, 1, 5)})
        check(same(one.values, other.values) && same(one.indices, other.indices) && same(one.counts, other.counts) &&
                  same(one.status, other.status),
              "threads and splits give the same bits", where);
    if (p.coder == OmpCoder::topk) return;  // it has no tolerance
    code<T>(p, tol.data(), 1, 2, whole);
    const T everything = std::numeric_limits<T>::infinity();
    const auto nothing = code<T>(p, &everything, 0, 2, whole);
    if (n_signals > 0)
        check(nothing.counts[0] == 0 && nothing.status[0] == 1, "an infinite tolerance selects nothing", where);
}

template <typename T>
void run(const Shape& s, DType dtype, bool give_gram, bool strided, std::mt19937& random) {
    char where[160];
    const int prefix = std::snprintf(where, sizeof where, "%s %s n=%ld F=%ld K=%ld s=%ld gram=%d strided=%d",
                                     isa_name(isa_current()), sizeof(T) == 4 ? "float32" : "float64", long(s.n),
                                     long(s.features), long(s.atoms), long(s.nonzero), give_gram, strided);
    std::normal_distribution<double> normal;
    const int64_t rs = strided ? 1 : s.features, cs = strided ? s.n + 3 : 1;
    std::vector<T> signals(strided ? (s.n + 3) * s.features : s.n * s.features), atoms(s.atoms * s.features);
    for (auto& v : signals) v = static_cast<T>(normal(random));
    for (auto& v : atoms) v = static_cast<T>(normal(random));
    const auto at = [&](int64_t n, int64_t f) -> T& { return signals[n * rs + f * cs]; };
    for (int64_t f = 0; f < s.features && s.n > 4; ++f) at(1, f) = 0, at(2, f) *= std::numeric_limits<T>::max() / 64;
    if (s.n > 4) at(3, s.features - 1) = std::numeric_limits<T>::quiet_NaN();
    if (s.n > 4) at(4, 0) = std::numeric_limits<T>::infinity();
    for (int64_t f = 0; f < s.features && s.atoms > 2; ++f) atoms[2 * s.features + f] = atoms[f];  // a duplicate
    std::vector<T> gram(give_gram ? s.atoms * s.atoms : 0);
    for (int64_t i = 0; give_gram && i < s.atoms; ++i)
        for (int64_t k = 0; k < s.atoms; ++k) {
            double sum = 0;
            for (int64_t f = 0; f < s.features; ++f)
                sum += static_cast<double>(atoms[i * s.features + f]) * atoms[k * s.features + f];
            gram[i * s.atoms + k] = static_cast<T>(sum);
        }
    OmpDictionary d{dtype, s.atoms, s.features, omp_method(s.atoms, s.features, dtype, give_gram)};
    Buffer packed(omp_packed_bytes(d));
    omp_pack_atoms(d, {atoms.data(), s.atoms, s.features, s.features, 1}, packed.get());
    if (d.method == OmpMethod::gram)
        omp_pack_gram(d, {give_gram ? gram.data() : nullptr, s.atoms, s.atoms, s.atoms, 1}, packed.get(), 0, s.atoms,
                      2);
    const Matrix x{signals.data(), s.n, s.features, rs, cs};
    std::vector<uint8_t> mask(s.n * s.features);
    for (int64_t i = 0; i < s.n * s.features; ++i) mask[i] = i < 5 * s.features || random() % 3 != 0;
    std::vector<T> tol(s.n, T(0.5));
    if (s.n > 4) tol[0] = std::numeric_limits<T>::quiet_NaN(), tol[2] = 0;
    for (const OmpCoder coder : kCoders) {
        OmpProblem p{};
        p.coder = coder;
        p.dictionary = d;
        p.packed = packed.get();
        p.signals = x;
        p.n_nonzero = s.nonzero;
        p.mask = {mask.data(), s.n, s.features, s.features, 1};
        p.positive = give_gram;
        p.n_iterations = 5;
        p.step = strided ? 0.25 : 0;
        std::snprintf(where + prefix, sizeof where - prefix, " coder=%d", static_cast<int>(coder));
        check_coder(p, tol, where);
    }
    where[prefix] = 0;
    const int64_t whole = s.n > 0 ? s.n : 1;
    const auto one = quantise<T>(d, packed.get(), x, 1, whole);
    for (int64_t n = 0; n < s.n; ++n)
        check(one.indices[n] >= 0 && one.indices[n] < s.atoms, "an index is written and in range", where);
    if (s.n > 4) check(one.values[3] != one.values[3] && one.values[4] != one.values[4], "special distances", where);
    for (const auto& other : {quantise<T>(d, packed.get(), x, 4, whole), quantise<T>(d, packed.get(), x, 1, 5)})
        check(same(one.values, other.values) && same(one.indices, other.indices),
              "threads and splits give the same bits", where);
}

}  // namespace

int main() {
    const Shape shapes[] = {{0, 5, 7, 2},    {1, 1, 1, 1},      {9, 64, 256, 8},  {70, 49, 250, 9}, {33, 63, 100, 100},
                            {17, 5, 7, 7},   {130, 3, 16, 4},   {40, 2, 3, 3},    {25, 8, 40, 8},   {12, 130, 33, 20},
                            {6, 9, 1025, 5}, {11, 9, 17000, 4}, {65, 16, 17, 17}, {300, 7, 513, 6}};
    std::mt19937 random(20);
    Isa all[3];
    const int n_isas = isa_available(all);
    for (int i = 0; i < n_isas; ++i) {
        isa_force(isa_name(all[i]));
        for (const Shape& shape : shapes)
            for (const bool gram : {false, true})
                for (const bool strided : {false, true}) {
                    if (gram && shape.atoms > 10000) continue;  // a gigabyte, and another method
                    run<float>(shape, DType::float32, gram, strided, random);
                    run<double>(shape, DType::float64, gram, strided, random);
                }
        std::printf("%s: done\n", isa_name(all[i]));
    }
    std::printf(failures ? "%d checks failed\n" : "all checks passed\n", failures);
    return failures != 0;
}
