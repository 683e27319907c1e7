// Dictionary learning: which type a call is for. The kernels are described in csrc/cuda/ksvd.
#include "cuda/ksvd/launch.hpp"

namespace sparsefast {
namespace {

template <typename Problem>
using Launch = const char* (*)(const Problem&, void*, CudaQueue, int64_t*);

template <typename Problem>
int64_t bytes_of(const Problem& p, Launch<Problem> in_float, Launch<Problem> in_double) {
    int64_t bytes = 0;
    (p.dtype == DType::float32 ? in_float : in_double)(p, nullptr, {}, &bytes);
    return bytes;
}

template <typename Problem>
const char* run(const Problem& p, void* workspace, CudaQueue queue, Launch<Problem> in_float,
                Launch<Problem> in_double) {
    return (p.dtype == DType::float32 ? in_float : in_double)(p, workspace, queue, nullptr);
}

}  // namespace

int64_t cuda_ksvd_workspace_bytes(const KsvdProblem& p) { return bytes_of(p, launch_ksvd_float, launch_ksvd_double); }
const char* cuda_ksvd(const KsvdProblem& p, void* workspace, CudaQueue queue) {
    return run(p, workspace, queue, launch_ksvd_float, launch_ksvd_double);
}

int64_t cuda_stats_workspace_bytes(const StatsProblem& p) {
    return bytes_of(p, launch_stats_float, launch_stats_double);
}
const char* cuda_stats(const StatsProblem& p, void* workspace, CudaQueue queue) {
    return run(p, workspace, queue, launch_stats_float, launch_stats_double);
}

int64_t cuda_online_workspace_bytes(const OnlineProblem& p) {
    return bytes_of(p, launch_online_float, launch_online_double);
}
const char* cuda_online(const OnlineProblem& p, void* workspace, CudaQueue queue) {
    return run(p, workspace, queue, launch_online_float, launch_online_double);
}

}  // namespace sparsefast
