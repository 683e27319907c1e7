// Dictionary learning in double precision.
#include "cuda/ksvd/family.cuh"

namespace sparsefast {

const char* launch_ksvd_double(const KsvdProblem& problem, void* workspace, CudaQueue queue, int64_t* bytes) {
    return run_or_measure<Update<double>>(problem, workspace, queue, bytes);
}
const char* launch_stats_double(const StatsProblem& problem, void* workspace, CudaQueue queue, int64_t* bytes) {
    return run_or_measure<Stats<double>>(problem, workspace, queue, bytes);
}
const char* launch_online_double(const OnlineProblem& problem, void* workspace, CudaQueue queue, int64_t* bytes) {
    return run_or_measure<Online<double>>(problem, workspace, queue, bytes);
}

}  // namespace sparsefast
