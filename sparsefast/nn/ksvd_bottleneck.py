"""The K-SVD bottleneck of LASER: sparse codes in a dictionary that learns by itself, without an optimiser."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import mse_loss

import sparsefast
from sparsefast.nn import processes
from sparsefast.nn.arguments import check_choice, check_number, check_whole
from sparsefast.nn.sparse_bottleneck import SparseBottleneck, check_flag, with_values
from sparsefast.ops.ksvd_update import METHODS
from sparsefast.ops.straight_through import straight_through
from sparsefast.sparse_code import SparseCode

# Statistics of an atom that faded so far below those of the most used one are nothing but rounding.
_FADED = 1e-30


class KSVDBottleneck(SparseBottleneck):
    """Each signal of a latent becomes a combination of at most s of K atoms, by orthogonal matching pursuit; in
    training mode each call also moves the dictionary towards the signals, without a gradient.

        loss = commitment_cost ||z - sg z^||^2        dL/dz = dL/dz^ (straight-through)

    with the mean over all numbers for the norm. How the dictionary learns:

    - `ksvd_iterations` > 0: so many times OMP and a sweep of K-SVD (`sparsefast.ksvd_update`) over the signals of the
      call, whose codes then have the coefficients of the last sweep. A call must have many signals for each atom: from
      few the atoms are fitted to these, and what came before is forgotten.
    - `use_online_learning`: A = sum of codes' outer products and B = sum of code times signal of all calls, the older
      ones faded by 1 - dict_learning_rate with each call, then one pass of block coordinate descent over the atoms
      (`sparsefast.online_update`). The signals are coded again in what came out.
    - neither: the dictionary is a parameter, and the loss has dictionary_weight ||sg z - z^||^2, as `SparseBottleneck`.

    Which is better: on 48-dimensional patches of photographs (256 atoms, s = 3, 60 calls, held-out error as a part of
    the energy) 2048 signals a call from k-means at 0.66% end at 0.42% online (dict_learning_rate=0.1), 0.48% by sweeps;
    512 signals a call at 0.46% and 0.61%. The rule d_k += rate * (mean of residual times coefficient) instead of the
    statistics got worse than it began, 0.77% at the rate 0.5.

    Parameters
    ----------
    num_embeddings, embedding_dim, sparsity_level, commitment_cost, patch_size
        As for `SparseBottleneck`; so are coefficient_bits, quantize_in_training, revive_every and revive_below.
    ksvd_iterations : int
        Sweeps of K-SVD in a training call, at least 0.
    normalize_atoms : bool
        Use the atoms scaled to unit norm. Else as they are: of norm 1 where a sweep changed them, at most 1 where
        online learning did.
    dictionary_weight : float
        Read only without sweeps and online learning.
    use_online_learning : bool
        With ksvd_iterations=0 only.
    dict_learning_rate : float
        0 to 1: the part of what was learned that each call replaces; 0: all calls count alike. Read by online learning.
    ksvd_method : {"approx", "exact"}
        Of a sweep: one step of alternating least squares, or the leading singular vectors.

    Attributes
    ----------
    dictionary : buffer of shape (K, C * p^2); a parameter without sweeps and online learning
    failures : buffer, int64 tensor ()
        How often learning had to leave something out: signals that held NaN or infinity, or online that were too large
        to be squared; atoms whose update was not finite, which stayed as they were; and calls whose statistics were
        not finite. Of all processes; kept in checkpoints.
    gram, cross : buffers of shape (K, K) and (K, C * p^2), float64, with use_online_learning
        A and B.
    coefficients, usage, revived, calls
        As for `SparseBottleneck`.

    With online learning a training call is not compiled to one graph. Several processes learn the same dictionary, and
    what one would learn that has the whole batch: sweeps see the signals of all, and statistics are summed.

    Raises
    ------
    TypeError, ValueError
        For an argument out of range, or both ksvd_iterations > 0 and use_online_learning.

    References
    ----------
    M. Aharon, M. Elad, A. Bruckstein, "K-SVD", IEEE Trans. Signal Processing 54, 2006. J. Mairal, F. Bach, J. Ponce, G.
    Sapiro, "Online dictionary learning for sparse coding", ICML 2009.
    """

    gram: Tensor
    cross: Tensor
    failures: Tensor
    _wide_buffers = ("usage", "gram", "cross")

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        sparsity_level: int = 4,
        commitment_cost: float = 0.25,
        ksvd_iterations: int = 1,
        normalize_atoms: bool = True,
        patch_size: int = 1,
        dictionary_weight: float = 1.0,
        use_online_learning: bool = False,
        dict_learning_rate: float = 0.1,
        ksvd_method: str = "approx",
        coefficient_bits: int | None = 8,
        quantize_in_training: bool = False,
        revive_every: int = 100,
        revive_below: float = 0.1,
    ) -> None:
        super().__init__(
            num_embeddings,
            embedding_dim,
            sparsity_level,
            commitment_cost,
            dictionary_weight,
            normalize_atoms,
            patch_size,
            coefficient_bits=coefficient_bits,
            quantize_in_training=quantize_in_training,
            revive_every=revive_every,
            revive_below=revive_below,
        )
        owner = "KSVDBottleneck"
        self.ksvd_iterations = check_whole(owner, "ksvd_iterations", ksvd_iterations, 0)
        self.use_online_learning = check_flag(owner, "use_online_learning", use_online_learning)
        if self.ksvd_iterations and self.use_online_learning:
            raise ValueError(
                f"{owner}: ksvd_iterations={ksvd_iterations} and use_online_learning=True are two ways to learn; "
                "ksvd_iterations must be 0 or use_online_learning False"
            )
        self.dict_learning_rate = check_number(owner, "dict_learning_rate", dict_learning_rate, 0)
        if self.dict_learning_rate > 1:
            raise ValueError(f"{owner}: dict_learning_rate={dict_learning_rate}; it must be 0 to 1")
        self.ksvd_method = check_choice(owner, "ksvd_method", ksvd_method, METHODS)
        self.register_buffer("failures", torch.zeros((), dtype=torch.int64))
        if self._by_gradient:
            return
        start = self.dictionary.detach()
        del self.dictionary
        self.register_buffer("dictionary", start)
        if self.use_online_learning:
            shape = (self.num_embeddings, self.n_features)
            self.register_buffer("gram", torch.zeros(shape[0], shape[0], dtype=torch.float64))
            self.register_buffer("cross", torch.zeros(shape, dtype=torch.float64))

    @property
    def _by_gradient(self) -> bool:
        return not (self.ksvd_iterations or self.use_online_learning)

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor, SparseCode]:
        """Code a latent sparsely, put it together again, and in training mode learn from it.

        Takes, returns and raises what `SparseBottleneck.forward` does. In training mode the code is one in the
        dictionary as it is after the call, so that `decode(code)` gives z_reconstructed there too.
        """
        if self._by_gradient:
            return super().forward(z)
        signals = self._signals(z)
        if self.training and self.revive_every:
            self._begin_training_call(z)
        with torch.no_grad():
            code = self._solve(signals, self.atoms)
            if self.training:
                code = self._learned(signals.detach(), code)
            code = self._coded(code)
            reconstruction = code.decode(self.atoms)
            if self.training:
                self._count(code)
        loss = self.commitment_cost * mse_loss(signals, reconstruction)
        return self._latent(straight_through(signals, reconstruction), z), loss, code

    @torch.no_grad()
    def initialize(self, z: Tensor, seed: int = 0) -> None:
        """As `SparseBottleneck.initialize`; statistics begin anew."""
        super().initialize(z, seed)
        if self.use_online_learning:
            self.gram.zero_()
            self.cross.zero_()

    def _learned(self, signals: Tensor, code: SparseCode) -> SparseCode:
        """Learn from signals (..., F) of this process with their code; their code in the new dictionary."""
        rows = signals.reshape(-1, self.n_features)
        if not len(rows):
            return code
        if self.use_online_learning:
            self._learn_online(rows, code)
            return self._solve(signals, self.atoms)
        self.failures += processes.total((~torch.isfinite(rows)).any(dim=1).sum())
        everything = processes.gathered(rows)
        for sweep in range(self.ksvd_iterations):
            code = self._sweep(everything, code if sweep == 0 else self._solve(signals, self.atoms))
        return code

    def _sweep(self, everything: Tensor, code: SparseCode) -> SparseCode:
        """One sweep over the signals of all processes: the code of this one's with its new coefficients."""
        before = self.atoms
        whole = _flat(code)._map(processes.gathered)
        update = sparsefast.ksvd_update(everything, before, whole, method=self.ksvd_method)
        self._take(update.dictionary, before)
        n = code.counts.numel()
        own = slice(processes.rank() * n, (processes.rank() + 1) * n)
        new = update.code.values[own].reshape(code.values.shape)
        return with_values(code, torch.where(torch.isfinite(new), new, code.values))

    @torch.compiler.disable
    def _learn_online(self, rows: Tensor, code: SparseCode) -> None:
        stats = sparsefast.DictionaryStats(self.num_embeddings, self.n_features, like=self.dictionary)
        stats.add(rows, _flat(code))
        # One message: the network's latency is paid once a call.
        new = processes.total(torch.cat([stats.A, stats.B], dim=1))
        self.failures += processes.total(len(rows) - stats.totals[0]).round().to(torch.int64)
        faded = (1 - self.dict_learning_rate) * torch.cat([self.gram, self.cross], dim=1).to(new.dtype)
        finite = torch.isfinite(faded + new).all()
        self.failures += (~finite).to(torch.int64)
        both = torch.where(finite, faded + new, faded)
        weights = both[:, : self.num_embeddings].diagonal()
        self._keep(both, weights > _FADED * weights.max())
        stats.A, stats.B = self.gram.to(new.dtype), self.cross.to(new.dtype)
        constraint = "sphere" if self.normalize_atoms else "ball"
        before = self.atoms
        self._take(sparsefast.online_update(stats, before, constraint=constraint), before)

    def _keep(self, both: Tensor, kept: Tensor) -> None:
        """Keep the statistics (A B) of the atoms that `kept` (K,) says, and forget those of the others."""
        a, b = both[:, : self.num_embeddings], both[:, self.num_embeddings :]
        self.gram.copy_(torch.where(kept[:, None] & kept, a, torch.zeros_like(a)))
        self.cross.copy_(torch.where(kept[:, None], b, torch.zeros_like(b)))

    def _take(self, new: Tensor, before: Tensor) -> None:
        finite = torch.isfinite(new).all(dim=1)
        self.failures += (~finite).sum()
        self.dictionary.copy_(torch.where(finite[:, None], new, before))

    def _revive(self, signals: Tensor, min_use: Tensor) -> Tensor:
        revived = super()._revive(signals, min_use)
        if self.use_online_learning and len(revived):
            kept = torch.ones(self.num_embeddings, dtype=torch.bool, device=self.gram.device)
            kept[revived.to(kept.device)] = False
            self._keep(torch.cat([self.gram, self.cross], dim=1), kept)
        return revived


def _flat(code: SparseCode) -> SparseCode:
    """A code of shape (n_signals,) with the entries of one of any shape."""
    return code._map(lambda x: x.reshape(-1, *x.shape[len(code.shape) :]))


__all__ = ["KSVDBottleneck"]
