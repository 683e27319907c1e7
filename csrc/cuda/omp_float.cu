// The coders omp, ols, masked and topk in single precision.
#include "cuda/omp/coder.cuh"
#include "cuda/omp/launch.hpp"

namespace sparsefast {

const char* launch_code_float(const OmpProblem& problem, void* workspace, int64_t shared_limit, void* stream) {
    return launch_code<float>(problem, plan_of<float>(problem, shared_limit), workspace,
                              static_cast<cudaStream_t>(stream));
}

}  // namespace sparsefast
