// The tables of CPU kernels, one of each for each instruction set: all that crosses between their objects.
#pragma once

#include "common/isa.hpp"
#include "sparsefast/omp.hpp"

namespace sparsefast {

// omp.cpp: the packed dictionary, and the coders that work in groups of signals (omp, ols, masked).
struct OmpKernels {
    int64_t (*packed_bytes)(const OmpDictionary&);
    int64_t (*block_rows)(const OmpDictionary&, int64_t n_signals);
    void (*pack_atoms)(const OmpDictionary&, const Matrix& atoms, void* packed);
    void (*pack_gram)(const OmpDictionary&, const Matrix& gram, void* packed, int64_t begin, int64_t end);
    int64_t (*scratch_bytes)(const OmpDictionary&, OmpCoder, int64_t n_signals, int64_t n_nonzero);
    void (*range)(const OmpProblem&, int64_t begin, int64_t end, int64_t max_signals, void* scratch);
};

// coders.cpp: the coders that take one signal after the other (positive, topk, iht), and nearest_code.
struct CoderKernels {
    int64_t (*scratch_bytes)(const OmpDictionary&, OmpCoder, int64_t n_signals, int64_t n_nonzero);
    void (*range)(const OmpProblem&, int64_t begin, int64_t end, int64_t max_signals, void* scratch);
    int64_t (*nearest_scratch_bytes)(const OmpDictionary&, int64_t n_signals);
    void (*nearest_range)(const NearestProblem&, int64_t begin, int64_t end, int64_t max_signals, void* scratch);
};

extern const OmpKernels omp_kernels_baseline, omp_kernels_v3, omp_kernels_v4;
extern const CoderKernels coder_kernels_baseline, coder_kernels_v3, coder_kernels_v4;

}  // namespace sparsefast
