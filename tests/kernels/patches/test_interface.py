"""Every backend has unfold and fold, under the same names, with the same arguments."""

import inspect

import pytest

from tests.kernels.helper import BACKENDS, exists, kernels

FUNCTIONS = (("unfold", "unfold"), ("unfold", "unfold_at"), ("fold", "fold"), ("fold", "fold_at"))


@pytest.mark.parametrize("backend", BACKENDS)
def test_every_backend_has_both(backend: str) -> None:
    assert [name for name in ("unfold", "fold") if not exists(backend, name)] == []


@pytest.mark.parametrize(("name", "function"), FUNCTIONS)
def test_arguments_have_the_same_names_in_the_same_order_everywhere(name: str, function: str) -> None:
    modules = [kernel.module for kernel in kernels(name)]
    expected = list(inspect.signature(getattr(modules[0], function)).parameters)
    for module in modules:
        assert list(inspect.signature(getattr(module, function)).parameters) == expected, module


def test_every_fold_says_how_large_its_tiles_are() -> None:
    for kernel in kernels("fold"):
        height, width = kernel.module.TILE
        assert height > 0 and width > 0
