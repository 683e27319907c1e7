// The public functions of the omp family on the CPU: pick the instruction set, split the work among threads.
#include "common/parallel.hpp"
#include "cpu/kernels.hpp"
#include "sparsefast/omp.hpp"

namespace sparsefast {
namespace {

const OmpKernels& kernels() { SF_SELECT(omp_kernels_) }
const CoderKernels& coders() { SF_SELECT(coder_kernels_) }

bool in_groups(OmpCoder coder) { return coder == OmpCoder::omp || coder == OmpCoder::ols || coder == OmpCoder::masked; }

int64_t scratch_bytes(const OmpDictionary& d, OmpCoder coder, int64_t n_signals, int64_t n_nonzero) {
    const auto bytes = in_groups(coder) ? kernels().scratch_bytes : coders().scratch_bytes;
    return bytes(d, coder, n_signals, n_nonzero);
}

constexpr int64_t kSmallFeatures = 8;
constexpr int64_t kRowsAGroup = 8;  // signals in the lanes of a kernel: a multiple leaves none empty
constexpr int64_t kMaxGramBytes = int64_t(1) << 30;

// Whole blocks, small enough that the threads end together; less than a block where there are not enough of them.
int64_t rows_a_task(const OmpDictionary& dictionary, int64_t n_signals, int64_t n, int n_threads) {
    const int64_t rows = kernels().block_rows(dictionary, n_signals), threads = n_threads > 1 ? n_threads : 1;
    const int64_t share = ((n + threads - 1) / threads + kRowsAGroup - 1) / kRowsAGroup * kRowsAGroup;
    const int64_t step = n / (64 * threads) / rows * rows;
    return step >= rows ? step : share < rows ? share : rows;
}

}  // namespace

OmpMethod omp_method(int64_t n_atoms, int64_t n_features, DType dtype, bool gram_given) {
    if (n_features <= kSmallFeatures) return OmpMethod::small;
    const int64_t size = dtype == DType::float32 ? 4 : 8;
    if (gram_given || n_atoms * n_atoms <= kMaxGramBytes / size) return OmpMethod::gram;
    return OmpMethod::residual;
}

int64_t omp_packed_bytes(const OmpDictionary& dictionary) { return kernels().packed_bytes(dictionary); }

void omp_pack_atoms(const OmpDictionary& dictionary, const Matrix& atoms, void* packed) {
    kernels().pack_atoms(dictionary, atoms, packed);
}

void omp_pack_gram(const OmpDictionary& dictionary, const Matrix& gram, void* packed, int64_t begin, int64_t end,
                   int n_threads) {
    const OmpKernels& k = kernels();
    parallel_tasks((end - begin + kGramRows - 1) / kGramRows, n_threads, [&](int64_t task, int) {
        const int64_t from = begin + task * kGramRows, to = from + kGramRows < end ? from + kGramRows : end;
        k.pack_gram(dictionary, gram, packed, from, to);
    });
}

int64_t omp_workspace_bytes(const OmpDictionary& dictionary, OmpCoder coder, int64_t n_signals, int64_t n_nonzero,
                            int n_threads) {
    return scratch_bytes(dictionary, coder, n_signals, n_nonzero) * (n_threads > 1 ? n_threads : 1);
}

void omp(const OmpProblem& problem, int64_t begin, int64_t end, void* workspace, int n_threads) {
    const int64_t n_signals = problem.signals.rows;
    const int64_t per_thread = scratch_bytes(problem.dictionary, problem.coder, n_signals, problem.n_nonzero);
    const auto range = in_groups(problem.coder) ? kernels().range : coders().range;
    const int64_t step = rows_a_task(problem.dictionary, n_signals, end - begin, n_threads);
    parallel_tasks((end - begin + step - 1) / step, n_threads, [&](int64_t task, int thread) {
        const int64_t from = begin + task * step, to = from + step < end ? from + step : end;
        range(problem, from, to, n_signals, static_cast<char*>(workspace) + thread * per_thread);
    });
}

double omp_flops(const OmpProblem& problem) {
    const OmpDictionary& d = problem.dictionary;
    const auto atoms = static_cast<double>(d.n_atoms), features = static_cast<double>(d.n_features);
    const double rank = features < atoms ? features : atoms, asked = static_cast<double>(problem.n_nonzero);
    const double s = asked < rank ? asked : rank;
    const double product = 2 * features * atoms, algebra = s * s * s;
    if (problem.coder == OmpCoder::topk) return product + atoms;
    if (problem.coder == OmpCoder::iht) {
        const double update = d.method == OmpMethod::gram ? 2 * s * atoms : product;
        return product + static_cast<double>(problem.n_iterations) * (update + 4 * atoms + 8 * s * features);
    }
    if (problem.coder == OmpCoder::masked) return (s + 1) * product + s * s * features + algebra;
    const double updates = problem.coder == OmpCoder::ols ? s * s * atoms + 6 * s * atoms : s * s * atoms;
    return (d.method == OmpMethod::gram ? product + updates : s * product) + algebra;
}

int64_t nearest_workspace_bytes(const OmpDictionary& codebook, int64_t n_signals, int n_threads) {
    return coders().nearest_scratch_bytes(codebook, n_signals) * (n_threads > 1 ? n_threads : 1);
}

void nearest_code(const NearestProblem& problem, int64_t begin, int64_t end, void* workspace, int n_threads) {
    const CoderKernels& k = coders();
    const int64_t n_signals = problem.signals.rows;
    const int64_t per_thread = k.nearest_scratch_bytes(problem.codebook, n_signals);
    const int64_t step = rows_a_task(problem.codebook, n_signals, end - begin, n_threads);
    parallel_tasks((end - begin + step - 1) / step, n_threads, [&](int64_t task, int thread) {
        const int64_t from = begin + task * step, to = from + step < end ? from + step : end;
        k.nearest_range(problem, from, to, n_signals, static_cast<char*>(workspace) + thread * per_thread);
    });
}

double nearest_flops(const OmpDictionary& codebook) {
    return 2.0 * static_cast<double>(codebook.n_features) * static_cast<double>(codebook.n_atoms);
}

}  // namespace sparsefast
