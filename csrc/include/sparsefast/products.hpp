// Products of sparse codes and dictionaries, and the gradients of least squares coefficients: what differentiating a
// sparse code takes. The atoms of row n are d_i, i = indices[n, j].
//
//     decode      out_n  = sum over j of values[n, j] d_i                        (n_signals, n_features)
//     correlate   out_nj = <signals_n, d_i> for j < counts[n], else 0            (n_signals, n_nonzero)
//     accumulate  out_i  = sum over (n, j < counts[n]) of values[n, j] signals_n (n_atoms, n_features)
//
// The functions take pointers and sizes, never allocate and never throw; the caller checks shapes and indices. Results
// do not depend on the number of threads.
#pragma once

#include "sparsefast/ksvd.hpp"

namespace sparsefast {

// Whether all entries of codes with indices of int64, padding too, name one of n_atoms, and counts are 0 to n_nonzero.
bool codes_fit(const SparseCodes& codes, int64_t n_atoms);

struct ProductProblem {
    DType dtype;
    SparseCodes codes;    // values are not read by correlate
    const void* rows;     // decode, correlate: the dictionary (n_atoms, n_features), dense; accumulate: the signals
    const void* signals;  // correlate: (n_signals, n_features), dense
    int64_t n_atoms;
    int64_t n_features;
    void* out;
};

// Rows [begin, end) of the codes.
void decode_range(const ProductProblem& problem, int64_t begin, int64_t end);
void correlate_range(const ProductProblem& problem, int64_t begin, int64_t end);

// Writes out, with a workspace aligned to kAlignment.
int64_t accumulate_workspace_bytes(const ProductProblem& problem, int n_threads);
void accumulate(const ProductProblem& problem, void* workspace, int n_threads);

// With G = D_S D_S^T of the atoms of a signal, a its values and g = dL/da:
//     u = (G + ridge) ^-1 g      dL/dx = u D_S      dL/dD_S = u (x - a D_S)^T - a (u D_S)^T
// A signal whose values are NaN has a gradient of NaN and adds nothing to the dictionary's.
struct SupportGradients {
    DType dtype;
    SparseCodes codes;
    const void* grad;           // (n_signals, n_nonzero), dense: g
    const void* signals;        // (n_signals, n_features), dense
    const void* dictionary;     // (n_atoms, n_features), dense and finite
    const void* gram;           // (n_atoms, n_atoms), dense: of the atoms scaled to unit norm
    const void* inverse_norms;  // (n_atoms,)
    int64_t n_atoms;
    int64_t n_features;
    double ridge;         // on the diagonal of the scaled systems
    double least_pivot;   // no pivot is taken for smaller
    void* of_signals;     // (n_signals, n_features), or null
    void* of_dictionary;  // (n_atoms, n_features), or null
};

int64_t support_gradients_workspace_bytes(const SupportGradients& problem, int n_threads);
void support_gradients(const SupportGradients& problem, void* workspace, int n_threads);

}  // namespace sparsefast
