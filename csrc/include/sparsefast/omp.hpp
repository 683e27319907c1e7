// Batched sparse coding: for each signal x at most n_nonzero rows of a dictionary D and their coefficients, by
// Orthogonal Matching Pursuit (greedily by |<d, r>|, with the coefficients refitted by least squares after each pick)
// and its relatives.
//
// Sources: Pati, Rezaiifar, Krishnaprasad 1993 (OMP); Rubinstein, Zibulevsky, Elad 2008 (Batch-OMP: shared Gram); those
// of the relatives are beside their kernels. What each computes, to the last stop, is in kernels/reference.
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

// Which atoms are picked, and how their coefficients are found.
enum class OmpCoder : int {
    omp = 0,       // |<d, r>|
    ols = 1,       // |<d, r>| / ||d outside the span of the selected||: the smallest residual
    positive = 2,  // <d, r>, with non-negative least squares
    masked = 3,    // |<d, r>| over the observed features of each signal
    topk = 4,      // the largest |<d, x>| at once, which are the coefficients
    iht = 5,       // iterative hard thresholding
};

struct OmpDictionary {
    DType dtype;
    int64_t n_atoms;
    int64_t n_features;
    OmpMethod method;
};

struct OmpProblem {
    OmpCoder coder;
    OmpDictionary dictionary;
    const void* packed;  // written by omp_pack_atoms, and omp_pack_gram, for this very dictionary
    Matrix signals;      // (n_signals, n_features)
    int64_t n_nonzero;   // columns of values and indices
    const void* tol;     // null, one number (tol_stride 0) or one per signal; a bound on ||r||, in units of the signals
    int64_t tol_stride;
    void* values;     // (n_signals, n_nonzero), dense
    void* indices;    // (n_signals, n_nonzero), dense
    int32_t* counts;  // (n_signals,)
    uint8_t* status;  // (n_signals,)
    IndexType index_type;
    Matrix mask;           // masked: (n_signals, n_features) bytes, not zero where a feature is observed
    bool positive;         // topk: the largest <d, x>, none of them negative
    int64_t n_iterations;  // iht
    double step;           // iht: in units of the dictionary as given; 0 for the normalised step
};

// Vector quantisation: the nearest row of a codebook, packed by omp_pack_atoms.
struct NearestProblem {
    OmpDictionary codebook;
    const void* packed;
    Matrix signals;   // (n_signals, n_features)
    void* indices;    // (n_signals,)
    void* distances;  // (n_signals,): ||x - d||_2, of the signals' type
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

int64_t omp_workspace_bytes(const OmpDictionary& dictionary, OmpCoder coder, int64_t n_signals, int64_t n_nonzero,
                            int n_threads);

// Codes signals [begin, end). `workspace` holds omp_workspace_bytes and is aligned to kAlignment.
void omp(const OmpProblem& problem, int64_t begin, int64_t end, void* workspace, int n_threads);

// A rough count of floating-point operations per signal, by which callers choose threads and split long calls.
double omp_flops(const OmpProblem& problem);

// The same for nearest_code; it needs no method, and no Gram.
int64_t nearest_workspace_bytes(const OmpDictionary& codebook, int64_t n_signals, int n_threads);
void nearest_code(const NearestProblem& problem, int64_t begin, int64_t end, void* workspace, int n_threads);
double nearest_flops(const OmpDictionary& codebook);

}  // namespace sparsefast
