"""A second opinion on images: what a ridge regression on random patches says of each example it left out.

A small network that is trained for a while on noisy labels ranks hard images badly: it is uncertain of
right and wrong labels alike. A linear model on fixed features sees the whole set at once, averages label
noise away, and its prediction for an example *left out of the fit* is known in closed form for all examples
together. Its loss is averaged with the network's.

The features are those of [coates2011]: whitened random patches of the images themselves as filters, two
rectified halves of each response, averaged over a coarse grid; no label is used.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn import functional

from localmin.sampling.feature_table import FeatureTable, table_from_sums
from localmin.sampling.features import example_features
from localmin.tasks.task import Task

__all__ = [
    "applies_to",
    "average_tables",
    "has_opinion",
    "leave_one_out_predictions",
    "opinion_cost",
    "patch_features",
    "second_opinion",
]

MIN_PIXELS, MAX_PIXELS = 12, 32
MAX_EXAMPLES = 100_000
_PHRASE = "a second opinion"
_NUM_FILTERS, _PATCH, _GRID = 100, 6, 3
_BATCH = 50
_CONTRAST = 1e-4  # added to the variance of a patch, for pixels in [0, 1]
_WHITENING = 0.1
_THRESHOLD = 0.25
_PENALTIES = (0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
_TEMPERATURES = (1.0, 2.0, 4.0, 6.0, 8.0, 12.0, 16.0, 24.0)


def applies_to(task: Task) -> bool:
    """Tell whether a task has images of a usable size, classes as labels, and not too many examples."""
    inputs, labels = task.train.inputs, task.train.labels
    return (
        inputs.ndim == 4
        and min(inputs.shape[2:]) >= MIN_PIXELS
        and not labels.is_floating_point()
        and labels.ndim == 1
        and len(labels) <= MAX_EXAMPLES
    )


def second_opinion(task: Task, *, seed: int, weights: Float[Tensor, " n"] | None = None) -> FeatureTable:
    """Compute the features of all training examples from predictions that left each example out.

    Args:
        task: Of images, see `applies_to`.
        seed: Of the patches.
        weights: Relative weights of the fit, shape ``(n,)``; None weighs all equally.

    Returns:
        Loss, renormed entropy and gradient bound, as from a network.

    Cost:
        See `opinion_cost`; memory for two ``(n, 1800)`` float32 matrices.
    """
    labels = task.train.labels.cpu()
    features = patch_features(task.train.inputs.cpu(), seed=seed)
    values = leave_one_out_predictions(features, labels, num_classes=task.num_classes, weights=weights)
    logits = _tempered(values, labels)
    found = example_features(logits, labels)
    return table_from_sums(
        found.loss.double(),
        found.renormed_entropy.double(),
        found.gradient_bound.double(),
        logits.argmax(1),
        source="ridge regression on random patches, each example left out",
    )


def average_tables(network: FeatureTable, opinion: FeatureTable) -> FeatureTable:
    """Average the features of a network and of a second opinion; predictions are those of the latter.

    Args:
        network: Of n examples.
        opinion: Of the same examples.

    Returns:
        A table of the same columns.
    """
    return FeatureTable(
        network.names,
        (network.values + opinion.values) / 2,
        (network.gradient + opinion.gradient) / 2,
        opinion.predictions,
        f"{network.source}, averaged with {_PHRASE}: {opinion.source}",
    )


def has_opinion(origin: dict[str, Any]) -> bool:
    """Tell from a policy's origin whether its features were averaged with a second opinion."""
    return _PHRASE in str(origin.get("feature_source", ""))


def patch_features(images: Tensor, *, seed: int, num_filters: int = _NUM_FILTERS) -> Float[Tensor, "n d"]:
    """Describe images by their responses to whitened random patches, averaged over a 3 x 3 grid.

    The features of an image and of its mirror image are averaged.

    Args:
        images: Shape ``(n, channels, height, width)``, of any scale; averaged down to 32 pixels a side.
        seed: Of the patches.
        num_filters: Number of patches; ``d = 18 * num_filters``.

    Returns:
        Float32, shape ``(n, d)``, not negative.

    Source:
        [coates2011]. Deviations: random patches in place of k-means centres, a 3 x 3 grid, mirror images.
    """
    scale = float(images.double().abs().max()) or 1.0
    filters, offsets = _filters(_small(images[:2_000], scale), num_filters, seed)
    found = []
    for batch in torch.split(images, _BATCH):
        small = _small(batch, scale)
        found.append((_responses(small, filters, offsets) + _responses(small.flip(-1), filters, offsets)) / 2)
    return torch.cat(found)


def leave_one_out_predictions(
    features: Float[Tensor, "n d"],
    labels: Int64[Tensor, " n"],
    *,
    num_classes: int,
    weights: Float[Tensor, " n"] | None = None,
) -> Float[Tensor, "n classes"]:
    """Predict each example's class indicators by a ridge regression on all others.

    ``y_i - r_i / (1 - h_i)`` with residual ``r_i`` and leverage ``h_i``. The penalty is the one of a grid
    with the smallest weighted squared error of these predictions.

    Args:
        features: Shape ``(n, d)``; standardised here.
        labels: Shape ``(n,)``.
        num_classes: C.
        weights: Of the examples in the fit, not negative, not all zero; None is equal.

    Returns:
        Float64, shape ``(n, C)``. An example of weight 0 gets the prediction of the fit itself.

    Source:
        The closed form is that of Allen's PRESS statistic; derived here for weights. Standardisation uses
        all examples, the one left out included.

    Cost:
        ``4 n d^2 + 10 d^3`` operations.

    Example:
        >>> line = torch.tensor([[0.0], [1.0], [2.0], [3.0], [4.0], [5.0]])
        >>> values = leave_one_out_predictions(line, torch.tensor([0, 0, 0, 1, 1, 1]), num_classes=2)
        >>> values.argmax(1).tolist()
        [0, 0, 0, 1, 1, 1]
    """
    n = len(labels)
    weight = torch.ones(n, dtype=torch.float64) if weights is None else weights.double() * n / weights.sum()
    targets = functional.one_hot(labels, num_classes).double()
    share = weight / n
    centred = features - (share.float() @ features)
    deviation = (share.float() @ centred.square()).sqrt()
    standard = centred / torch.where(deviation > 1e-6 * deviation.max(), deviation, torch.inf)
    gram = (standard * weight.float()[:, None]).T @ standard
    eigenvalues, vectors = torch.linalg.eigh(gram.double())
    scores = (standard @ vectors.float()).double()
    mean = share @ targets
    gap = targets - mean
    moments = scores.T @ (weight[:, None] * gap)
    best, best_error = gap, math.inf
    for penalty in _PENALTIES:
        shrunk = 1 / (eigenvalues.clamp_min(0) + penalty * n)
        residual = gap - scores @ (moments * shrunk[:, None])
        leverage = (scores.square() @ shrunk) * weight + share
        left_out = residual / (1 - leverage).clamp_min(1e-6)[:, None]
        error = float((weight[:, None] * left_out.square()).sum())
        if error < best_error:
            best, best_error = left_out, error
    return targets - best


def opinion_cost(task: Task) -> float:
    """Express the cost of a second opinion in epochs of the task's network, by counting operations.

    Args:
        task: Gives images and network.

    Returns:
        Epochs of training; counted, not timed, so that it is the same on every machine.
    """
    from torch.utils.flop_counter import FlopCounterMode

    n, channels = len(task.train), task.train.inputs.shape[1]
    size = min(8, n)
    model = task.build_model(0)
    with torch.random.fork_rng(devices=[]), FlopCounterMode(display=False) as counter:
        logits = model(task.prepare(task.train.inputs[:size]))
        task.loss(logits, task.train.labels[:size]).sum().backward()  # type: ignore[no-untyped-call]
    height, width = (min(side, MAX_PIXELS) - _PATCH + 1 for side in task.train.inputs.shape[2:])
    convolution = 2 * _NUM_FILTERS * channels * _PATCH**2 * height * width
    d = 2 * _NUM_FILTERS * _GRID**2
    operations = n * (2 * convolution + 4 * d**2) + 10 * d**3
    return float(operations / (counter.get_total_flops() / size * n))


def _small(images: Tensor, scale: float) -> Tensor:
    floats = images.float() / scale
    height, width = (min(side, MAX_PIXELS) for side in images.shape[2:])
    return (
        functional.adaptive_avg_pool2d(floats, (height, width))
        if images.shape[2:] != (height, width)
        else floats
    )


def _filters(images: Tensor, count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Choose patches and fold their whitening into filters and offsets."""
    generator = torch.Generator().manual_seed(seed)
    patches = _random_patches(images, generator)
    mean = patches.mean(0)
    centred = patches - mean
    eigenvalues, vectors = torch.linalg.eigh((centred.T @ centred / len(patches)).double())
    whitening = (vectors * (eigenvalues.clamp_min(0) + _WHITENING).rsqrt()) @ vectors.T
    chosen = torch.randperm(len(patches), generator=generator)[:count]
    directions = functional.normalize(centred[chosen].double() @ whitening, dim=1)
    matrix = directions @ whitening
    offsets = -(matrix @ mean.double())
    # A patch has its mean taken out before the product; here the filter takes it out.
    matrix = matrix - matrix.mean(1, keepdim=True)
    return matrix.float().view(count, images.shape[1], _PATCH, _PATCH), offsets.float()


def _random_patches(images: Tensor, generator: torch.Generator) -> Tensor:
    found = []
    for _ in range(10):
        rows, columns = images.shape[2] - _PATCH + 1, images.shape[3] - _PATCH + 1
        top = int(torch.randint(0, rows, (1,), generator=generator))
        left = int(torch.randint(0, columns, (1,), generator=generator))
        found.append(images[:, :, top : top + _PATCH, left : left + _PATCH].flatten(1))
    patches = torch.cat(found)
    deviation = (patches.var(1, keepdim=True) + _CONTRAST).sqrt()
    return (patches - patches.mean(1, keepdim=True)) / deviation


def _responses(images: Tensor, filters: Tensor, offsets: Tensor) -> Tensor:
    mean = functional.avg_pool2d(images, _PATCH, 1).mean(1, keepdim=True)
    square = functional.avg_pool2d(images.square(), _PATCH, 1).mean(1, keepdim=True)
    deviation = ((square - mean.square()).clamp_min(0) + _CONTRAST).sqrt()
    # In place and in small batches: the maps are large, and moving them costs more than computing them.
    response = functional.conv2d(images, filters).div_(deviation).add_(offsets[:, None, None])
    upper = functional.adaptive_avg_pool2d((response - _THRESHOLD).relu_(), _GRID)
    lower = functional.adaptive_avg_pool2d(response.neg_().sub_(_THRESHOLD).relu_(), _GRID)
    return torch.cat([upper, lower], 1).flatten(1)


def _tempered(values: Float[Tensor, "n classes"], labels: Int64[Tensor, " n"]) -> Float[Tensor, "n classes"]:
    """Scale predictions so that as probabilities they fit the labels best."""
    best = min(_TEMPERATURES, key=lambda scale: float(functional.cross_entropy(values * scale, labels)))
    return values * best
