"""Kernels written in Python, one folder a backend, installed as `sparsefast.kernels`.

Every `<backend>/omp.py` offers the same two functions on NumPy arrays that were checked before:

    prepare(dictionary, gram, n_threads) -> layout
    omp(signals, layout, n_nonzero, tol, values, indices, counts, status, n_threads) -> None
"""
