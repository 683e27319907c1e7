// The launchers of each type, which are compiled apart: a source for each keeps a build short.
#pragma once

#include "sparsefast/ksvd_cuda.hpp"

namespace sparsefast {

// With no workspace nothing is launched, and `bytes` is set to what it must hold.
const char* launch_ksvd_float(const KsvdProblem& problem, void* workspace, CudaQueue queue, int64_t* bytes);
const char* launch_ksvd_double(const KsvdProblem& problem, void* workspace, CudaQueue queue, int64_t* bytes);
const char* launch_stats_float(const StatsProblem& problem, void* workspace, CudaQueue queue, int64_t* bytes);
const char* launch_stats_double(const StatsProblem& problem, void* workspace, CudaQueue queue, int64_t* bytes);
const char* launch_online_float(const OnlineProblem& problem, void* workspace, CudaQueue queue, int64_t* bytes);
const char* launch_online_double(const OnlineProblem& problem, void* workspace, CudaQueue queue, int64_t* bytes);

}  // namespace sparsefast
