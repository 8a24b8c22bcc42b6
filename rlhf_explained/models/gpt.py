"""A small GPT: pre-norm transformer, learned positions, embeddings shared with the output.

One body serves every role of RLHF. With `logits` it is a language model (the policy, the
reference); its scalar head is the value head of PPO's critic or, in a copy, the head of the reward
model.

Axes: `batch` rows, `time` positions, `width` features, `vocab` words.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn


@dataclass(frozen=True)
class GPTConfig:
    """Shape of a `GPT`.

    Attributes:
        vocabulary: Number of tokens.
        context: Longest sequence, prompt and response together.
        width: Features per position.
        layers: Transformer blocks.
        heads: Attention heads per block; divides `width`.
    """

    vocabulary: int
    context: int = 64
    width: int = 64
    layers: int = 2
    heads: int = 4

    def __post_init__(self) -> None:
        if self.width % self.heads:
            raise ValueError(f"heads: {self.heads} does not divide the width {self.width}")


class Cache(NamedTuple):
    """Keys and values of one block for all positions so far, filled from the left."""

    keys: Float[Tensor, "batch heads time head_width"]
    values: Float[Tensor, "batch heads time head_width"]


class Block(nn.Module):
    """Attention, then a two-layer perceptron, each added to its input (Radford et al. 2019)."""

    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        self.heads = config.heads
        self.attention_norm = nn.LayerNorm(config.width)
        self.query_key_value = nn.Linear(config.width, 3 * config.width, bias=False)
        self.attention_out = nn.Linear(config.width, config.width, bias=False)
        self.mlp_norm = nn.LayerNorm(config.width)
        self.mlp_in = nn.Linear(config.width, 4 * config.width)
        self.mlp_out = nn.Linear(4 * config.width, config.width)

    def forward(
        self,
        x: Float[Tensor, "batch time width"],
        visible: Bool[Tensor, "batch 1 time seen"] | None,
        cache: Cache | None = None,
        start: int = 0,
    ) -> Float[Tensor, "batch time width"]:
        """Run the block; with a cache, `x` holds only the positions from `start` on."""
        batch, time, width = x.shape
        query, key, value = (
            self.query_key_value(self.attention_norm(x))
            .view(batch, time, 3, self.heads, width // self.heads)
            .permute(2, 0, 3, 1, 4)  # (3, batch, heads, time, head_width)
        )
        if cache is not None:
            cache.keys[:, :, start : start + time] = key
            cache.values[:, :, start : start + time] = value
            key, value = (kept[:, :, : start + time] for kept in cache)
        mixed = F.scaled_dot_product_attention(
            query, key, value, attn_mask=visible, is_causal=visible is None
        )
        x = x + self.attention_out(mixed.transpose(1, 2).reshape(batch, time, width))
        return x + self.mlp_out(F.gelu(self.mlp_in(self.mlp_norm(x))))


class GPT(nn.Module):
    """A decoder-only transformer with a scalar head beside its word predictions.

    Args:
        config: Its shape.
        generator: Source of the initial weights; the global random state is neither used nor
            changed.
    """

    def __init__(self, config: GPTConfig, *, generator: torch.Generator) -> None:
        super().__init__()
        self.config = config
        with torch.device("meta"):  # layers without initial weights: those come from `generator`
            self.token_embedding = nn.Embedding(config.vocabulary, config.width)
            self.position_embedding = nn.Embedding(config.context, config.width)
            self.blocks = nn.ModuleList(Block(config) for _ in range(config.layers))
            self.final_norm = nn.LayerNorm(config.width)
            self.scalar_head = nn.Linear(config.width, 1)
        self.to_empty(device="cpu")
        self._initialise(generator)

    @torch.no_grad()
    def _initialise(self, generator: torch.Generator) -> None:
        """Draw every weight from `generator`.

        Embeddings start wide (0.5): at this size they learn far faster than at GPT-2's 0.02.
        Layers that write into the residual stream start smaller by 1/sqrt(2 * layers).
        """
        fan_in = self.config.width**-0.5
        for name, parameter in self.named_parameters():
            if "norm" in name:
                parameter.fill_(1.0 if name.endswith("weight") else 0.0)
            elif parameter.dim() < 2 or name.startswith("scalar_head"):
                parameter.zero_()
            elif name.startswith("token_embedding"):
                parameter.normal_(std=0.5, generator=generator)
            elif name.startswith("position_embedding"):
                parameter.normal_(std=0.05, generator=generator)
            elif "_out" in name:
                parameter.normal_(
                    std=fan_in / math.sqrt(2 * self.config.layers), generator=generator
                )
            else:
                parameter.normal_(std=fan_in, generator=generator)

    def empty_caches(self, batch: int, time: int) -> list[Cache]:
        """One empty key-value cache per block, for `time` positions."""
        heads, head_width = self.config.heads, self.config.width // self.config.heads
        shape = (batch, heads, time, head_width)
        return [Cache(torch.zeros(shape), torch.zeros(shape)) for _ in self.blocks]

    def hidden(
        self,
        tokens: Int[Tensor, "batch time"],
        *,
        attended: Bool[Tensor, "batch seen"] | None = None,
        caches: list[Cache] | None = None,
        start: int = 0,
    ) -> Float[Tensor, "batch time width"]:
        """Features of each position, from which every head reads.

        Args:
            tokens: The positions from `start` on.
            attended: True for real tokens, False for padding on the left, over all positions up
                to the last one given; None if there is no padding.
            caches: Keys and values of the positions before `start`; they are extended in place.
            start: Number of positions already in the caches.

        Returns:
            `(batch, time, width)`, after the last normalisation.

        Raises:
            ValueError: If the sequence is longer than the context.
        """
        end = start + tokens.shape[1]
        if end > self.config.context:
            raise ValueError(f"tokens: {end} positions, the context is {self.config.context}")
        if attended is None and start == 0:
            positions, visible = torch.arange(end)[None], None  # plain causal attention
        else:
            if attended is None:
                attended = torch.ones(tokens.shape[0], end, dtype=torch.bool)
            positions = (attended.cumsum(1) - 1).clamp(min=0)[:, start:]
            causal = torch.ones(end, end, dtype=torch.bool).tril()[start:]
            diagonal = torch.eye(end, dtype=torch.bool)[start:]  # padding sees itself: no NaN
            visible = ((causal & attended[:, None, :]) | diagonal)[:, None]
        x = self.token_embedding(tokens) + self.position_embedding(positions)
        for block, cache in zip(self.blocks, caches or [None] * len(self.blocks), strict=True):
            x = block(x, visible, cache, start)
        return self.final_norm(x)

    def logits(self, hidden: Float[Tensor, "*shape width"]) -> Float[Tensor, "*shape vocab"]:
        """Score every word as the next one; the output matrix is the embedding's."""
        return hidden @ self.token_embedding.weight.T

    def scalar(self, hidden: Float[Tensor, "*shape width"]) -> Float[Tensor, "*shape"]:
        """Read the scalar head: PPO's value, or the reward model's score."""
        return self.scalar_head(hidden).squeeze(-1)

    def forward(
        self,
        tokens: Int[Tensor, "batch time"],
        attended: Bool[Tensor, "batch time"] | None = None,
    ) -> Float[Tensor, "batch time vocab"]:
        """Next-token logits at every position."""
        return self.logits(self.hidden(tokens, attended=attended))

    def parameter_count(self) -> int:
        """Number of trainable numbers, shared ones counted once."""
        return sum(parameter.numel() for parameter in self.parameters())
