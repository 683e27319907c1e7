"""Archives from their publishers, fetched whole or not at all."""

from __future__ import annotations

import importlib
import os
import tempfile
from pathlib import Path


def fetch(url: str, md5: str, root: str | os.PathLike[str], folder: str) -> None:
    """Download an archive, check it, and put the folder that it holds into `root`.

    Until all is there nothing is: an interrupted download leaves no folder behind, and two processes that fetch the
    same one do not meet.

    Parameters
    ----------
    url, md5 : str
        The archive and its checksum, in hexadecimal digits.
    root : path
        Made where it is missing.
    folder : str
        The name of the folder in the archive.

    Raises
    ------
    ImportError
        If torchvision, which downloads it, is not installed.
    OSError
        If it cannot be fetched, or is another archive.
    """
    try:
        utils = importlib.import_module("torchvision.datasets.utils")
    except ImportError:
        raise ImportError("data.download=true needs torchvision: pip install 'sparsefast[train]'") from None
    os.makedirs(root, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".download-", dir=root) as unfinished:
        try:
            utils.download_and_extract_archive(url, unfinished, md5=md5)
        except Exception as error:  # of the network, of the archive, or that the checksum is another
            raise OSError(f"{url} could not be fetched: {' '.join(str(error).split())}") from None
        unpacked, target = Path(unfinished, folder), Path(root, folder)
        if not unpacked.is_dir():
            raise OSError(f"{url} holds no folder {folder}")
        try:
            unpacked.rename(target)
        except OSError:
            # Another process was faster, or what is there is not what was looked for.
            if not target.is_dir():
                raise
