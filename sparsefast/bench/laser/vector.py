"""Vector quantisation and residual vector quantisation of patches, entropy-constrained.

The code of a patch minimises ||r - c||^2 + lambda bits(c): the nearest in one more dimension, in which patches are 0
and codes sqrt(lambda bits(c)), so that `nearest_code` finds it.

Sources: P. Chou, T. Lookabaugh, R. Gray, "Entropy-constrained vector quantization", IEEE Trans. ASSP 37, 1989;
B. Juang, A. Gray, "Multiple stage vector quantization for speech coding", ICASSP 1982.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

import sparsefast
from sparsefast.bench.laser.entropy import Stream, Streams, Tables


def learn_codebook(rows: np.ndarray, n_codes: int, seed: int = 0) -> np.ndarray:
    """n_codes codes (n_codes, F) by k-means; the first is zero, the patch that is its mean alone."""
    import torch

    from sparsefast.nn.kmeans import kmeans

    codes = kmeans(torch.from_numpy(rows), n_codes - 1, seed=seed).numpy()
    return np.concatenate([np.zeros_like(codes[:1]), codes])


def choose(rows: np.ndarray, codebook: np.ndarray, bits: np.ndarray, lam: float) -> np.ndarray:
    """The codes (N,) with the least ||r - c||^2 + lam * bits."""
    lifted = np.sqrt(lam * bits)[:, None]
    # Only differences of bits matter: small numbers keep float32's digits for the patches.
    lifted = np.sqrt(np.maximum(lifted**2 - lifted.min() ** 2, 0))
    wide = np.concatenate([rows, np.zeros_like(rows[:, :1])], axis=1)
    codes = np.concatenate([codebook, lifted.astype(codebook.dtype)], axis=1)
    return np.asarray(sparsefast.nearest_code(wide, codes).indices, np.int64)


class VectorCoder:
    """VQ: one of K codes for each patch."""

    name = "VQ"

    def __init__(self, rows: np.ndarray, n_codes: int) -> None:
        self.codebook = learn_codebook(rows, n_codes)

    def encode(self, rows: np.ndarray, lam: float, step: float, tables: Tables | None) -> np.ndarray:
        """The codes of patches (N, F) at `lam` squared errors a bit; `step` is not used."""
        n_codes = len(self.codebook)
        bits = np.full(n_codes, np.log2(n_codes)) if tables is None else tables["index"]
        return choose(rows, self.codebook, bits, lam)

    def streams(self, code: np.ndarray) -> Streams:
        return {"index": Stream(code, len(self.codebook))}

    def spared(self, code: np.ndarray) -> float:
        """Bits that the order of symbols would take and that are not sent: none."""
        return 0.0

    def decode(self, code: np.ndarray, step: float) -> np.ndarray:
        return self.codebook[code]


@dataclass
class StagesCode:
    counts: np.ndarray
    """(N,): how many stages each patch takes."""
    indices: np.ndarray
    """(N, stages)"""


class ResidualCoder:
    """RVQ: a code of each of several stages in turn, greedily; where the rate is least worth it, fewer stages."""

    name = "RVQ"

    def __init__(self, rows: np.ndarray, n_codes: int, n_stages: int) -> None:
        self.codebooks = []
        rest = rows
        for stage in range(n_stages):
            codebook = learn_codebook(rest, n_codes, seed=stage)
            self.codebooks.append(codebook)
            rest = rest - codebook[np.asarray(sparsefast.nearest_code(rest, codebook).indices)]

    def encode(self, rows: np.ndarray, lam: float, step: float, tables: Tables | None) -> StagesCode:
        """The codes of patches (N, F) at `lam` squared errors a bit; `step` is not used."""
        n_stages, n_codes = len(self.codebooks), len(self.codebooks[0])
        of_count = np.full(n_stages + 1, np.log2(n_stages + 1)) if tables is None else tables["count"]
        counts = np.zeros(len(rows), np.int64)
        indices = np.zeros((len(rows), n_stages), np.int64)
        rest, bits = rows, np.zeros(len(rows))
        best = (rows.astype(np.float64) ** 2).sum(1) + lam * of_count[0]
        for stage, codebook in enumerate(self.codebooks):
            each = np.full(n_codes, np.log2(n_codes)) if tables is None else tables[f"index {stage}"]
            indices[:, stage] = choose(rest, codebook, each, lam)
            rest = rest - codebook[indices[:, stage]]
            bits = bits + each[indices[:, stage]]
            cost = (rest.astype(np.float64) ** 2).sum(1) + lam * (bits + of_count[stage + 1])
            counts = np.where(cost < best, stage + 1, counts)
            best = np.minimum(best, cost)
        return StagesCode(counts, indices)

    def streams(self, code: StagesCode) -> Streams:
        found = {"count": Stream(code.counts, len(self.codebooks) + 1)}
        for stage, codebook in enumerate(self.codebooks):
            found[f"index {stage}"] = Stream(code.indices[code.counts > stage, stage], len(codebook))
        return found

    def spared(self, code: StagesCode) -> float:
        """Bits that the order of symbols would take and that are not sent: none."""
        return 0.0

    def decode(self, code: StagesCode, step: float) -> np.ndarray:
        out = np.zeros((len(code.counts), self.codebooks[0].shape[1]), self.codebooks[0].dtype)
        for stage, codebook in enumerate(self.codebooks):
            used = code.counts > stage
            out[used] += codebook[code.indices[used, stage]]
        return out
