// The omp family on a device: which kernel a problem takes.
#include "cuda/omp/launch.hpp"
#include "cuda/omp/plan.cuh"

namespace sparsefast {
namespace {

constexpr int64_t kMaxGramBytes = int64_t(1) << 30;

Plan plan_for(const OmpProblem& p, int device) {
    const int64_t limit = shared_memory_limit(device);
    return p.dictionary.dtype == DType::float32 ? plan_of<float>(p, limit) : plan_of<double>(p, limit);
}

bool is_small(const OmpProblem& p) {
    return p.dictionary.method == OmpMethod::small && (p.coder == OmpCoder::omp || p.coder == OmpCoder::ols);
}

}  // namespace

OmpMethod cuda_omp_method(int64_t n_atoms, int64_t n_features, DType dtype, bool gram_given) {
    // A thread has registers for 8 features in single precision, and for 4 in double.
    if (n_features <= (dtype == DType::float32 ? 8 : 4)) return OmpMethod::small;
    const int64_t size = dtype == DType::float32 ? 4 : 8;
    return gram_given || n_atoms * n_atoms <= kMaxGramBytes / size ? OmpMethod::gram : OmpMethod::residual;
}

int64_t cuda_omp_workspace_bytes(const OmpProblem& p, CudaQueue queue) {
    if (is_small(p) || takes_topk(p, shared_memory_limit(queue.device))) return 0;
    return plan_for(p, queue.device).workspace;
}

const char* cuda_omp(const OmpProblem& p, void* workspace, CudaQueue queue) {
    const DeviceGuard guard(queue.device);
    if (guard.error()) return guard.error();
    if (p.signals.rows == 0) return nullptr;
    const bool single = p.dictionary.dtype == DType::float32;
    if (is_small(p)) return single ? launch_small_float(p, queue.stream) : launch_small_double(p, queue.stream);
    const int64_t limit = shared_memory_limit(queue.device);
    if (takes_projected(p, limit)) return launch_projected(p, queue.stream);
    if (takes_topk(p, limit)) return launch_topk_float(p, limit, queue.stream);
    return single ? launch_code_float(p, workspace, limit, queue.stream)
                  : launch_code_double(p, workspace, limit, queue.stream);
}

}  // namespace sparsefast
