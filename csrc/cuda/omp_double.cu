// The coders omp, ols, masked and topk in double precision.
#include "cuda/omp/coder.cuh"
#include "cuda/omp/launch.hpp"

namespace sparsefast {

const char* launch_code_double(const OmpProblem& problem, void* workspace, int64_t shared_limit, void* stream) {
    return launch_code<double>(problem, plan_of<double>(problem, shared_limit), workspace,
                               static_cast<cudaStream_t>(stream));
}

}  // namespace sparsefast
