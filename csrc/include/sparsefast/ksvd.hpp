// Dictionary learning on fixed supports: the sweep of K-SVD over the atoms, the sufficient statistics of online
// dictionary learning, and the atoms that these give by block coordinate descent.
//
// Sources: Aharon, Elad, Bruckstein 2006 (K-SVD); Rubinstein, Zibulevsky, Elad 2008 (approximate K-SVD); Mairal, Bach,
// Ponce, Sapiro 2009 (online dictionary learning). What each computes, to the last stop, is in
// kernels/reference/ksvd.py.
//
// The functions take pointers and sizes, never allocate and never throw; the caller checks shapes. Results do not
// depend on the number of threads.
#pragma once

#include "sparsefast/core.hpp"

namespace sparsefast {

// The sparse codes of n_signals signals, as the coders write them: entries [0, counts[n]) of row n are in use. A row
// names an atom at most once.
struct SparseCodes {
    const void* values;     // (n_signals, n_nonzero), dense, of the problem's dtype
    const void* indices;    // (n_signals, n_nonzero), dense
    const int32_t* counts;  // (n_signals,)
    int64_t n_signals;
    int64_t n_nonzero;
    IndexType index_type;
};

enum class KsvdMethod : int {
    exact = 0,   // the best rank-one fit of E_k, to the tolerance of the eigen-solver
    approx = 1,  // one step of alternating least squares
};

struct KsvdProblem {
    DType dtype;
    KsvdMethod method;
    bool parallel;      // all atoms from the same residual, instead of one after the other
    Matrix signals;     // (n_signals, n_features)
    Matrix dictionary;  // (n_atoms, n_features)
    SparseCodes codes;
    void* atoms;         // (n_atoms, n_features), dense
    void* coefficients;  // (n_signals, n_nonzero), dense; the padding as in codes.values
    void* errors;        // (n_signals,): ||x - sum of coefficient times atom|| after the sweep
    int64_t* usage;      // (n_atoms,): how many signals name the atom
};

int64_t ksvd_workspace_bytes(const KsvdProblem& problem, int n_threads);

// The first bad entry of a code: its row, or -1 when all counts are within [0, n_nonzero] and all indices in use within
// [0, n_atoms). Everything below may only be called when there is none.
int64_t check_codes(const SparseCodes& codes, int64_t n_atoms);

// The sweep in three parts, with the same workspace (aligned to kAlignment), so that callers can look for Ctrl-C in
// between: the residual and the entries in order of their atoms; atoms [begin, end), each from 0 on exactly once and in
// order; the errors.
void ksvd_begin(const KsvdProblem& problem, void* workspace, int n_threads);
void ksvd_atoms(const KsvdProblem& problem, int64_t begin, int64_t end, void* workspace, int n_threads);
void ksvd_end(const KsvdProblem& problem, void* workspace, int n_threads);

// A rough count of floating-point operations of all atoms, by which callers choose threads and split long calls.
double ksvd_flops(const KsvdProblem& problem);

// Adds the statistics of signals to A += sum of code code^T, B += sum of code x^T, usage, and totals += (number of
// signals, sum of ||x||^2), over the signals with a finite ||x||^2. All sums run in float64 and in increasing n.
struct StatsProblem {
    DType dtype;
    Matrix signals;  // (n_signals, n_features)
    SparseCodes codes;
    int64_t n_atoms;
    double* a;       // (n_atoms, n_atoms), dense
    double* b;       // (n_atoms, n_features), dense
    double* usage;   // (n_atoms,)
    double* totals;  // (2,)
};

int64_t stats_workspace_bytes(const StatsProblem& problem, int n_threads);
// Adds signals [begin, end), from 0 on each exactly once and in order.
void stats_signals(const StatsProblem& problem, int64_t begin, int64_t end, void* workspace, int n_threads);
double stats_flops(const StatsProblem& problem);

// Block coordinate descent on the atoms: n_iterations times, for k = 0, 1, ...: u = d_k + (b_k - sum_j A_kj d_j) /
// A_kk, d_k = u / max(||u||, 1), or with `sphere` u / ||u||. An atom with A_kk <= 0, or whose u is zero or not finite,
// stays.
struct OnlineProblem {
    DType dtype;        // of dictionary and atoms; computed in float64
    const double* a;    // (n_atoms, n_atoms), dense
    const double* b;    // (n_atoms, n_features), dense
    Matrix dictionary;  // (n_atoms, n_features)
    void* atoms;        // (n_atoms, n_features), dense
    int64_t n_iterations;
    bool sphere;
};

// Atoms [begin, end) of the n_iterations * n_atoms updates, in order; the first call begins at 0 and copies the
// dictionary, the last ends at n_iterations * n_atoms and writes the atoms.
int64_t online_workspace_bytes(const OnlineProblem& problem);
void online_atoms(const OnlineProblem& problem, int64_t begin, int64_t end, void* workspace);
double online_flops(const OnlineProblem& problem);

}  // namespace sparsefast
