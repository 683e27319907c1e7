// The public functions of the ksvd family on the CPU: pick the instruction set, and look at codes before they are used.
#include "cpu/kernels.hpp"

namespace sparsefast {
namespace {

const KsvdKernels& kernels() { SF_SELECT(ksvd_kernels_) }

template <typename Index>
bool good(const Index* indices, int64_t n, int64_t n_atoms) {
    bool all = true;
    for (int64_t i = 0; i < n; ++i) all &= static_cast<uint64_t>(indices[i]) < static_cast<uint64_t>(n_atoms);
    return all;
}

double entries(const SparseCodes& codes) {
    return static_cast<double>(codes.n_signals) * static_cast<double>(codes.n_nonzero);
}

}  // namespace

int64_t check_codes(const SparseCodes& codes, int64_t n_atoms) {
    for (int64_t n = 0; n < codes.n_signals; ++n) {
        const int32_t count = codes.counts[n];
        if (count < 0 || count > codes.n_nonzero) return n;
        const int64_t at = n * codes.n_nonzero;
        if (!(codes.index_type == IndexType::int64
                  ? good(static_cast<const int64_t*>(codes.indices) + at, count, n_atoms)
                  : good(static_cast<const int32_t*>(codes.indices) + at, count, n_atoms)))
            return n;
    }
    return -1;
}

int64_t ksvd_workspace_bytes(const KsvdProblem& problem, int n_threads) {
    return kernels().sweep_bytes(problem, n_threads);
}
void ksvd_begin(const KsvdProblem& problem, void* workspace, int n_threads) {
    kernels().sweep_begin(problem, workspace, n_threads);
}
void ksvd_atoms(const KsvdProblem& problem, int64_t begin, int64_t end, void* workspace, int n_threads) {
    kernels().sweep_atoms(problem, begin, end, workspace, n_threads);
}
void ksvd_end(const KsvdProblem& problem, void* workspace, int n_threads) {
    kernels().sweep_end(problem, workspace, n_threads);
}
double ksvd_flops(const KsvdProblem& p) {
    const auto features = static_cast<double>(p.signals.cols);
    const double each = p.method == KsvdMethod::approx ? 8 * features : features * (features < 128 ? features : 128);
    return entries(p.codes) * (each + 8 * features);
}

int64_t stats_workspace_bytes(const StatsProblem& problem, int n_threads) {
    return kernels().stats_bytes(problem, n_threads);
}
void stats_signals(const StatsProblem& problem, int64_t begin, int64_t end, void* workspace, int n_threads) {
    kernels().stats_signals(problem, begin, end, workspace, n_threads);
}
double stats_flops(const StatsProblem& p) {
    return entries(p.codes) * 2 * static_cast<double>(p.signals.cols + p.codes.n_nonzero);
}

int64_t online_workspace_bytes(const OnlineProblem& problem) { return kernels().online_bytes(problem); }
void online_atoms(const OnlineProblem& problem, int64_t begin, int64_t end, void* workspace) {
    kernels().online_range(problem, begin, end, workspace);
}
double online_flops(const OnlineProblem& p) {
    const auto atoms = static_cast<double>(p.dictionary.rows);
    return 2 * atoms * atoms * static_cast<double>(p.dictionary.cols) * static_cast<double>(p.n_iterations);
}

}  // namespace sparsefast
