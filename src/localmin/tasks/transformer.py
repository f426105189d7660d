"""A decoder-only transformer, small enough to train on a CPU."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["TinyGPT"]

_INITIAL_DEVIATION = 0.02


class _Block(nn.Module):
    """Causal self-attention, then a two-layer perceptron; both added to the stream, norms in front."""

    def __init__(self, width: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.norm_attention = nn.LayerNorm(width)
        self.queries_keys_values = nn.Linear(width, 3 * width)
        self.projection = nn.Linear(width, width)
        self.norm_mlp = nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, stream: Tensor) -> Tensor:
        batch, length, width = stream.shape
        parts = self.queries_keys_values(self.norm_attention(stream))
        parts = parts.view(batch, length, 3, self.num_heads, width // self.num_heads)
        queries, keys, values = parts.permute(2, 0, 3, 1, 4)
        mixed = functional.scaled_dot_product_attention(queries, keys, values, is_causal=True)
        stream = stream + self.projection(mixed.transpose(1, 2).reshape(batch, length, width))
        changed: Tensor = stream + self.mlp(self.norm_mlp(stream))
        return changed


class TinyGPT(nn.Module):
    """Predict every next token of a sequence from those before it.

    Two blocks of width 64 with four heads by default, learned positions, the output layer tied to the
    embedding.

    Args:
        vocabulary: Number of tokens.
        context: Longest sequence.
        width: Of the stream; a multiple of the number of heads.
        num_blocks: Depth.
        num_heads: Attention heads in a block.

    Example:
        >>> model = TinyGPT(65, 64)
        >>> model(torch.zeros(2, 64, dtype=torch.int64)).shape
        torch.Size([2, 64, 65])
        >>> sum(parameter.numel() for parameter in model.parameters())
        108417
    """

    def __init__(
        self, vocabulary: int, context: int, *, width: int = 64, num_blocks: int = 2, num_heads: int = 4
    ) -> None:
        super().__init__()
        self.tokens = nn.Embedding(vocabulary, width)
        self.positions = nn.Embedding(context, width)
        self.blocks = nn.Sequential(*(_Block(width, num_heads) for _ in range(num_blocks)))
        self.norm = nn.LayerNorm(width)
        self.bias = nn.Parameter(torch.zeros(vocabulary))
        self._draw_weights(num_blocks)

    def _draw_weights(self, num_blocks: int) -> None:
        for name, parameter in self.named_parameters():
            if parameter.ndim < 2:
                continue
            # Every block adds twice to the stream: smaller steps keep its variance from growing with depth.
            into_stream = name.endswith(("projection.weight", "mlp.2.weight"))
            deviation = _INITIAL_DEVIATION / (math.sqrt(2 * num_blocks) if into_stream else 1.0)
            nn.init.normal_(parameter, std=deviation)

    def forward(self, tokens: Int64[Tensor, "b length"]) -> Float[Tensor, "b length vocabulary"]:
        """Map tokens to the logits of the tokens that follow each of them."""
        places = torch.arange(tokens.shape[1], device=tokens.device)
        stream = self.blocks(self.tokens(tokens) + self.positions(places))
        return functional.linear(self.norm(stream), self.tokens.weight, self.bias)
