"""Copies of the tree, wheels of it, and fresh environments to install them into; nothing is downloaded."""

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# Built or cached in the tree, never part of it.
IGNORED = shutil.ignore_patterns(
    *("build", "dist", ".git", ".venv", "__pycache__", "*.egg-info", ".*_cache", ".hypothesis", ".benchmarks"),
    *("_C.*", "_emulated.*", "_build.json"),
)

Run = Callable[..., subprocess.CompletedProcess[str]]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.packaging)


# One instruction set, in a third of the time, where a test asks nothing of the others.
BASELINE = "-DSPARSEFAST_CPU_ISAS="


def run(*command: object, check: bool = True, **settings: str | None) -> subprocess.CompletedProcess[str]:
    """Runs a command without what steers builds and imports here; CPU only unless told; None unsets a variable."""
    steering = ("SPARSEFAST_", "PYTHON", "CMAKE_", "CXX", "CUDA", "TORCH_CUDA_ARCH_LIST", "PIP_NO_INDEX", "VIRTUAL_ENV")
    environment = {key: value for key, value in os.environ.items() if not key.startswith(steering)}
    environment["PATH"] = os.pathsep.join([sysconfig.get_path("scripts"), environment["PATH"]])
    environment |= {"SPARSEFAST_CUDA": "0", "PYTHONDONTWRITEBYTECODE": "1"}
    environment |= {key: value for key, value in settings.items() if value is not None}
    for key in (key for key, value in settings.items() if value is None):
        environment.pop(key, None)
    directory = environment.pop("cwd", "/")
    done = subprocess.run(
        [str(part) for part in command],
        env=environment,
        cwd=directory,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    if check:
        assert done.returncode == 0, done.stdout
    return done


def pip(*arguments: object, **settings: str | None) -> subprocess.CompletedProcess[str]:
    return run(sys.executable, "-m", "pip", "--disable-pip-version-check", *arguments, **settings)


def build_wheel(source: Path, target: Path, check: bool = True, **settings: str | None):
    """`pip wheel` without isolation and without any index, as on a machine without network."""
    offline = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": "", "PIP_EXTRA_INDEX_URL": ""}
    options = ("--verbose", "--no-build-isolation", "--no-deps", "--no-cache-dir", "--wheel-dir", target)
    return pip("wheel", *options, source, check=check, **offline, **settings)


def only(folder: Path, pattern: str) -> Path:
    (found,) = folder.glob(pattern)
    return found


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of the source tree without anything built in it."""
    return Path(shutil.copytree(ROOT, tmp_path / "tree", symlinks=True, ignore=IGNORED))


@pytest.fixture(scope="session")
def source_distribution(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sdist")
    source = shutil.copytree(ROOT, folder / "tree", symlinks=True, ignore=IGNORED)
    run(sys.executable, "-m", "build", "--no-isolation", "--sdist", "--outdir", folder, source)
    return only(folder, "*.tar.gz")


@pytest.fixture(scope="session")
def wheel(source_distribution: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of the source distribution, with the native module and without CUDA."""
    folder = tmp_path_factory.mktemp("wheel")
    build_wheel(source_distribution, folder, SPARSEFAST_NATIVE="1")
    return only(folder, "*.whl")


@pytest.fixture
def fresh_python(tmp_path: Path) -> Path:
    """The interpreter of a new environment that sees the dependencies installed here, but not this package."""
    folder = tmp_path / "environment"
    venv.create(folder, with_pip=False, symlinks=True)
    # A plain line: .pth files in the folder it names, such as this package's editable install, are not read.
    packages = only(folder, "lib/python*/site-packages")
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return folder / "bin" / "python"


def install(python: Path, *what: object, **settings: str | None) -> None:
    pip("--python", python, "install", "--no-index", "--no-build-isolation", "--no-deps", *what, **settings)


@pytest.fixture(scope="session")
def index_is_reachable(tmp_path_factory: pytest.TempPathFactory) -> bool:
    """Whether build tools can be fetched into isolation."""
    folder = tmp_path_factory.mktemp("index")
    return pip("download", "--no-deps", "--dest", folder, "pybind11", check=False).returncode == 0


def python_says(python: Path, code: str, **settings: str | None) -> str:
    """What a piece of code prints in an environment, run from a directory that holds no sources."""
    return run(python, "-c", code, cwd=str(python.parent), **settings).stdout.strip()
