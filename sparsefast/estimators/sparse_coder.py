"""SparseCoder: sparse coding with a fixed dictionary, as a scikit-learn transformer."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_array, validate_data

from sparsefast import arrays
from sparsefast.arrays import Array
from sparsefast.estimators.batches import DTYPES
from sparsefast.estimators.presenting import OUTPUTS, check_columns, presented
from sparsefast.ops.iht import iht
from sparsefast.ops.omp import omp
from sparsefast.ops.topk import topk
from sparsefast.prepared import PreparedDictionary
from sparsefast.sparse_code import SparseCode

_ALGORITHMS = ("omp", "ols", "topk", "iht")
_TAKE_POSITIVE = ("omp", "topk")


class SparseCoder(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Sparse codes against a fixed dictionary, by the conventions of scikit-learn.

    With `algorithm="omp"` it selects the atoms of `sklearn.decomposition.SparseCoder(transform_algorithm="omp")`.
    `fit` only validates: `transform` works without it, and sees what `set_params` changed. Parameters are checked by
    `fit` and `transform`.

    Parameters
    ----------
    dictionary : array-like of shape (n_components, n_features), or PreparedDictionary
        Atoms are rows, usually of unit norm. It is converted to the dtype of X. A PreparedDictionary is used as it is
        where X has its dtype, and saves preparing it in every call.
    n_nonzero : int, optional
        The largest number of atoms for a sample, 1 to n_components. By default a tenth of n_features, at least 1, as in
        scikit-learn; with a `tol` min(n_features, n_components), so that `tol` alone decides.
    tol : float, optional
        Stop when the norm of the residual, ||r||_2, is at most this. Not squared, unlike `tol` of scikit-learn's
        `orthogonal_mp`, and it does not override `n_nonzero`: both hold. Not for "topk".
    algorithm : {"omp", "ols", "topk", "iht"}
        Orthogonal matching pursuit; the same with order-recursive selection, as in SPAMS (`omp(selection="ols")`); the
        atoms of largest correlation (`topk`); normalised iterative hard thresholding (`iht`).
    n_iterations : int
        The most iterations of "iht"; the others do not use it.
    positive : bool
        No negative coefficients: for "omp" and "topk".
    split_sign : bool
        Two columns for each atom, the positive part of its coefficient in the first n_components columns and the
        negative part, as a positive number, in the others. Downstream classifiers may do better with it.
    output : {"dense", "csr", "code"}
        What `transform` returns: an array of shape (n_samples, n_columns); a `scipy.sparse.csr_array` of that shape,
        its columns sorted; a `SparseCode`, with atoms in the order of selection. `set_output` is for "dense" alone.
    backend : {"auto", "cuda", "triton", "cpu", "numba", "reference"}, optional
        As for `omp`.

    Attributes
    ----------
    n_components_ : int
        How many atoms the dictionary has.
    n_features_in_ : int
        Number of features seen during `fit`.
    feature_names_in_ : array of shape (n_features_in_,)
        Their names, where X had names that are all strings.

    Examples
    --------
    >>> import numpy as np, sparsefast
    >>> coder = sparsefast.SparseCoder(np.eye(3), n_nonzero=1)
    >>> coder.transform(np.array([[1.0, -4.0, 2.0]]))
    array([[ 0., -4.,  0.]])
    """

    def __init__(
        self,
        dictionary: Array | PreparedDictionary,
        *,
        n_nonzero: int | None = None,
        tol: float | None = None,
        algorithm: str = "omp",
        n_iterations: int = 100,
        positive: bool = False,
        split_sign: bool = False,
        output: str = "dense",
        backend: str | None = None,
    ) -> None:
        self.dictionary = dictionary
        self.n_nonzero = n_nonzero
        self.tol = tol
        self.algorithm = algorithm
        self.n_iterations = n_iterations
        self.positive = positive
        self.split_sign = split_sign
        self.output = output
        self.backend = backend

    def fit(self, X: Any, y: Any = None) -> SparseCoder:
        """Check the parameters and X, and note the features of X; nothing is learned.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        y : ignored

        Returns
        -------
        SparseCoder
            Itself.

        Raises
        ------
        TypeError, ValueError
            If a parameter is not of an allowed type or value, X is not a finite dense array of numbers, or X and the
            dictionary differ in their number of features.
        """
        X = validate_data(self, X, dtype=DTYPES)
        self.n_components_ = self._checked_dictionary(X).shape[0]
        return self

    def transform(self, X: Any) -> Any:
        """The sparse codes of X.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Coded in its dtype, where that is float32 or float64, else in float64.

        Returns
        -------
        array or csr_array of shape (n_samples, n_components), twice as many columns with `split_sign`, or SparseCode

        Raises
        ------
        TypeError, ValueError
            As `fit`.
        BackendUnavailable
            If the backend cannot run here.
        """
        X = validate_data(self, X, dtype=DTYPES, reset=False)
        code = self._encode(X, self._checked_dictionary(X))
        if self.split_sign:
            code = _split(code)
        return presented(self, code)

    def inverse_transform(self, X: Any) -> np.ndarray:
        """The samples that codes stand for: the sum of coefficient times atom.

        Parameters
        ----------
        X : array-like or SciPy sparse array of shape (n_samples, n_columns), or SparseCode
            As `transform` returns, whatever `output` is.

        Returns
        -------
        array of shape (n_samples, n_features)
            In the dtype of X.

        Raises
        ------
        ValueError
            If X has another number of columns, or holds NaN or infinity.
        """
        self._check_parameters()
        if isinstance(X, SparseCode):
            code = X.numpy()
            check_array(code.values, input_name="X", dtype=DTYPES)
            check_columns("SparseCoder", code.n_atoms, self._n_features_out)
            if self.split_sign:
                code = _merge(code)
            return code.decode(self._array(code.dtype))
        X = check_array(X, accept_sparse="csr", dtype=DTYPES, input_name="X")
        check_columns("SparseCoder", X.shape[1], self._n_features_out)
        dictionary = self._array(X.dtype)
        if self.split_sign:
            X = X[:, : len(dictionary)] - X[:, len(dictionary) :]
        return X @ dictionary

    def _encode(self, X: np.ndarray, dictionary: np.ndarray | PreparedDictionary) -> SparseCode:
        n_nonzero = self.n_nonzero
        if n_nonzero is None:
            n_atoms, n_features = dictionary.shape
            n_nonzero = min(n_atoms, max(1, n_features // 10) if self.tol is None else n_features)
        if self.algorithm == "topk":
            return topk(X, dictionary, n_nonzero, positive=self.positive, backend=self.backend)
        if self.algorithm == "iht":
            return iht(
                X, dictionary, n_nonzero, n_iterations=self.n_iterations, tol=self.tol, backend=self.backend
            )  # fmt: skip
        return omp(
            X,
            dictionary,
            n_nonzero,
            selection=self.algorithm,
            positive=self.positive,
            tol=self.tol,
            backend=self.backend,
        )

    def _checked_dictionary(self, X: np.ndarray) -> np.ndarray | PreparedDictionary:
        """The dictionary as the ops take it for X, after a look at all parameters."""
        self._check_parameters()
        dictionary = self._array(X.dtype)
        n_atoms, n_features = dictionary.shape
        if X.shape[1] != n_features:
            raise ValueError(
                f"SparseCoder: X has {X.shape[1]} features, and the atoms of the dictionary {n_features}; "
                "they must have as many"
            )
        if self.n_nonzero is not None and self.n_nonzero > n_atoms:
            raise ValueError(f"SparseCoder: n_nonzero={self.n_nonzero}; it must be 1 to n_components={n_atoms}")
        if isinstance(self.dictionary, PreparedDictionary) and self.dictionary.dtype == str(X.dtype):
            return self.dictionary
        return dictionary

    def _array(self, dtype: Any) -> np.ndarray:
        """The dictionary as a finite array of shape (n_components, n_features)."""
        given = self.dictionary.numpy() if isinstance(self.dictionary, PreparedDictionary) else self.dictionary
        return check_array(given, dtype=dtype, input_name="dictionary")

    def _check_parameters(self) -> None:
        for name, allowed in (("algorithm", _ALGORITHMS), ("output", OUTPUTS)):
            value = getattr(self, name)
            if value not in allowed:
                raise ValueError(f"SparseCoder: {name}={value!r}; it must be one of {', '.join(allowed)}")
        for name in ("positive", "split_sign"):
            value = getattr(self, name)
            if not isinstance(value, (bool, np.bool_)):
                raise TypeError(f"SparseCoder: {name}={value!r}; it must be True or False")
        for name in ("n_nonzero", "n_iterations"):
            value = getattr(self, name)
            if not (name == "n_nonzero" and value is None) and arrays.index(value, f"SparseCoder: {name}") < 1:
                raise ValueError(f"SparseCoder: {name}={value}; it must be at least 1")
        tol: Any = self.tol
        if tol is not None:
            if isinstance(tol, (bool, np.bool_)) or not isinstance(tol, (int, float, np.integer, np.floating)):
                raise TypeError(f"SparseCoder: tol={tol!r}; it must be a number or None")
            if not tol >= 0:
                raise ValueError(f"SparseCoder: tol={tol}; it must be at least 0 (the norm, not its square)")
            if self.algorithm == "topk":
                raise ValueError(f'SparseCoder: tol={tol} with algorithm="topk", which has no tolerance')
        if self.positive and self.algorithm not in _TAKE_POSITIVE:
            raise ValueError(
                f"SparseCoder: positive=True with algorithm={self.algorithm!r}; "
                f"it is for {' and '.join(_TAKE_POSITIVE)} alone"
            )

    @property
    def _n_features_out(self) -> int:
        return int(np.shape(self.dictionary)[0]) * (2 if self.split_sign else 1)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.requires_fit = False
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags


def _split(code: SparseCode) -> SparseCode:
    """Coefficients without sign: those that were negative belong to atom i + n_atoms instead of i."""
    indices = np.where(code.values < 0, code.indices + code.n_atoms, code.indices)
    return SparseCode(indices, np.abs(code.values), code.counts, code.status, 2 * code.n_atoms)


def _merge(code: SparseCode) -> SparseCode:
    """The inverse of `_split`."""
    n_atoms = code.n_atoms // 2
    negative = code.indices >= n_atoms
    indices = np.where(negative, code.indices - n_atoms, code.indices)
    return SparseCode(indices, np.where(negative, -code.values, code.values), code.counts, code.status, n_atoms)
