"""How estimators hand out sparse codes, and take them back."""

from __future__ import annotations

from typing import Any

from sklearn import get_config
from sklearn.utils.validation import check_array

from sparsefast.estimators.batches import DTYPES, is_tensor, like
from sparsefast.sparse_code import SparseCode

OUTPUTS = ("dense", "csr", "code")


def presented(estimator: Any, code: SparseCode) -> Any:
    """A code as the estimator's parameter `output` says."""
    if estimator.output == "dense":
        return code.to_dense()
    if estimator.output == "csr":
        if is_tensor(code.values):
            return code.to_torch_sparse()
        matrix = code.to_scipy()
        matrix.sort_indices()
        return matrix
    container = getattr(estimator, "_sklearn_output_config", {}).get("transform", get_config()["transform_output"])
    if container not in (None, "default"):
        raise ValueError(
            f'{type(estimator).__name__}: output="code" cannot be put into a container of {container}; '
            'pass output="dense", or call set_output(transform="default")'
        )
    return code


def reconstructed(owner: str, X: Any, dictionary: Any) -> Any:
    """The samples that codes X stand for: SparseCode, or a matrix (n_samples, n_components) of any kind."""
    n_atoms = int(dictionary.shape[0])
    if isinstance(X, SparseCode):
        if not is_tensor(X.values):
            check_array(X.values, input_name="X", dtype=DTYPES)
        check_columns(owner, X.n_atoms, n_atoms)
        return X.decode(like(dictionary, X.values))
    if not is_tensor(X):
        X = check_array(X, accept_sparse="csr", dtype=DTYPES, input_name="X")
    check_columns(owner, int(X.shape[-1]), n_atoms)
    return X @ like(dictionary, X)


def check_columns(owner: str, n_columns: int, expected: int) -> None:
    """Raise ValueError unless codes have as many columns as the dictionary says."""
    if n_columns != expected:
        raise ValueError(f"{owner}: X has {n_columns} columns; the codes of this dictionary have {expected}")
