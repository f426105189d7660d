"""Language modelling: an example is a sequence of tokens, its label the same sequence one token on."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from localmin.errors import DataError
from localmin.tasks.examples import Examples
from localmin.tasks.metrics import Metric

__all__ = ["LanguageModel", "corrupt_sequences"]

_MAX_SHOWN = 60


@dataclass(frozen=True)
class LanguageModel:
    """Predict every next token; mean cross-entropy of a sequence, perplexity, corrupted sequences.

    Args:
        unigram_entropy: Nats per token of the training targets' own frequencies: what a model reaches
            that looks at nothing. The yardstick of the credit.

    Example:
        >>> kind = LanguageModel(unigram_entropy=math.log(4))
        >>> logits, labels = torch.zeros(1, 3, 4), torch.tensor([[0, 1, 2]])
        >>> round(float(kind.loss(logits, labels)), 4)  # log 4
        1.3863
        >>> round(kind.score(kind.predict(logits, labels), labels, "perplexity", num_classes=4), 4)
        4.0
    """

    unigram_entropy: float = 1.0

    name: ClassVar[str] = "language-model"
    metrics: ClassVar[tuple[Metric, ...]] = ("perplexity",)
    noise_kinds: ClassVar[tuple[str, ...]] = ("shuffle", "random")
    needs_raw_inputs: ClassVar[bool] = True

    def fitted(self, train: Examples) -> LanguageModel:
        """Measure the entropy of the training targets' frequencies."""
        share = train.labels.flatten().bincount().double()
        share = share[share > 0] / share.sum()
        return replace(self, unigram_entropy=max(float(-(share * share.log()).sum()), 1e-6))

    def check_examples(self, examples: Examples, num_classes: int, *, where: str) -> None:
        """Check that inputs and labels are sequences of tokens.

        Args:
            examples: Of one part.
            num_classes: Size of the vocabulary.
            where: Which part of which data, for messages.

        Raises:
            DataError: If they are not integers of shape ``(n, length)`` in ``[0, num_classes)``.
        """
        labels, inputs = examples.labels, examples.inputs
        if labels.dtype != torch.int64 or labels.ndim != 2 or inputs.shape != labels.shape:
            raise DataError(
                f"{where} must hold tokens and int64 next tokens of the same shape (n, length), got "
                f"{inputs.dtype} of shape {tuple(inputs.shape)} and {labels.dtype} of shape "
                f"{tuple(labels.shape)}"
            )
        if inputs.is_floating_point():
            raise DataError(f"the inputs of {where} are {inputs.dtype}; tokens are integers")
        for tokens in (labels, inputs):
            if int(tokens.min()) < 0 or int(tokens.max()) >= num_classes:
                raise DataError(f"{where} has tokens outside 0 to {num_classes - 1}")

    def check_training_part(self, train: Examples, num_classes: int, *, where: str) -> None:
        """Check that there are two tokens at least.

        Args:
            train: The training part.
            num_classes: Size of the vocabulary.
            where: The data, for messages.

        Raises:
            DataError: If not.
        """
        if num_classes < 2 or int(train.labels.min()) == int(train.labels.max()):
            raise DataError(f"{where} repeats a single token; nothing can be learned")

    def output_shape(self, input_shape: Sequence[int], num_classes: int) -> tuple[int, ...]:
        """Give ``(length, vocabulary)``."""
        return (*input_shape, num_classes)

    def loss(self, outputs: Tensor, labels: Tensor) -> Float[Tensor, " b"]:
        """Compute the mean over a sequence of ``-log softmax(logits)[token]``, nats."""
        tokens = torch.nn.functional.cross_entropy(outputs.flatten(0, 1), labels.flatten(), reduction="none")
        return tokens.view(labels.shape).mean(1)

    def predict(self, outputs: Tensor, labels: Tensor) -> Float[Tensor, " b"]:
        """Give the mean loss of each sequence: all that is needed to score it."""
        return self.loss(outputs, labels)

    def credit(self, predictions: Tensor, labels: Tensor) -> Float[Tensor, " b"]:
        """Give ``max(0, 1 - loss / unigram entropy)`` of each sequence.

        Cut at 0: a network that has never seen garbage is very wrong about held-out garbage, one that
        was trained on it only a little, and the mean loss would reward the latter.

        Args:
            predictions: Mean loss of each sequence, nats per token.
            labels: Not used.

        Returns:
            In [0, 1].
        """
        del labels
        return (1.0 - predictions.double() / self.unigram_entropy).clamp_min(0.0)

    def score(self, predictions: Tensor, labels: Tensor, metric: Metric, *, num_classes: int) -> float:
        """Compute the perplexity, ``exp`` of the mean loss per token (sequences are equally long)."""
        del labels, metric, num_classes
        return math.exp(min(float(predictions.double().mean()), 700.0))

    def as_classification(self, outputs: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Give every token as a classification; features are averaged over a sequence."""
        return outputs.flatten(0, 1), labels.flatten()

    def groups(self, labels: Tensor) -> Int64[Tensor, " n"]:
        """Put all sequences into one group."""
        return torch.zeros(len(labels), dtype=torch.int64, device=labels.device)

    def num_groups(self, num_classes: int) -> int:
        """Give 1."""
        del num_classes
        return 1

    def differs(self, labels: Tensor, others: Tensor) -> Bool[Tensor, " n"]:
        """Tell which sequences differ anywhere."""
        return (labels != others).any(1)

    def corrupt(self, examples: Examples, rate: float, kind: str, *, num_classes: int, seed: int) -> Examples:
        """Corrupt a share of the sequences, see `corrupt_sequences`."""
        return corrupt_sequences(examples, rate, kind, num_classes=num_classes, seed=seed)

    def show_label(self, label: Tensor, class_names: Sequence[str]) -> str:
        """Write the beginning of the text."""
        text = "".join(class_names[int(token)] for token in label[:_MAX_SHOWN])
        return text.replace("\n", "\N{DOWNWARDS ARROW WITH CORNER LEFTWARDS}")

    def show_prediction(self, prediction: Tensor, class_names: Sequence[str]) -> str:
        """Write the perplexity of the sequence."""
        del class_names
        return f"perplexity {math.exp(min(float(prediction), 700.0)):.1f}"

    def to_dict(self) -> dict[str, Any]:
        """List name and unigram entropy."""
        return {"name": self.name, "unigram_entropy": self.unigram_entropy}


def corrupt_sequences(
    examples: Examples, rate: float, kind: str = "shuffle", *, num_classes: int, seed: int
) -> Examples:
    """Turn a share of the sequences into garbage, inputs and labels alike.

    Args:
        examples: Inputs ``(n, length)`` and labels one token on.
        rate: Share, in [0, 1].
        kind: ``"shuffle"`` puts the tokens of a sequence into a random order: the same frequencies and no
            language. ``"random"`` draws every token uniformly from the vocabulary.
        num_classes: Size of the vocabulary.
        seed: Of the choice.

    Returns:
        Examples with exactly ``round(rate n)`` sequences corrupted.

    Example:
        >>> text = torch.arange(20).view(2, 10)
        >>> examples = Examples(text[:, :-1], text[:, 1:])
        >>> garbage = corrupt_sequences(examples, 0.5, num_classes=20, seed=0)
        >>> (garbage.labels != examples.labels).any(1).sum().item()
        1
    """
    generator = torch.Generator().manual_seed(seed)
    n, length = examples.labels.shape
    chosen = torch.randperm(n, generator=generator)[: round(rate * n)]
    # One token more than the inputs: the first input and all labels.
    whole = torch.cat([examples.inputs[chosen, :1].long(), examples.labels[chosen]], dim=1)
    if kind == "shuffle":
        order = torch.rand(len(chosen), length + 1, generator=generator).argsort(1)
        garbage = whole.gather(1, order)
    else:
        garbage = torch.randint(0, num_classes, whole.shape, generator=generator)
    inputs, labels = examples.inputs.clone(), examples.labels.clone()
    inputs[chosen] = garbage[:, :-1].to(inputs.dtype)
    labels[chosen] = garbage[:, 1:]
    return replace(examples, inputs=inputs, labels=labels)
