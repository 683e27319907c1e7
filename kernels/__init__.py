"""Kernels written in Python, one folder a backend, installed as `sparsefast.kernels`.

Every file of a backend offers the same two functions on NumPy arrays that were checked before, and says which layouts
it takes:

    FORM                                    modules of a backend with the same FORM share their layouts
    prepare(dictionary, gram, n_threads)    the layout: "gram" has the Gram matrix in it, "atoms" needs none
    omp, ols, positive(signals, layout, n_nonzero, tol, values, indices, counts, status, n_threads)
    masked(signals, mask, layout, n_nonzero, tol, values, indices, counts, status, n_threads)
    topk(signals, layout, n_nonzero, positive, values, indices, counts, status, n_threads)
    iht(signals, layout, n_nonzero, n_iterations, step, tol, values, indices, counts, status, n_threads)
    nearest_code(signals, layout, indices, distances, n_threads)

What each computes, to the last stop, is in `reference`.
"""
