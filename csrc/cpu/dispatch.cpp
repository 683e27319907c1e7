// The public functions of the native core on the CPU: pick the instruction set, split the work among threads.
#include "common/parallel.hpp"
#include "cpu/kernels.hpp"
#include "sparsefast/omp.hpp"

namespace sparsefast {
namespace {

const CpuKernels& kernels() {
    switch (isa_current()) {
#if defined(SPARSEFAST_HAVE_V4)
        case Isa::v4: return cpu_kernels_v4;
#endif
#if defined(SPARSEFAST_HAVE_V3)
        case Isa::v3: return cpu_kernels_v3;
#endif
        default: return cpu_kernels_baseline;
    }
}

constexpr int64_t kSmallFeatures = 8;
constexpr int64_t kRowsAGroup = 8;  // signals in the lanes of a kernel: a multiple leaves none empty
constexpr int64_t kMaxGramBytes = int64_t(1) << 30;

}  // namespace

OmpMethod omp_method(int64_t n_atoms, int64_t n_features, DType dtype, bool gram_given) {
    if (n_features <= kSmallFeatures) return OmpMethod::small;
    const int64_t size = dtype == DType::float32 ? 4 : 8;
    if (gram_given || n_atoms * n_atoms <= kMaxGramBytes / size) return OmpMethod::gram;
    return OmpMethod::residual;
}

int64_t omp_packed_bytes(const OmpDictionary& dictionary) { return kernels().omp_packed_bytes(dictionary); }

void omp_pack_atoms(const OmpDictionary& dictionary, const Matrix& atoms, void* packed) {
    kernels().omp_pack_atoms(dictionary, atoms, packed);
}

void omp_pack_gram(const OmpDictionary& dictionary, const Matrix& gram, void* packed, int64_t begin, int64_t end,
                   int n_threads) {
    const CpuKernels& k = kernels();
    parallel_tasks((end - begin + kGramRows - 1) / kGramRows, n_threads, [&](int64_t task, int) {
        const int64_t from = begin + task * kGramRows, to = from + kGramRows < end ? from + kGramRows : end;
        k.omp_pack_gram(dictionary, gram, packed, from, to);
    });
}

int64_t omp_workspace_bytes(const OmpDictionary& dictionary, int64_t n_signals, int64_t n_nonzero, int n_threads) {
    return kernels().omp_scratch_bytes(dictionary, n_signals, n_nonzero) * (n_threads > 1 ? n_threads : 1);
}

void omp(const OmpProblem& problem, int64_t begin, int64_t end, void* workspace, int n_threads) {
    const CpuKernels& k = kernels();
    const int64_t n_signals = problem.signals.rows;
    const int64_t per_thread = k.omp_scratch_bytes(problem.dictionary, n_signals, problem.n_nonzero);
    // Whole blocks, small enough that the threads end together; less than a block where there are not enough of them.
    const int64_t rows = k.omp_block_rows(problem.dictionary, n_signals), n = end - begin;
    const int64_t threads = n_threads > 1 ? n_threads : 1;
    const int64_t share = ((n + threads - 1) / threads + kRowsAGroup - 1) / kRowsAGroup * kRowsAGroup;
    int64_t step = n / (64 * threads) / rows * rows;
    if (step < rows) step = share < rows ? share : rows;
    parallel_tasks((end - begin + step - 1) / step, n_threads, [&](int64_t task, int thread) {
        const int64_t from = begin + task * step, to = from + step < end ? from + step : end;
        k.omp_range(problem, from, to, n_signals, static_cast<char*>(workspace) + thread * per_thread);
    });
}

int64_t omp_flops(const OmpDictionary& d, int64_t n_nonzero) {
    const int64_t rank = d.n_features < d.n_atoms ? d.n_features : d.n_atoms;
    const int64_t s = n_nonzero < rank ? n_nonzero : rank;
    const int64_t gemm = 2 * d.n_features * d.n_atoms;
    const int64_t algebra = s * s * s;
    if (d.method == OmpMethod::gram) return gemm + s * s * d.n_atoms + algebra;
    return s * gemm + algebra;
}

}  // namespace sparsefast
