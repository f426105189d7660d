"""What a network tells about an example in one forward pass."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64, Shaped
from torch import Tensor

from localmin.errors import ShapeError
from localmin.tasks.kinds import TaskKind

__all__ = [
    "FEATURES",
    "ExampleFeatures",
    "example_features",
    "gradient_bound",
    "kind_features",
    "loss",
    "renormed_entropy",
]

FEATURES = ("loss", "renormed-entropy", "gradient-bound")


@dataclass(frozen=True, eq=False)
class ExampleFeatures:
    """Hold the features of a batch: loss, renormed entropy, gradient-norm bound; each ``(b,)``, float32."""

    loss: Float[Tensor, " b"]
    renormed_entropy: Float[Tensor, " b"]
    gradient_bound: Float[Tensor, " b"]


def example_features(
    logits: Float[Tensor, "b classes"],
    labels: Int64[Tensor, " b"],
    penultimate: Float[Tensor, "b width"] | None = None,
) -> ExampleFeatures:
    """Compute all features of a batch from its logits.

    Args:
        logits: Shape ``(b, C)``; computed in float32 or better whatever their dtype.
        labels: Shape ``(b,)``, in ``[0, C)``.
        penultimate: Inputs of the last layer, shape ``(b, width)``; scales the gradient bound if given.

    Returns:
        The features, each of shape ``(b,)``.

    Raises:
        ShapeError: If the shapes do not fit.

    Source:
        The names are those of [yao2024]; the formulas are reconstructed, see `renormed_entropy`.

    Example:
        >>> features = example_features(torch.zeros(1, 4), torch.tensor([0]))
        >>> round(float(features.loss), 4), round(float(features.renormed_entropy), 4)  # log 4, log 3
        (1.3863, 1.0986)
    """
    if logits.ndim != 2 or labels.shape != logits.shape[:1]:
        raise ShapeError(
            f"expected logits (b, classes) and labels (b,), got {tuple(logits.shape)} and "
            f"{tuple(labels.shape)}"
        )
    logits = logits if logits.dtype == torch.float64 else logits.float()
    return ExampleFeatures(
        loss(logits, labels), renormed_entropy(logits, labels), gradient_bound(logits, labels, penultimate)
    )


def kind_features(
    kind: TaskKind, outputs: Float[Tensor, "b ..."], labels: Shaped[Tensor, "b ..."]
) -> ExampleFeatures:
    """Compute all features of a batch for any kind of task.

    Sequences: the mean over their tokens. Regression: the squared error of the standardised target and the
    norm of its gradient; the renormed entropy is 0, there are no other classes.

    Args:
        kind: Of the task.
        outputs: Of the network for ``b`` examples.
        labels: As given.

    Returns:
        The features, each of shape ``(b,)``.

    Example:
        >>> from localmin.tasks.kinds import Regression
        >>> found = kind_features(Regression(), torch.tensor([[3.0]]), torch.tensor([1.0]))
        >>> float(found.loss), float(found.gradient_bound)
        (4.0, 4.0)
    """
    rows = kind.as_classification(outputs, labels)
    if rows is None:
        squared = kind.loss(outputs.float(), labels)
        return ExampleFeatures(squared, torch.zeros_like(squared), 2 * squared.sqrt())
    found = example_features(*rows)
    if len(rows[1]) == len(labels):
        return found
    means = (
        values.view(len(labels), -1).mean(1)
        for values in (found.loss, found.renormed_entropy, found.gradient_bound)
    )
    return ExampleFeatures(*means)


def loss(logits: Float[Tensor, "b classes"], labels: Int64[Tensor, " b"]) -> Float[Tensor, " b"]:
    """Compute ``-log softmax(logits)[label]``, in nats."""
    return torch.nn.functional.cross_entropy(logits, labels, reduction="none")


def renormed_entropy(logits: Float[Tensor, "b classes"], labels: Int64[Tensor, " b"]) -> Float[Tensor, " b"]:
    """Compute the entropy of the wrong classes alone, ``-sum_c q_c log q_c``, ``q_c = p_c / (1 - p_label)``.

    Small when the network would rather give the example to one other class, as it does with a wrong
    label; large when it does not know. Computed as the softmax of the logits without the label's, so
    that it stays exact where ``1 - p_label`` underflows. Zero for two classes, where it says nothing.

    Args:
        logits: Shape ``(b, C)``.
        labels: Shape ``(b,)``.

    Returns:
        Shape ``(b,)``, nats, in ``[0, log(C - 1)]``.

    Source:
        The feature is named in [yao2024]; this formula is our reconstruction of it.

    Example:
        >>> renormed_entropy(torch.tensor([[9.0, 0.0, 0.0, -50.0]]), torch.tensor([0])).exp()
        tensor([2.])
    """
    others = logits.scatter(1, labels[:, None], -torch.inf)
    log_q = others.log_softmax(1)
    # 0 log 0 = 0: the label itself, and classes far below the rest.
    terms = torch.where(log_q == -torch.inf, 0.0, log_q.exp() * log_q.clamp_min(torch.finfo(log_q.dtype).min))
    return -terms.sum(1).clamp_max(0.0)


def gradient_bound(
    logits: Float[Tensor, "b classes"],
    labels: Int64[Tensor, " b"],
    penultimate: Float[Tensor, "b width"] | None = None,
) -> Float[Tensor, " b"]:
    """Compute ``||softmax - onehot||_2``, the gradient norm with respect to the logits.

    Args:
        logits: Shape ``(b, C)``.
        labels: Shape ``(b,)``.
        penultimate: If given, the bound is multiplied by its norm: the gradient norm of the last
            layer's weights.

    Returns:
        Shape ``(b,)``; without ``penultimate`` at most ``sqrt(2) (1 - exp(-loss))``.

    Source:
        The last-layer bound of [katharopoulos2018].

    Example:
        >>> gradient_bound(torch.tensor([[0.0, 0.0]]), torch.tensor([0]))
        tensor([0.7071])
    """
    difference = logits.softmax(1)
    difference = difference.scatter_add(1, labels[:, None], -torch.ones_like(difference[:, :1]))
    norm: Tensor = torch.linalg.vector_norm(difference, dim=1)
    if penultimate is not None:
        norm = norm * torch.linalg.vector_norm(penultimate, dim=1)
    return norm
