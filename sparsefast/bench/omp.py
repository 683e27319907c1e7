"""The cases of `omp`: sizes, goals, and what a signal costs."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Case:
    """One size of the problem: signals are patches of `patch` pixels in gray or colour."""

    name: str
    patch: tuple[int, int]
    colour: bool
    n_atoms: int
    n_nonzero: int
    goal: float | None = None
    """Times the speed of SPAMS on one thread that we mean to reach."""
    neighbour: str = ""
    """For a size that suits no tile: the case of nearly equal work that does, whose rate it should be within 30% of."""
    most: int = 1 << 18

    @property
    def n_features(self) -> int:
        return self.patch[0] * self.patch[1] * (3 if self.colour else 1)

    def flops(self) -> int:
        """FLOPs of Batch-OMP for a signal: 2FK for D x, then (2k + 3) K for u_k and c in all steps but the last.

        u_k = (G_i - sum_{j<k} w_j u_j) / d takes (2k + 1) K and c -= y u_k takes 2K. Comparisons, the Gram matrix
        (shared) and the triangular algebra (no factor K) are not counted. Peers are held to the same count.
        """
        steps = min(self.n_nonzero, self.n_features, self.n_atoms)
        return 2 * self.n_features * self.n_atoms + sum((2 * k + 3) * self.n_atoms for k in range(steps - 1))

    def bytes(self, itemsize: int = 4) -> int:
        """Bytes that must move for a signal: the signal, S values and int32 indices, a count and a status."""
        return self.n_features * itemsize + self.n_nonzero * (itemsize + 4) + 4 + 1


CASES = {
    case.name: case
    for case in (
        Case("C1", (8, 8), False, 256, 8, goal=6.0),
        Case("C2", (8, 8), False, 512, 8, goal=5.5),
        Case("C3", (8, 8), True, 1024, 10, goal=4.5, most=1 << 17),
        Case("C4", (1, 1), True, 16, 4, goal=40.0, most=1 << 22),
        Case("C5", (8, 8), False, 1024, 16, goal=4.7),
        Case("F49-K250", (7, 7), False, 250, 8, neighbour="F48-K256"),
        Case("F48-K256", (6, 8), False, 256, 8),
        Case("F63-K100", (7, 9), False, 100, 8, neighbour="F64-K96"),
        Case("F64-K96", (8, 8), False, 96, 8),
    )
}
# For tests: it says nothing about speed.
TINY = Case("tiny", (3, 3), False, 20, 3, most=200)
