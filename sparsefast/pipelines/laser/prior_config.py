"""The keys of the prior over tokens."""

from __future__ import annotations

from dataclasses import dataclass

from sparsefast.training.config import require


@dataclass
class PriorConfig:
    """`model=prior`: a Transformer over the tokens of a trained autoencoder, which makes pictures token by token."""

    name: str = "prior"
    # The trained model whose tokens these are, `vqvae` or `hybridvae`: the folder of its run, or a .safetensors in it.
    autoencoder: str = ""
    # Features of a token inside, a multiple of heads; attention heads; blocks.
    width: int = 128
    # Heads of an attention.
    heads: int = 4
    # Blocks of attention and perceptron.
    blocks: int = 4
    # Share of features that are left out in training.
    dropout: float = 0.1
    # The largest of the schedule.
    learning_rate: float = 1e-3
    # Of sampling: logits are divided by it; above 0.
    temperature: float = 1.0
    # Of sampling: only the most probable tokens; 0: all.
    top_k: int = 0

    def check(self) -> None:
        """Raise a ValueError that names the first key whose value is not allowed."""
        require(
            self.autoencoder != "",
            "model.autoencoder",
            repr(self.autoencoder),
            "the run of a trained model=vqvae or hybridvae",
        )
        for key in ("width", "heads", "blocks"):
            require(getattr(self, key) >= 1, f"model.{key}", getattr(self, key), "at least 1")
        require(self.width % self.heads == 0, "model.width", self.width, f"a multiple of model.heads, {self.heads}")
        require(0 <= self.dropout < 1, "model.dropout", self.dropout, "at least 0 and below 1")
        require(self.learning_rate > 0, "model.learning_rate", self.learning_rate, "above 0")
        require(self.temperature > 0, "model.temperature", self.temperature, "above 0")
        require(self.top_k >= 0, "model.top_k", self.top_k, "at least 0")
