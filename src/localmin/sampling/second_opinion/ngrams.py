"""Predictions of an n-gram model for every sequence left out of its counts."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn import functional

__all__ = ["MAX_TOKENS", "NgramModel", "ngram_operations"]

MAX_TOKENS = 1_024
_ORDER = 3
_PRIOR = 4.0  # observations that the next shorter context is worth
_BLOCK = 64
_MAX_TABLE = 50_000_000  # entries: 200 MB


@dataclass(frozen=True, eq=False)
class _Contexts:
    """What follows each context of one length.

    Args:
        ids: Context of every place, shape ``(n, L)``; -1 where a sequence has not begun early enough.
        counts: Weight of each token after each context, shape ``(contexts, V)``.
    """

    ids: Int64[Tensor, "n length"]
    counts: Float[Tensor, "contexts tokens"]


@dataclass(frozen=True, eq=False)
class NgramModel:
    """Counts of all sequences, from which one can be taken out again.

    ``p_k(w | c) = (N(c, w) + a p_{k-1}(w)) / (N(c) + a)`` for contexts of ``k = 0, ..., 3`` tokens, counted
    without the sequence that is predicted; ``p_{-1}`` is uniform, ``a = 4``.

    Args:
        targets: The token after each place, shape ``(n, L)``.
        weights: Of the sequences, shape ``(n,)``.
        contexts: One entry for every length of a context, the empty one first.
        num_tokens: V.

    Source:
        Interpolation with a fixed prior is textbook; leaving a sequence out by subtracting its own counts is
        derived here.

    Example:
        >>> text = torch.tensor([[0, 1, 0, 1], [0, 1, 0, 1], [1, 1, 1, 1]])
        >>> model = NgramModel.count(text[:, :-1], text[:, 1:], num_tokens=2)
        >>> model.left_out(slice(0, 1))[0, 0].exp().argmax()  # elsewhere 0 is always followed by 1
        tensor(1)
    """

    targets: Int64[Tensor, "n length"]
    weights: Float[Tensor, " n"]
    contexts: tuple[_Contexts, ...]
    num_tokens: int

    @classmethod
    def count(
        cls,
        inputs: Int64[Tensor, "n length"],
        targets: Int64[Tensor, "n length"],
        *,
        num_tokens: int,
        weights: Float[Tensor, " n"] | None = None,
    ) -> NgramModel:
        """Count what follows contexts of up to three tokens; of fewer where a table would be too large.

        Args:
            inputs: Tokens, shape ``(n, L)``.
            targets: The token after each, shape ``(n, L)``.
            num_tokens: V.
            weights: Of the sequences, not negative, not all zero; None counts all equally.

        Returns:
            The counts.
        """
        n = len(targets)
        relative = torch.ones(n) if weights is None else (weights * n / weights.sum()).float()
        contexts: list[_Contexts] = []
        keys = torch.zeros_like(targets)
        for length in range(_ORDER + 1):
            if length:
                keys = keys * num_tokens + _shifted(inputs, length - 1)
            known, ids = torch.unique(keys[:, _first(length) :], return_inverse=True)
            if len(known) * num_tokens > _MAX_TABLE:
                break
            counts = torch.zeros(len(known), num_tokens)
            after = targets[:, _first(length) :]
            each = relative[:, None].expand_as(after)
            counts.index_put_((ids.flatten(), after.flatten()), each.flatten(), accumulate=True)
            contexts.append(_Contexts(functional.pad(ids, (_first(length), 0), value=-1), counts))
        return cls(targets, relative, tuple(contexts), num_tokens)

    def left_out(self, rows: slice) -> Float[Tensor, "b length tokens"]:
        """Predict every token of some sequences from all *other* sequences.

        Args:
            rows: Of the sequences.

        Returns:
            Logarithms of probabilities, float32, shape ``(b, L, V)``.

        Cost:
            ``b L V (8 L + 32)`` operations.
        """
        targets, own_weight = self.targets[rows], self.weights[rows]
        one_hot = functional.one_hot(targets, self.num_tokens).float() * own_weight[:, None, None]
        found = torch.full((*targets.shape, self.num_tokens), 1 / self.num_tokens)
        for context in self.contexts:
            ids = context.ids[rows]
            same = (ids[:, :, None] == ids[:, None, :]).float()
            # Rounding of weighted counts may leave a little less than nothing.
            others = (context.counts[ids.clamp_min(0)] - same @ one_hot).clamp_min(0)
            longer = (others + _PRIOR * found) / (others.sum(-1, keepdim=True) + _PRIOR)
            found = torch.where((ids >= 0)[:, :, None], longer, found)
        return found.log()

    def blocks(self) -> list[slice]:
        """Divide the sequences into blocks whose predictions fit into memory."""
        n = len(self.targets)
        return [slice(start, min(start + _BLOCK, n)) for start in range(0, n, _BLOCK)]


def ngram_operations(num_sequences: int, length: int, num_tokens: int) -> float:
    """Count the operations of predicting all sequences.

    Args:
        num_sequences: n.
        length: L.
        num_tokens: V.

    Returns:
        Floating-point operations.
    """
    return float(num_sequences) * length * num_tokens * (_ORDER + 1) * (2 * length + 8)


def _first(length: int) -> int:
    """First place that has a context of this length: the token at a place is the last of its context."""
    return max(0, length - 1)


def _shifted(inputs: Int64[Tensor, "n length"], back: int) -> Int64[Tensor, "n length"]:
    """Give the token so many places before each; 0 where there is none."""
    return functional.pad(inputs, (back, 0))[:, : inputs.shape[1]]
