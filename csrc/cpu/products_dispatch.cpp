// The public functions of the products of sparse codes on the CPU: pick the instruction set.
#include "cpu/kernels.hpp"

namespace sparsefast {
namespace {
const ProductKernels& kernels() { SF_SELECT(product_kernels_) }
}  // namespace

bool codes_fit(const SparseCodes& codes, int64_t n_atoms) { return kernels().fit(codes, n_atoms); }
void decode_range(const ProductProblem& problem, int64_t begin, int64_t end) { kernels().decode(problem, begin, end); }
void correlate_range(const ProductProblem& problem, int64_t begin, int64_t end) {
    kernels().correlate(problem, begin, end);
}
int64_t accumulate_workspace_bytes(const ProductProblem& problem, int n_threads) {
    return kernels().accumulate_bytes(problem, n_threads);
}
void accumulate(const ProductProblem& problem, void* workspace, int n_threads) {
    kernels().accumulate(problem, workspace, n_threads);
}
int64_t support_gradients_workspace_bytes(const SupportGradients& problem, int n_threads) {
    return kernels().support_bytes(problem, n_threads);
}
void support_gradients(const SupportGradients& problem, void* workspace, int n_threads) {
    kernels().support(problem, workspace, n_threads);
}

}  // namespace sparsefast
