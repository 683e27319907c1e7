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
from sparsefast.bench.laser.contexts import N_AROUND, around, classes
from sparsefast.bench.laser.entropy import Stream, Streams, Tables

# Of codes that are not zero, by their norms.
_CLASSES = 6
# Patches that are coded together.
_BLOCK = 1024


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
    """VQ: one of K codes for each patch. Its model knows the norms of the neighbours' codes."""

    name = "VQ"

    def __init__(self, rows: np.ndarray, n_codes: int) -> None:
        self.codebook = learn_codebook(rows, n_codes)
        self.effort = 1  # all codes are compared: more finds nothing better
        # 0 for the zero code.
        norms = np.linalg.norm(self.codebook, axis=1)
        self.much = np.where(norms > 0, 1 + classes(norms, _CLASSES), 0)

    def encode(self, rows: np.ndarray, lam: float, step: float, tables: Tables | None) -> np.ndarray:
        """The codes of patches (N, F) at `lam` squared errors a bit; `step` is not used."""
        n_codes = len(self.codebook)
        bits = np.full(n_codes, np.log2(n_codes)) if tables is None else tables["index"].overall
        return choose(rows, self.codebook, bits, lam)

    def streams(self, code: np.ndarray, shape: tuple[int, int], step: float) -> Streams:
        """The symbols of patches (H, W), `shape`, in order of rows."""
        return {"index": Stream(code, len(self.codebook), around(self.much[code].reshape(shape)), N_AROUND)}

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
    """RVQ: a code of each of several stages; where the rate is not worth it, fewer stages.

    At each stage the `effort` sequences of codes of the least cost are kept: 1 is the greedy search. The model of the
    number of stages knows the neighbours', that of a code the number of stages.

    Parameters
    ----------
    rows : array of shape (N, F), float32
        What it is learnt from: k-means of each stage's residuals in turn.
    n_codes, n_stages : int
        K of each stage, and how many there are.
    """

    name = "RVQ"

    def __init__(self, rows: np.ndarray, n_codes: int, n_stages: int) -> None:
        self.codebooks = []
        self.effort = 1
        rest = rows
        for stage in range(n_stages):
            codebook = learn_codebook(rest, n_codes, seed=stage)
            self.codebooks.append(codebook)
            rest = rest - codebook[np.asarray(sparsefast.nearest_code(rest, codebook).indices)]

    def encode(self, rows: np.ndarray, lam: float, step: float, tables: Tables | None) -> StagesCode:
        """The codes of patches (N, F) at `lam` squared errors a bit; `step` is not used."""
        n_stages, n_codes = len(self.codebooks), len(self.codebooks[0])
        of_count = np.full(n_stages + 1, np.log2(n_stages + 1)) if tables is None else tables["count"].overall
        counts, indices = np.zeros(len(rows), np.int64), np.zeros((len(rows), n_stages), np.int64)
        for start in range(0, len(rows), _BLOCK):
            here = slice(start, start + _BLOCK)
            part = rows[here]
            n, every = len(part), np.arange(len(part))[:, None]
            # Of the sequences that are kept: what is left, its square, lambda bits, and the codes.
            rest, square = part[:, None], (part.astype(np.float64) ** 2).sum(1)[:, None]
            spent, codes = np.zeros((n, 1)), np.zeros((n, 1, n_stages), np.int64)
            lowest = square[:, 0] + lam * of_count[0]
            for stage, codebook in enumerate(self.codebooks):
                each = np.full(n_codes, np.log2(n_codes)) if tables is None else tables[f"index {stage}"].overall
                own = ((codebook.astype(np.float64) ** 2).sum(1) + lam * each).astype(np.float32)
                cost = rest.reshape(-1, rest.shape[2]) @ (-2 * codebook.T)
                cost += own
                # Less what all have in common, for float32's digits.
                before = square + spent
                cost = cost.reshape(n, -1, n_codes) + (before - before[:, :1]).astype(np.float32)[:, :, None]
                cost = cost.reshape(n, -1)
                kept = min(self.effort, cost.shape[1])
                best = np.argpartition(cost, kept - 1, axis=1)[:, :kept]
                parent, index = np.divmod(best, n_codes)
                codes = codes[every, parent]
                codes[:, :, stage] = index
                spent = spent[every, parent] + lam * each[index]
                rest = rest[every, parent] - codebook[index]
                square = (rest.astype(np.float64) ** 2).sum(2)
                first = (square + spent).argmin(1)
                total = (square + spent)[every[:, 0], first] + lam * of_count[stage + 1]
                better = np.flatnonzero(total < lowest)
                lowest[better] = total[better]
                counts[start + better] = stage + 1
                indices[start + better] = codes[better, first[better]]
        return StagesCode(counts, indices)

    def streams(self, code: StagesCode, shape: tuple[int, int], step: float) -> Streams:
        """The symbols of patches (H, W), `shape`, in order of rows."""
        n_stages = len(self.codebooks)
        found = {"count": Stream(code.counts, n_stages + 1, around(code.counts.reshape(shape)), N_AROUND)}
        for stage, codebook in enumerate(self.codebooks):
            used = code.counts > stage
            found[f"index {stage}"] = Stream(code.indices[used, stage], len(codebook), code.counts[used], n_stages + 1)
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
