// The ksvd family on a CUDA device: the problems of ksvd.hpp with all pointers in device memory.
//
// Nothing here allocates, synchronises or reads back: work is queued on the stream, and can be captured in a graph. The
// functions return null, or why the work could not be queued. Results depend neither on the number of multiprocessors
// nor on which of them is first.
//
// Nobody looks at the codes first: an entry whose index is not one of n_atoms, and all entries of a signal whose count
// is not 0 to n_nonzero, are left out, and keep their coefficients.
#pragma once

#include "sparsefast/cuda_queue.hpp"
#include "sparsefast/ksvd.hpp"

namespace sparsefast {

// Of the problems, only sizes, dtype, method and parallel are looked at. Workspaces are aligned to kAlignment.
int64_t cuda_ksvd_workspace_bytes(const KsvdProblem& problem);
const char* cuda_ksvd(const KsvdProblem& problem, void* workspace, CudaQueue queue);

int64_t cuda_stats_workspace_bytes(const StatsProblem& problem);
const char* cuda_stats(const StatsProblem& problem, void* workspace, CudaQueue queue);

int64_t cuda_online_workspace_bytes(const OnlineProblem& problem);
const char* cuda_online(const OnlineProblem& problem, void* workspace, CudaQueue queue);

}  // namespace sparsefast
