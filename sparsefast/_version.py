"""The version: the one place where it is written (CMake and pyproject.toml read it from here)."""

__version__ = "0.1.0"
