// Dictionary learning in single precision.
#include "cuda/ksvd/family.cuh"

namespace sparsefast {

const char* launch_ksvd_float(const KsvdProblem& problem, void* workspace, CudaQueue queue, int64_t* bytes) {
    return run_or_measure<Update<float>>(problem, workspace, queue, bytes);
}
const char* launch_stats_float(const StatsProblem& problem, void* workspace, CudaQueue queue, int64_t* bytes) {
    return run_or_measure<Stats<float>>(problem, workspace, queue, bytes);
}
const char* launch_online_float(const OnlineProblem& problem, void* workspace, CudaQueue queue, int64_t* bytes) {
    return run_or_measure<Online<float>>(problem, workspace, queue, bytes);
}

}  // namespace sparsefast
