// The dictionary bottleneck: what it makes of a latent in one pass over the signals, and the gradients of that.
//
// With signals x_n, atoms d_k and the codes a_nj, i_nj of OMP:
//     x^_n = sum over j of a_nj d_i, i = i_nj          r_n = x_n - x^_n
//     error = sum of r^2      usage_k = how many n name k      sums_k = sum over (n, j) with i_nj = k of a_nj r_n
//
// The functions take pointers and sizes, never allocate and never throw; the caller checks shapes and indices. Results
// do not depend on the number of threads.
#pragma once

#include "sparsefast/ksvd.hpp"
#include "sparsefast/omp.hpp"

namespace sparsefast {

// How signals lie in a dense latent: planes (n_images, n_features, n_places), or rows (n_images * n_places,
// n_features).
struct Places {
    int64_t n_images;
    int64_t n_places;
    int64_t n_features;
    bool planes;
};

struct BottleneckProblem {
    OmpDictionary dictionary;
    const void* packed;  // as for OmpProblem
    const void* atoms;   // (n_atoms, n_features), dense
    Places places;
    const void* latent;
    int64_t n_nonzero;
    void* values;          // (n_signals, n_nonzero), dense
    int64_t* indices;      // (n_signals, n_nonzero), dense
    int32_t* counts;       // (n_signals,)
    uint8_t* status;       // (n_signals,)
    void* reconstruction;  // x^, as the latent
    void* residual;        // r: rows (n_signals, n_features), dense; or null
    void* sums;            // (n_atoms, n_features), dense; or null, as it must be without residual
    double* error;         // ()
    int64_t* usage;        // (n_atoms,)
};

int64_t bottleneck_workspace_bytes(const BottleneckProblem& problem, int n_threads);
void bottleneck(const BottleneckProblem& problem, void* workspace, int n_threads);

// With g = dL/dx^ and what the loss adds, to_signals * r to dL/dx and to_atoms * a_nj r_n to dL/dd_i:
//
//     straight-through   dL/dx = g + to_signals r
//     implicit           h_j = <d_j, g> + (dL/da)_j      u = (G + ridge)^-1 h, G that of the support
//                        p = sum of u_j d_j              dL/dx = p + to_signals r
//                        dL/dd_j += (u_j + to_atoms a_j) r + a_j (g - p)
//
// A signal that has as many atoms as features has r = 0 and p = g, whatever the atoms: implicit solves no system for it
// and adds nothing to the dictionary's gradient, unless dL/da is given. One whose values are NaN has a gradient of NaN
// and adds nothing to the dictionary's.
struct BottleneckGradients {
    DType dtype;
    Places places;
    SparseCodes codes;  // of int64; read by implicit
    int64_t n_atoms;
    bool implicit;
    const void* grad;           // g, as the latent; or null for zeros
    const void* grad_values;    // (n_signals, n_nonzero), dense, implicit alone; or null for zeros
    const void* residual;       // as above; or null where to_signals is zero and not implicit
    const void* atoms;          // (n_atoms, n_features), dense; read by implicit
    const void* unit_atoms;     // the same scaled to unit norm
    const void* inverse_norms;  // (n_atoms,); or null: all are 1
    double to_signals;
    double to_atoms;
    double ridge;         // on the diagonal of the systems of unit atoms
    double least_pivot;   // no pivot is taken for smaller
    void* of_signals;     // as the latent, or null
    void* of_dictionary;  // (n_atoms, n_features), dense, implicit alone; or null
};

int64_t bottleneck_gradients_workspace_bytes(const BottleneckGradients& problem, int n_threads);
void bottleneck_gradients(const BottleneckGradients& problem, void* workspace, int n_threads);

// The gradient in rows d of scale * grad in the rows a = d / max(||d||, 1e-12), all (n_atoms, n_features), dense. Out
// may be grad.
void unit_norm_gradients(DType dtype, const void* rows, const void* grad, double scale, int64_t n_atoms,
                         int64_t n_features, void* out);

}  // namespace sparsefast
