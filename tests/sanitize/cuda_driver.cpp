// Runs the CUDA kernels of the omp family on the emulated device, without Python, over shapes, types, values, memory
// and orders of threads, in buffers of just the size that is asked for. Built with sanitizers, it shows that the
// kernels read and write only what they may; as it is, it checks that every output element is written, and that no
// order of threads and no place of the arrays changes a result.
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <memory>
#include <random>
#include <vector>

#include "cuda/emulation/launch.hpp"
#include "cuda_ksvd.hpp"
#include "cuda_patches.hpp"
#include "sparsefast/omp_cuda.hpp"
#include "sparsefast/products_cuda.hpp"

namespace {

using namespace sparsefast;
using emulation::Order;

constexpr CudaQueue kQueue{0, nullptr};
constexpr int64_t kShared = 227 << 10;
int failures = 0, calls = 0;

void check(bool ok, const char* what) {
    if (ok) return;
    ++failures;
    std::printf("FAILED %s\n", what);
}
void launched(const char* error) {
    ++calls;
    check(!error, error ? error : "");
}

struct Buffer {
    std::unique_ptr<void, void (*)(void*)> data{nullptr, std::free};
    explicit Buffer(int64_t bytes) : data(bytes ? std::aligned_alloc(kAlignment, bytes) : nullptr, std::free) {}
    void* get() const { return data.get(); }
};

struct Shape {
    int64_t n, features, atoms, nonzero;
};

template <typename T>
struct Code {
    std::vector<T> values;
    std::vector<int32_t> indices;
    std::vector<int32_t> counts;
    std::vector<uint8_t> status;

    Code(int64_t n, int64_t s) : values(n * s, T(-77)), indices(n * s, -7), counts(n, -7), status(n, 99) {}
    bool written() const {
        for (const T v : values)
            if (v == T(-77)) return false;
        for (const int32_t i : indices)
            if (i < 0) return false;
        for (const int32_t c : counts)
            if (c < 0) return false;
        for (const uint8_t s : status)
            if (s > 5) return false;
        return true;
    }
    bool operator==(const Code& other) const {
        return indices == other.indices && counts == other.counts && status == other.status;
    }
};

template <typename T>
struct Problem {
    Shape shape;
    std::vector<T> signals, atoms, tol;
    std::vector<unsigned char> mask;
    OmpDictionary dictionary{};
    Buffer packed;

    Problem(const Shape& s, bool with_gram, unsigned seed)
        : shape(s),
          signals(s.n * s.features),
          atoms(s.atoms * s.features),
          tol(s.n),
          mask(s.n * s.features),
          packed(0) {
        std::mt19937 random(seed);
        std::normal_distribution<T> normal;
        for (T& v : signals) v = normal(random);
        for (T& v : atoms) v = normal(random);
        for (T& v : tol) v = std::fabs(normal(random));
        for (unsigned char& m : mask) m = random() % 4 > 0;
        if (s.n > 3) {
            signals[s.features] = std::numeric_limits<T>::quiet_NaN();
            for (int64_t f = 0; f < s.features; ++f) signals[2 * s.features + f] = 0;
            signals[3 * s.features] = std::numeric_limits<T>::max();
        }
        if (s.atoms > 3) atoms[2 * s.features] = std::numeric_limits<T>::infinity();
        dictionary.dtype = sizeof(T) == 4 ? DType::float32 : DType::float64;
        dictionary.n_atoms = s.atoms;
        dictionary.n_features = s.features;
        dictionary.method =
            with_gram ? cuda_omp_method(s.atoms, s.features, dictionary.dtype, false) : OmpMethod::residual;
        packed = Buffer(cuda_omp_packed_bytes(dictionary));
        const Matrix d{atoms.data(), s.atoms, s.features, s.features, 1};
        launched(cuda_omp_pack(dictionary, d, Matrix{}, packed.get(), kQueue));
    }

    Matrix x() const { return {signals.data(), shape.n, shape.features, shape.features, 1}; }

    Code<T> code(OmpCoder coder, bool with_tol) const {
        Code<T> out(shape.n, shape.nonzero);
        OmpProblem p{};
        p.coder = coder;
        p.dictionary = dictionary;
        p.packed = packed.get();
        p.signals = x();
        p.n_nonzero = shape.nonzero;
        p.tol = with_tol ? tol.data() : nullptr;
        p.tol_stride = 1;
        p.values = out.values.data();
        p.indices = out.indices.data();
        p.counts = out.counts.data();
        p.status = out.status.data();
        p.index_type = IndexType::int32;
        p.mask = {mask.data(), shape.n, shape.features, shape.features, 1};
        const Buffer workspace(cuda_omp_workspace_bytes(p, kQueue));
        launched(cuda_omp(p, workspace.get(), kQueue));
        return out;
    }

    void nearest() const {
        std::vector<T> distances(shape.n, T(-77));
        std::vector<int64_t> indices(shape.n, -7);
        launched(cuda_nearest_code({dictionary, packed.get(), x(), indices.data(), distances.data(), IndexType::int64},
                                   kQueue));
        for (int64_t n = 0; n < shape.n; ++n)
            check(indices[n] >= 0 && distances[n] != T(-77), "an output of nearest_code was not written");
    }

    void support(const Code<T>& code) const {
        const std::vector<int64_t> indices(code.indices.begin(), code.indices.end());
        const std::vector<T> grad(code.values.size(), T(1));
        std::vector<T> solved(grad.size(), T(-77)), through(shape.n * shape.features, T(-77)), finite = atoms;
        for (T& v : finite)
            if (!(v - v == 0)) v = 0;
        SupportProblem p{};
        p.dtype = dictionary.dtype;
        p.atoms = {finite.data(), shape.atoms, shape.features, shape.features, 1};
        p.mask = {mask.data(), shape.n, shape.features, shape.features, 1};
        p.grad = grad.data();
        p.indices = indices.data();
        p.counts = code.counts.data();
        p.solved = solved.data();
        p.through = through.data();
        p.n_signals = shape.n;
        p.n_nonzero = shape.nonzero;
        launched(cuda_support_solve(p, kQueue));
        for (const T v : through) check(v != T(-77), "an output of the systems was not written");
    }

    void products(const Code<T>& code) const {
        const std::vector<int64_t> indices(code.indices.begin(), code.indices.end());
        std::vector<T> decoded(shape.n * shape.features, T(-77)), found(code.values.size(), T(-77));
        std::vector<T> sums(shape.atoms * shape.features, T(-77));
        CudaProduct p{};
        p.dtype = dictionary.dtype;
        p.codes = {code.values.data(), indices.data(), code.counts.data(), shape.n, shape.nonzero, IndexType::int64};
        p.rows = {atoms.data(), shape.atoms, shape.features, shape.features, 1};
        p.signals = x();
        p.n_atoms = shape.atoms;
        p.out = decoded.data();
        launched(cuda_decode(p, kQueue));
        p.out = found.data();
        launched(cuda_correlate(p, kQueue));
        p.rows = p.less_rows = x();
        p.less_values = code.values.data();
        p.out = sums.data();
        const Buffer workspace(cuda_accumulate_workspace_bytes(p));
        launched(cuda_accumulate(p, workspace.get(), kQueue));
        for (const std::vector<T>* out : {&decoded, &found, &sums})
            for (const T v : *out) check(v != T(-77), "an output of the products was not written");
    }
};

template <typename T>
void run(const Shape& shape, bool with_gram) {
    const Problem<T> p(shape, with_gram, 1);
    for (const OmpCoder coder : {OmpCoder::omp, OmpCoder::ols, OmpCoder::masked, OmpCoder::topk}) {
        for (const bool with_tol : {false, true}) {
            emulation::set_order(Order::forward);
            const Code<T> first = p.code(coder, with_tol);
            check(first.written(), "an output of a coder was not written");
            if (coder == OmpCoder::omp && !with_tol) {
                p.support(first);
                p.products(first);
            }
            for (const Order order : {Order::reversed, Order::shuffled}) {
                emulation::set_order(order, 7);
                check(p.code(coder, with_tol) == first, "the order of threads changed a result");
            }
            // Less than any device has; the form for few features counts on more.
            emulation::set_shared_memory(p.dictionary.method == OmpMethod::small ? 33 << 10 : 5 << 10);
            check(p.code(coder, with_tol) == first, "where arrays lie changed a result");
            emulation::set_shared_memory(kShared);
        }
    }
    p.nearest();
}

}  // namespace

int main() {
    const Shape shapes[] = {{0, 5, 7, 2},   {1, 1, 1, 1},    {9, 3, 16, 4},   {37, 7, 33, 9},
                            {5, 8, 301, 3}, {33, 9, 35, 12}, {10, 17, 70, 5}, {6, 21, 530, 4}};
    for (const Shape& shape : shapes)
        for (const bool with_gram : {true, false}) {
            run<float>(shape, with_gram);
            run<double>(shape, with_gram);
        }
    std::printf("CUDA kernels on the emulated device: %d launches, %d failures\n", calls, failures);
    return failures + run_cuda_patches() + run_cuda_ksvd() != 0;
}
