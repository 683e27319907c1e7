"""Kernels written in Python, one folder a backend, installed as `sparsefast.kernels`.

Arrays were checked before, and outputs are made by the caller; every element of them is written. A file of the omp
family offers two functions, and says which layouts it takes:

    FORM                                    modules of a backend with the same FORM share their layouts
    prepare(dictionary, gram, n_threads)    the layout: "gram" has the Gram matrix in it, "atoms" needs none
    omp, ols, positive(signals, layout, n_nonzero, tol, values, indices, counts, status, n_threads)
    masked(signals, mask, layout, n_nonzero, tol, values, indices, counts, status, n_threads)
    topk(signals, layout, n_nonzero, positive, values, indices, counts, status, n_threads)
    iht(signals, layout, n_nonzero, n_iterations, step, tol, values, indices, counts, status, n_threads)
    nearest_code(signals, layout, indices, distances, n_threads)

The patches family has two files, whose functions need no layout; `patch_grid` says where patches lie, and `numbers` how
NumPy arrays hold bfloat16. With `rows` the patches of an image are rows (L, C * ph * pw), else columns:

    unfold.py   unfold(images, grid, rows, out, n_threads)
                unfold_at(images, corners, patch, rows, out, n_threads)
    fold.py     TILE                                    height and width of the tiles that fold_at wants lists for
                fold(patches, grid, rows, dtype, window, confidence, inverse, normalize, out, n_threads)
                fold_at(patches, corners, tiles, patch, rows, dtype, window, confidence, normalize, out, n_threads)

Images that are unfolded are bits, held as integers: strides of any kind, uint8 or int16 to int64. Numbers that are
folded are of `dtype`, and their weights in the type in which sums run: float64 for float64, else float32.

What each computes, to the last stop, is in `reference`.
"""
