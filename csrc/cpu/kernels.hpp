// The table of CPU kernels, one for each instruction set: the only thing that crosses between their objects.
#pragma once

#include "common/isa.hpp"
#include "sparsefast/omp.hpp"

namespace sparsefast {

struct CpuKernels {
    int64_t (*omp_packed_bytes)(const OmpDictionary&);
    int64_t (*omp_scratch_bytes)(const OmpDictionary&, int64_t n_signals, int64_t n_nonzero);
    int64_t (*omp_block_rows)(const OmpDictionary&, int64_t n_signals);
    void (*omp_pack_atoms)(const OmpDictionary&, const Matrix& atoms, void* packed);
    void (*omp_pack_gram)(const OmpDictionary&, const Matrix& gram, void* packed, int64_t begin, int64_t end);
    void (*omp_range)(const OmpProblem&, int64_t begin, int64_t end, int64_t max_signals, void* scratch);
};

extern const CpuKernels cpu_kernels_baseline;
extern const CpuKernels cpu_kernels_v3;
extern const CpuKernels cpu_kernels_v4;

}  // namespace sparsefast
