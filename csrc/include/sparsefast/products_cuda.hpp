// The products of sparse codes and dictionaries on a CUDA device, as products.hpp has them, with all pointers in device
// memory.
//
// Nothing here allocates, synchronises or reads back: work is queued on the stream, and can be captured in a graph. The
// functions return null, or why the work could not be queued. No sum depends on the number of multiprocessors, or on
// which threads are first.
#pragma once

#include "sparsefast/cuda_queue.hpp"
#include "sparsefast/ksvd.hpp"

namespace sparsefast {

struct CudaProduct {
    DType dtype;
    SparseCodes codes;
    Matrix rows;              // decode, correlate: the dictionary (n_atoms, n_features); accumulate: the signals
    Matrix signals;           // correlate: (n_signals, n_features)
    const void* less_values;  // accumulate, or null: (n_signals, n_nonzero), dense
    Matrix less_rows;         // and (n_signals, n_features), whose sums are subtracted
    int64_t n_atoms;
    void* out;  // dense
};

// An entry that names no atom makes NaN of its signal, or is NaN itself.
const char* cuda_decode(const CudaProduct& problem, CudaQueue queue);
const char* cuda_correlate(const CudaProduct& problem, CudaQueue queue);

// Entries that name no atom are left out. The workspace is aligned to kAlignment.
int64_t cuda_accumulate_workspace_bytes(const CudaProduct& problem);
const char* cuda_accumulate(const CudaProduct& problem, void* workspace, CudaQueue queue);

}  // namespace sparsefast
