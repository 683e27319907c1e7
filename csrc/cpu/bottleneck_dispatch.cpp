// The public functions of the dictionary bottleneck on the CPU: pick the instruction set.
#include "cpu/kernels.hpp"

namespace sparsefast {
namespace {
const BottleneckKernels& kernels() { SF_SELECT(bottleneck_kernels_) }
}  // namespace

int64_t bottleneck_workspace_bytes(const BottleneckProblem& problem, int n_threads) {
    return kernels().forward_bytes(problem, n_threads);
}
void bottleneck(const BottleneckProblem& problem, void* workspace, int n_threads) {
    kernels().forward(problem, workspace, n_threads);
}
int64_t bottleneck_gradients_workspace_bytes(const BottleneckGradients& problem, int n_threads) {
    return kernels().gradients_bytes(problem, n_threads);
}
void bottleneck_gradients(const BottleneckGradients& problem, void* workspace, int n_threads) {
    kernels().gradients(problem, workspace, n_threads);
}
void unit_norm_gradients(DType dtype, const void* rows, const void* grad, double scale, int64_t n_atoms,
                         int64_t n_features, void* out) {
    kernels().unit_norm(dtype, rows, grad, scale, n_atoms, n_features, out);
}

}  // namespace sparsefast
