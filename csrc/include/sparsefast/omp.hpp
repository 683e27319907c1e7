// Batched Orthogonal Matching Pursuit: for each signal x pick at most n_nonzero rows of a dictionary D, greedily by
// |<d, r>|, and refit the coefficients by least squares on the support after each pick.
//
// Sources: Pati, Rezaiifar, Krishnaprasad 1993 (OMP); Rubinstein, Zibulevsky, Elad 2008 (Batch-OMP: shared Gram).
//
// The functions take pointers and sizes, never allocate and never throw; the caller checks shapes. Results of a signal
// depend neither on its neighbours nor on the number of threads.
#pragma once

#include "sparsefast/core.hpp"

namespace sparsefast {

enum class OmpStatus : uint8_t {
    complete = 0,    // n_nonzero atoms selected
    tolerance = 1,   // ||r|| <= tol
    exhausted = 2,   // min(n_features, n_atoms) atoms selected, more were asked for
    orthogonal = 3,  // no atom correlates with the residual beyond rounding
    dependent = 4,   // the next atom lies in the span of the selected ones to rounding
    nonfinite = 5,   // the signal is not finite: no atoms, values NaN
};

// How a dictionary is used. `gram`: correlations are updated from rows of the Gram matrix. `residual`: they are
// recomputed from the residual, for dictionaries whose Gram would be too large. `small`: at most 8 features, a signal
// a vector lane, no Gram.
enum class OmpMethod : int { gram = 0, residual = 1, small = 2 };

struct OmpDictionary {
    DType dtype;
    int64_t n_atoms;
    int64_t n_features;
    OmpMethod method;
};

struct OmpProblem {
    OmpDictionary dictionary;
    const void* packed;  // written by omp_pack for this very dictionary
    Matrix signals;      // (n_signals, n_features)
    int64_t n_nonzero;   // columns of values and indices
    const void* tol;     // null, one number (tol_stride 0) or one per signal; a bound on ||r||, in units of the signals
    int64_t tol_stride;
    void* values;     // (n_signals, n_nonzero), dense
    void* indices;    // (n_signals, n_nonzero), dense
    int32_t* counts;  // (n_signals,)
    uint8_t* status;  // (n_signals,)
    IndexType index_type;
};

// The method for a dictionary of this size. It never depends on the number of signals, so that splitting a batch
// cannot change a result.
OmpMethod omp_method(int64_t n_atoms, int64_t n_features, DType dtype, bool gram_given);

int64_t omp_packed_bytes(const OmpDictionary& dictionary);

// Writes the packed atoms: scaled, and their transpose in panels. `packed` holds omp_packed_bytes, aligned to
// kAlignment.
void omp_pack_atoms(const OmpDictionary& dictionary, const Matrix& atoms, void* packed);

// Then, for the gram method, rows [begin, end) of the Gram matrix, given or (when `gram.data` is null) computed here;
// begin is a multiple of kGramRows.
constexpr int64_t kGramRows = 64;
void omp_pack_gram(const OmpDictionary& dictionary, const Matrix& gram, void* packed, int64_t begin, int64_t end,
                   int n_threads);

int64_t omp_workspace_bytes(const OmpDictionary& dictionary, int64_t n_signals, int64_t n_nonzero, int n_threads);

// Codes signals [begin, end). `workspace` holds omp_workspace_bytes and is aligned to kAlignment.
void omp(const OmpProblem& problem, int64_t begin, int64_t end, void* workspace, int n_threads);

// A rough count of floating-point operations per signal, by which callers choose threads and split long calls.
int64_t omp_flops(const OmpDictionary& dictionary, int64_t n_nonzero);

}  // namespace sparsefast
