"""What the bottlenecks have in common: signals out of a latent and back, usage of the codes, and when dead ones begin
anew."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sparsefast.nn.arguments import check_number, check_whole
from sparsefast.nn.kmeans import sample_of
from sparsefast.nn.processes import gathered, total
from sparsefast.nn.rates import usage_counts
from sparsefast.nn.sites import latent_of, sites_of
from sparsefast.sparse_code import SparseCode

USAGE_DECAY = 0.99
# Signals that may take the place of a dead code, for each code: enough that many can be too close to another atom.
CANDIDATES = 4
# k-means and what follows it see at most so many signals: 40 for each of 512 codes, in a second or two.
INITIAL_SIGNALS = 20_000


class Bottleneck(nn.Module):
    """Base of the bottlenecks: K codes of F = embedding_dim * patch_size^2 features.

    Attributes
    ----------
    usage : buffer of shape (K,)
        How often a training call uses each code, over all processes: a running mean with decay 0.99 (VectorQuantizer:
        its own decay) that starts at 1. At least float32.
    revived : tensor of int64, on the CPU
        The codes that the last training call exchanged for signals: what an optimiser holds for those rows is out of
        date. It is not kept in checkpoints, and is to be read before the next call.
    calls : int
        Training calls so far, with revive_every > 0; kept in checkpoints.
    """

    usage: Tensor
    _usage_decay = USAGE_DECAY
    # Buffers that stay in float32 when the layer is made 16-bit.
    _wide_buffers: tuple[str, ...] = ("usage",)

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        commitment_cost: float,
        patch_size: int,
        revive_every: int,
        revive_below: float,
    ) -> None:
        super().__init__()
        owner = type(self).__name__
        self.num_embeddings = check_whole(owner, "num_embeddings", num_embeddings, 2)
        self.embedding_dim = check_whole(owner, "embedding_dim", embedding_dim, 1)
        self.commitment_cost = check_number(owner, "commitment_cost", commitment_cost, 0)
        self.patch_size = check_whole(owner, "patch_size", patch_size, 1)
        self.revive_every = check_whole(owner, "revive_every", revive_every, 0)
        self.revive_below = check_number(owner, "revive_below", revive_below, 0, 1)
        self.n_features = self.embedding_dim * self.patch_size**2
        self.calls = 0
        self.revived = torch.empty(0, dtype=torch.int64)
        self.register_buffer("usage", torch.ones(self.num_embeddings))

    @property
    def bits_per_site(self) -> float:
        """Bits for the code of one site, without entropy coding."""
        raise NotImplementedError

    def _table(self) -> Tensor:
        """The codes (K, F), a parameter or buffer."""
        raise NotImplementedError

    def _revive(self, signals: Tensor, min_use: Tensor) -> Tensor:
        """Exchange codes whose usage is below min_use for signals (N, F); returns which were exchanged, int64."""
        raise NotImplementedError

    def _signals(self, z: Tensor) -> Tensor:
        """The signals (..., F) of z, in the dtype of the codes, which autocast leaves as it is."""
        rows = self._check(z)
        # Dense, since all that follows reads them beside dense tensors: a copy costs less than what strides cost there.
        signals = z if rows else sites_of(z, self.patch_size).contiguous()
        return signals.to(self._table().dtype)

    def _check(self, z: Tensor) -> bool:
        """Whether z holds rows, and no latent; raises where it is neither."""
        owner = type(self).__name__
        if not isinstance(z, Tensor) or not z.is_floating_point():
            what = str(z.dtype) if isinstance(z, Tensor) else type(z).__name__
            raise TypeError(f"{owner}: z is {what}; it must be a tensor of floats")
        rows = self.patch_size == 1 and z.ndim in (2, 3) and z.shape[-1] == self.embedding_dim
        if not rows and (z.ndim != 4 or z.shape[1] != self.embedding_dim):
            instead = f" or rows (N, {self.embedding_dim}) or (B, N, {self.embedding_dim})"
            raise ValueError(
                f"{owner}: z has shape {tuple(z.shape)}; it must be (B, {self.embedding_dim}, H, W)"
                + (instead if self.patch_size == 1 else "")
            )
        return rows

    def _latent(self, signals: Tensor, z: Tensor) -> Tensor:
        """What `_signals` undoes, in the shape and dtype of z."""
        return self._to_latent(signals, None if z.ndim < 4 else (z.shape[-2], z.shape[-1])).to(z.dtype)

    def _to_latent(self, signals: Tensor, size: tuple[int, int] | None) -> Tensor:
        """The latent of signals (B, H', W', F): of `size` (H, W), by default that which the sites cover. Rows stay."""
        if signals.ndim != 4:
            return signals
        height, width = (n * self.patch_size for n in signals.shape[1:3])
        return latent_of(signals, (height, width) if size is None else size, self.patch_size)

    def _initial_signals(self, z: Tensor, seed: int) -> Tensor:
        """At most INITIAL_SIGNALS signals (N, F) of z of all processes, on the CPU, in at least float32."""
        signals = self._signals(z.detach()).reshape(-1, self.n_features)
        signals = signals.to(torch.promote_types(signals.dtype, torch.float32))
        return sample_of(gathered(signals), INITIAL_SIGNALS, seed).cpu()

    def _count(self, code: SparseCode | Tensor) -> Tensor:
        """How often all processes use each code, (K,), which also goes into `usage`."""
        return self._follow_usage(usage_counts(code, self.num_embeddings))

    @torch.no_grad()
    def _follow_usage(self, counts: Tensor) -> Tensor:
        """The same from how often this process does, (K,) int64."""
        counts = total(counts).to(self.usage.dtype)
        self.usage.lerp_(counts, 1 - self._usage_decay)
        return counts

    @torch.compiler.disable
    @torch.no_grad()
    def _begin_training_call(self, z: Tensor) -> None:
        """Count the call, and exchange dead codes where their turn has come: before the codes are used, so that no
        tensor that backward needs is written to."""
        self.calls += 1
        self.revived = torch.empty(0, dtype=torch.int64)
        if self.calls % self.revive_every:
            return
        signals = self._signals(z.detach()).reshape(-1, self.n_features)
        self.revived = self._revive(signals, self.revive_below * self.usage.mean())
        alive = torch.ones_like(self.usage, dtype=torch.bool)
        alive[self.revived.to(alive.device)] = False
        self.usage.masked_fill_(~alive, self.usage[alive].mean())

    def get_extra_state(self) -> Tensor:
        return torch.tensor(self.calls)

    def set_extra_state(self, state: Tensor) -> None:
        self.calls = int(state)

    def _apply(self, fn: object, recurse: bool = True) -> Bottleneck:
        # `half()` and `bfloat16()` would round a running mean at each step, to where it no longer moves.
        kept = {name: buffer for name in self._wide_buffers if (buffer := self._buffers.get(name)) is not None}
        super()._apply(fn, recurse)
        for name, before in kept.items():
            now = getattr(self, name)
            if now.dtype in (torch.float16, torch.bfloat16):
                setattr(self, name, before.to(now.device))
        return self

    def extra_repr(self) -> str:
        return f"{self.num_embeddings}, {self.embedding_dim}, patch_size={self.patch_size}"
