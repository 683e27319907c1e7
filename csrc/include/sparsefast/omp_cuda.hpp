// The omp family on a CUDA device: the problems of omp.hpp with all pointers in device memory, but for a tolerance that
// is one number for all signals (tol_stride 0), which the host reads.
//
// Nothing here allocates, synchronises or reads back: work is queued on the stream, and can be captured in a graph. The
// functions return null, or why the work could not be queued. Coders positive and iht are not offered.
#pragma once

#include "sparsefast/cuda_queue.hpp"
#include "sparsefast/omp.hpp"

namespace sparsefast {

// As omp_method, for a device.
OmpMethod cuda_omp_method(int64_t n_atoms, int64_t n_features, DType dtype, bool gram_given);

int64_t cuda_omp_packed_bytes(const OmpDictionary& dictionary);

// Writes the packed dictionary, aligned to kAlignment; for the gram method with the Gram matrix, given or (when
// `gram.data` is null) computed.
const char* cuda_omp_pack(const OmpDictionary& dictionary, const Matrix& atoms, const Matrix& gram, void* packed,
                          CudaQueue queue);

// Of the problem, only coder, dictionary, n_nonzero and the number of signals are looked at.
int64_t cuda_omp_workspace_bytes(const OmpProblem& problem, CudaQueue queue);
const char* cuda_omp(const OmpProblem& problem, void* workspace, CudaQueue queue);

const char* cuda_nearest_code(const NearestProblem& problem, CudaQueue queue);

// What differentiates least squares coefficients: u with (A A^T + ridge) u = grad, A the selected atoms of a signal on
// its observed features; and u A.
struct SupportProblem {
    DType dtype;
    Matrix atoms;            // (n_atoms, n_features), finite
    Matrix mask;             // (n_signals, n_features) bytes, or data null
    const void* grad;        // (n_signals, n_nonzero), dense as all that follow
    const int64_t* indices;  // (n_signals, n_nonzero)
    const int32_t* counts;   // (n_signals,)
    void* solved;            // (n_signals, n_nonzero): u, zero in the padding
    void* through;           // (n_signals, n_features): u A, or null
    int64_t n_signals, n_nonzero;
};

// The most entries a signal may have; with more there is not the room in shared memory.
int64_t cuda_support_most(DType dtype, CudaQueue queue);
const char* cuda_support_solve(const SupportProblem& problem, CudaQueue queue);

}  // namespace sparsefast
