// The tables of CPU kernels, one of each for each instruction set: all that crosses between their objects.
#pragma once

#include "common/isa.hpp"
#include "sparsefast/bottleneck.hpp"
#include "sparsefast/ksvd.hpp"
#include "sparsefast/omp.hpp"
#include "sparsefast/patches.hpp"
#include "sparsefast/products.hpp"

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

// patches.cpp
struct PatchKernels {
    void (*unfold_range)(const UnfoldProblem&, int64_t begin, int64_t end);
    int64_t (*fold_scratch_bytes)(const FoldProblem&);
    void (*fold_range)(const FoldProblem&, int64_t begin, int64_t end, void* scratch);
};

// ksvd.cpp
struct KsvdKernels {
    int64_t (*sweep_bytes)(const KsvdProblem&, int n_threads);
    void (*sweep_begin)(const KsvdProblem&, void* workspace, int n_threads);
    void (*sweep_atoms)(const KsvdProblem&, int64_t begin, int64_t end, void* workspace, int n_threads);
    void (*sweep_end)(const KsvdProblem&, void* workspace, int n_threads);
    int64_t (*stats_bytes)(const StatsProblem&, int n_threads);
    void (*stats_signals)(const StatsProblem&, int64_t begin, int64_t end, void* workspace, int n_threads);
    int64_t (*online_bytes)(const OnlineProblem&);
    void (*online_range)(const OnlineProblem&, int64_t begin, int64_t end, void* workspace);
};

// products.cpp
struct ProductKernels {
    void (*decode)(const ProductProblem&, int64_t begin, int64_t end);
    void (*correlate)(const ProductProblem&, int64_t begin, int64_t end);
    int64_t (*accumulate_bytes)(const ProductProblem&, int n_threads);
    void (*accumulate)(const ProductProblem&, void* workspace, int n_threads);
    int64_t (*support_bytes)(const SupportGradients&, int n_threads);
    void (*support)(const SupportGradients&, void* workspace, int n_threads);
    bool (*fit)(const SparseCodes&, int64_t n_atoms);
};

// bottleneck.cpp
struct BottleneckKernels {
    int64_t (*forward_bytes)(const BottleneckProblem&, int n_threads);
    void (*forward)(const BottleneckProblem&, void* workspace, int n_threads);
    int64_t (*gradients_bytes)(const BottleneckGradients&, int n_threads);
    void (*gradients)(const BottleneckGradients&, void* workspace, int n_threads);
    void (*unit_norm)(DType, const void* rows, const void* grad, double scale, int64_t, int64_t, void* out);
};

extern const OmpKernels omp_kernels_baseline, omp_kernels_v3, omp_kernels_v4;
extern const CoderKernels coder_kernels_baseline, coder_kernels_v3, coder_kernels_v4;
extern const PatchKernels patch_kernels_baseline, patch_kernels_v3, patch_kernels_v4;
extern const KsvdKernels ksvd_kernels_baseline, ksvd_kernels_v3, ksvd_kernels_v4;
extern const ProductKernels product_kernels_baseline, product_kernels_v3, product_kernels_v4;
extern const BottleneckKernels bottleneck_kernels_baseline, bottleneck_kernels_v3, bottleneck_kernels_v4;

// The name of a table in the object of this instruction set.
#define SF_JOIN_(a, b) a##b
#define SF_JOIN(a, b) SF_JOIN_(a, b)
#define SF_TABLE(name) SF_JOIN(name, SPARSEFAST_ISA)

// Returns the table for the instruction set in use: `return` statements for SF_SELECT(omp_kernels_).
#if defined(SPARSEFAST_HAVE_V4)
#define SF_CASE_V4(name) \
    case Isa::v4: return name##v4;
#else
#define SF_CASE_V4(name)
#endif
#if defined(SPARSEFAST_HAVE_V3)
#define SF_CASE_V3(name) \
    case Isa::v3: return name##v3;
#else
#define SF_CASE_V3(name)
#endif
#define SF_SELECT(name)                 \
    switch (isa_current()) {            \
        SF_CASE_V4(name)                \
        SF_CASE_V3(name)                \
        default: return name##baseline; \
    }

}  // namespace sparsefast
