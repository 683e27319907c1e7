"""Every backend has every kernel, under the same names, with the same arguments."""

import importlib
import inspect

import numpy as np
import pytest

from sparsefast import dispatch
from tests.data import random_problem
from tests.kernels.helper import BACKENDS, CODERS, Kernel, Outputs, exists, kernels

NAMES = (*CODERS, "nearest_code")
# Functions that take the Gram matrix into their layout; those of the reference never do.
NEED_GRAM = ("omp", "ols", "positive", "iht")


@pytest.mark.parametrize("backend", BACKENDS)
def test_every_backend_has_every_kernel(backend: str) -> None:
    assert [name for name in NAMES if not exists(backend, name)] == []


@pytest.mark.parametrize("name", NAMES)
def test_arguments_have_the_same_names_in_the_same_order_everywhere(name: str) -> None:
    modules = [kernel.module for kernel in kernels(name)]
    expected = inspect.signature(getattr(modules[0], name)).parameters
    for module in modules:
        assert list(inspect.signature(getattr(module, name)).parameters) == list(expected)
        assert list(inspect.signature(module.prepare).parameters) == ["dictionary", "gram", "n_threads"]


@pytest.mark.parametrize("function", ["ksvd_update", "dictionary_stats", "online_update"])
def test_dictionary_learning_has_the_same_arguments_everywhere(function: str) -> None:
    assert [backend for backend in (*BACKENDS, "cuda") if not exists(backend, "ksvd")] == []
    columns = [backend for backend in (*BACKENDS, "cuda") if dispatch.why_not(function, emulated(backend)) is None]
    modules = [importlib.import_module(f"sparsefast.kernels.{backend}.ksvd") for backend in columns]
    names = [list(inspect.signature(getattr(module, function)).parameters) for module in modules]
    assert all(found == names[0] for found in names)
    # A sweep waits for all blocks of a device at once, which Triton cannot say: the grid does.
    assert dispatch.why_not(function, "triton") == f"{function} is not offered yet"


def emulated(backend: str) -> str:
    return "cuda-emulated" if backend == "cuda" else backend


@pytest.mark.parametrize("name", NAMES)
def test_forms_say_who_needs_a_gram(name: str) -> None:
    for kernel in kernels(name):
        expected = "gram" if name in NEED_GRAM and kernel.backend != "reference" else "atoms"
        assert expected == kernel.module.FORM, kernel


@pytest.mark.parametrize("kernel", kernels(), ids=str)
def test_layouts_of_one_form_are_interchangeable(kernel: Kernel) -> None:
    p = random_problem(9, 13, 40)
    p.dictionary[3, 4] = np.nan
    mine = [kernel.named(name) for name in NAMES if exists(kernel.backend, name)]
    layouts = [(one.module.FORM, one.prepare(p.dictionary)) for one in mine]
    mask = np.ones(p.signals.shape, bool)
    for one in mine:
        same = [layout for form, layout in layouts if form == one.module.FORM]
        results: list[Outputs]
        if one.name == "nearest_code":
            results = [one.nearest(p.signals, p.dictionary, layout=layout) for layout in same]
        else:
            results = [one.code(p.signals, p.dictionary, 3, layout=layout, mask=mask) for layout in same]
        assert all(result.same_bits(results[0]) for result in results)
