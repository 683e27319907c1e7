"""Named arrays in a safetensors file, with what the file is and its version."""

from __future__ import annotations

import json
import os
from typing import Any

import numpy as np

from sparsefast.files import replace_file


def save_arrays(
    path: str | os.PathLike[str], what: str, version: int, arrays: dict[str, np.ndarray], about: dict[str, Any]
) -> None:
    """Write arrays to a file, whole or not at all.

    Parameters
    ----------
    path : path of the file, in a folder that exists; safetensors whatever its suffix
    what : str
        What the file holds, such as "DictionaryStats": `load_arrays` refuses another.
    version : int
        Of the layout of `arrays` and `about`.
    about : dict
        Numbers, strings and lists of them: kept as JSON, in the header.

    Raises
    ------
    OSError
        If it cannot be written, with the path as it was given.
    """
    from safetensors.numpy import save

    header = {"format": f"sparsefast.{what}", "version": str(version), "about": json.dumps(about)}
    replace_file(path, save({name: np.asarray(x, order="C") for name, x in arrays.items()}, header))


def load_arrays(path: str | os.PathLike[str], what: str, version: int) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The arrays and `about` of a file that `save_arrays` wrote.

    Raises
    ------
    ValueError
        If it is no such file: another format, other contents, or a version that is not known here.
    OSError
        If it cannot be read.
    """
    from safetensors import SafetensorError, safe_open

    with open(path, "rb"):  # the system's own words for what is missing or may not be read
        pass
    try:
        with safe_open(path, "np") as file:
            header = file.metadata() or {}
            found = header.get("format")
            if found != f"sparsefast.{what}":
                raise ValueError(f"{path} holds {found or 'tensors of another program'}, not a sparsefast.{what}")
            if header.get("version") != str(version):
                raise ValueError(
                    f"{path} has version {header.get('version')} of sparsefast.{what}; this program reads {version}"
                )
            return {name: file.get_tensor(name) for name in file.keys()}, json.loads(header["about"])  # noqa: SIM118
    except (SafetensorError, KeyError, json.JSONDecodeError) as error:
        text = " ".join(str(error).split())
        raise ValueError(f"{path} is not a whole safetensors file of sparsefast: {text}") from None
