// The launchers of each type, which are compiled apart: a source for each keeps a build short.
#pragma once

#include "sparsefast/omp_cuda.hpp"

namespace sparsefast {

const char* launch_code_float(const OmpProblem& problem, void* workspace, int64_t shared_limit, void* stream);
const char* launch_code_double(const OmpProblem& problem, void* workspace, int64_t shared_limit, void* stream);
const char* launch_small_float(const OmpProblem& problem, void* stream);
const char* launch_small_double(const OmpProblem& problem, void* stream);

// Whether `launch_projected` codes this problem, on a device whose blocks may have so many bytes of shared memory.
bool takes_projected(const OmpProblem& problem, int64_t shared_limit);
const char* launch_projected(const OmpProblem& problem, void* stream);

// Whether the problem is topk with a tile in shared memory, and that; it needs no workspace.
bool takes_topk(const OmpProblem& problem, int64_t shared_limit);
const char* launch_topk_float(const OmpProblem& problem, int64_t shared_limit, void* stream);

}  // namespace sparsefast
