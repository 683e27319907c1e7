"""Bits and statistics of codes."""

import math

import pytest
import torch

import sparsefast
from sparsefast.nn import rates


def test_bits_are_those_of_counting():
    assert rates.vector_bits(512) == 9
    # 15 choose 4 is 1365.
    assert rates.sparse_bits(15, 4, 5) == pytest.approx(math.log2(1365) + 20, rel=1e-12)
    assert rates.sparse_bits(15, 4, None) == pytest.approx(math.log2(1365) + 128, rel=1e-12)
    assert rates.sparse_bits(7, 7, 3) == pytest.approx(21, rel=1e-12)
    # One atom of K with no coefficient is the index of a code.
    assert rates.sparse_bits(512, 1, 0) == pytest.approx(rates.vector_bits(512), rel=1e-12)
    assert rates.bits_per_pixel(9, 4, 1) == 9 / 16
    assert rates.bits_per_pixel(9, 4, 2) == 9 / 64


def test_usage_counts_entries_and_not_padding():
    code = sparsefast.SparseCode(
        torch.tensor([[[2, 0], [1, 2]]]), torch.tensor([[[1.0, 0.0], [3.0, 4.0]]]),
        torch.tensor([[1, 2]], dtype=torch.int32), torch.zeros(1, 2, dtype=torch.uint8), 4,
    )  # fmt: skip
    assert rates.usage_counts(code, 4).tolist() == [0, 1, 2, 0]
    assert rates.usage_counts(torch.tensor([[3, 1], [1, 1]]), 4).tolist() == [0, 3, 0, 1]


def test_entropy_of_usage():
    assert rates.entropy_bits(torch.tensor([5, 5, 5, 5])).item() == pytest.approx(2)
    assert rates.entropy_bits(torch.tensor([1, 2, 1, 0])).item() == pytest.approx(1.5)
    assert rates.entropy_bits(torch.zeros(3)).item() == 0
    assert rates.perplexity(torch.tensor([7.0, 0, 7.0])).item() == pytest.approx(2)


def test_dead_codes_are_those_used_too_little():
    usage = torch.tensor([0, 1, 10, 29])
    assert rates.dead_count(usage).item() == 1
    assert rates.dead_count(usage, 0.1).item() == 2
    assert rates.dead_count(usage, 0.9).item() == 2
    assert rates.dead_count(usage, 1).item() == 3


def test_mutual_coherence_is_the_largest_cosine_of_two_atoms():
    atoms = torch.tensor([[2.0, 0, 0], [0, 3, 0], [-1, 0, 1]], dtype=torch.float64)
    assert rates.mutual_coherence(atoms).item() == pytest.approx(math.sqrt(0.5))
