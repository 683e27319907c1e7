"""Files that are there whole or not at all."""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path
from typing import Any


def replace_file(path: str | os.PathLike[str], data: Any) -> None:
    """Write data to a new file, which takes the place of `path` once it is whole.

    An interrupted or failed write leaves what was there before, and no other file. A file that is replaced keeps its
    permissions; where the path is a link, what it points to is replaced.

    Raises
    ------
    OSError
        If it cannot be written, with the path as it was given.
    """
    target = Path(os.path.realpath(path))
    unfinished = target.with_name(f".sparsefast-{secrets.token_hex(8)}")
    try:
        # As for any new file, the process's umask decides who may read it.
        with unfinished.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileNotFoundError):
            unfinished.chmod(target.stat().st_mode & 0o777)
        unfinished.replace(target)
    except BaseException as error:
        with contextlib.suppress(OSError):
            unfinished.unlink()
        # The system names no file, or the unfinished one, which would tell the reader nothing.
        if isinstance(error, OSError):
            raise type(error)(f"{path}: {error.strerror}") from None
        raise
    _sync_folder(target.parent)


def _sync_folder(folder: Path) -> None:
    """Make a new name last through a loss of power, where the system can."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
