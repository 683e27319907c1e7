"""A small decoder-only Transformer: the probabilities of each token, given those before it.

Source: A. Vaswani et al., Attention is all you need, NeurIPS 2017, with normalisation in front of each part, as in A.
Radford et al., Language models are unsupervised multitask learners, 2019.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, scaled_dot_product_attention

# Keys and values (B, heads, n, width / heads) of the tokens so far, for each block.
Cache = list[tuple[Tensor, Tensor]]


class Block(nn.Module):
    """x + attention(norm x), then x + perceptron(norm x)."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.attention_norm, self.perceptron_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.query_key_value, self.project = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.expand, self.contract = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.drop = nn.Dropout(dropout)

    def forward(self, x: Tensor, before: tuple[Tensor, Tensor] | None) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Tokens (B, n, width); `before`: keys and values of those that came before them."""
        b, n, width = x.shape
        parts = self.query_key_value(self.attention_norm(x)).view(b, n, 3, self.heads, width // self.heads)
        query, key, value = parts.permute(2, 0, 3, 1, 4)
        if before is not None:  # then n is 1, and all that came before is seen
            key, value = torch.cat([before[0], key], dim=2), torch.cat([before[1], value], dim=2)
        dropout = self.dropout if self.training else 0.0
        seen = scaled_dot_product_attention(query, key, value, dropout_p=dropout, is_causal=before is None)
        x = x + self.drop(self.project(seen.transpose(1, 2).reshape(b, n, width)))
        x = x + self.drop(self.contract(gelu(self.expand(self.perceptron_norm(x)))))
        return x, (key, value)


class TokenTransformer(nn.Module):
    """Logits of tokens of a fixed length.

    Parameters
    ----------
    n_tokens : int
        Different tokens.
    length : int
        Tokens of a picture.
    width, heads, blocks, dropout
        See `PriorConfig`.
    allowed : Tensor of shape (length, n_tokens), bool, or None
        Which tokens can stand where; the others have no probability. None: all.
    """

    possible: Tensor

    def __init__(
        self,
        n_tokens: int,
        length: int,
        width: int,
        heads: int,
        blocks: int,
        dropout: float,
        allowed: Tensor | None = None,
    ) -> None:
        super().__init__()
        self.n_tokens, self.length = n_tokens, length
        everywhere = torch.ones(length, n_tokens, dtype=torch.bool)
        # It follows from the codes, and is no part of the weights.
        self.register_buffer("possible", everywhere if allowed is None else allowed, persistent=False)
        self.token = nn.Embedding(n_tokens + 1, width)  # the last one stands before the first
        self.place = nn.Parameter(0.02 * torch.randn(length, width))
        self.blocks = nn.ModuleList(Block(width, heads, dropout) for _ in range(blocks))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, n_tokens)
        nn.init.normal_(self.token.weight, std=0.02)

    def forward(self, tokens: Tensor) -> Tensor:
        """Logits (B, length, n_tokens) of each of tokens (B, length), int64, given those before it."""
        start = tokens.new_full((len(tokens), 1), self.n_tokens)
        x = self.token(torch.cat([start, tokens[:, :-1]], dim=1)) + self.place
        for block in self.blocks:
            x, _ = block(x, None)
        return self.head(self.norm(x)).masked_fill(~self.possible, -torch.inf)

    def next_logits(self, last: Tensor, at: int, cache: Cache) -> Tensor:
        """Logits (B, n_tokens) of token number `at`, given the last one (B,), and those before it by the cache, which
        grows. `last` of the first is n_tokens."""
        x = self.token(last)[:, None] + self.place[at]
        for i, block in enumerate(self.blocks):
            x, seen = block(x, cache[i] if at else None)
            cache[i : i + 1] = [seen]
        return self.head(self.norm(x))[:, 0].masked_fill(~self.possible[at], -torch.inf)
