// The launchers of each type, which are compiled apart: a source for each keeps a build short.
#pragma once

#include "sparsefast/omp_cuda.hpp"

namespace sparsefast {

const char* launch_code_float(const OmpProblem& problem, void* workspace, int64_t shared_limit, void* stream);
const char* launch_code_double(const OmpProblem& problem, void* workspace, int64_t shared_limit, void* stream);
const char* launch_small_float(const OmpProblem& problem, void* stream);
const char* launch_small_double(const OmpProblem& problem, void* stream);

}  // namespace sparsefast
