"""From a data source to a task: split, thin out, make labels wrong, choose the network."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from localmin.errors import DataError, InputError
from localmin.tasks.examples import Examples
from localmin.tasks.factories import is_factory, load_model_factory
from localmin.tasks.imbalance import imbalanced_subset
from localmin.tasks.models import build_named, check_named
from localmin.tasks.noise import NoiseKind, check_noise
from localmin.tasks.noisy_task import add_noise, with_clean_labels
from localmin.tasks.recipe import Recipe
from localmin.tasks.source import DataSource
from localmin.tasks.splits import stratified_split, stratified_subset
from localmin.tasks.task import Metric, ModelFactory, Task

__all__ = ["build_task"]

# Independent streams of one seed.
_SPLIT, _LIMIT, _IMBALANCE = range(3)

_MIN_BATCHES, _MIN_BATCH = 4, 4


@dataclass(frozen=True)
class _Parts:
    train: Examples
    validation: Examples
    test: Examples


def build_task(
    source: DataSource,
    *,
    seed: int = 0,
    model: str | ModelFactory | None = None,
    noise: float = 0.0,
    noise_kind: NoiseKind | None = None,
    clean_validation: bool = False,
    imbalance: float = 1.0,
    limit: int | None = None,
    metric: Metric | None = None,
    **recipe: Any,
) -> Task:
    """Split a source by seed and, where asked, thin it out and make labels wrong.

    The order is: take the test part, limit the rest, split off validation, make the classes of the
    training part unequal, flip labels. Validation labels are flipped at the same rate unless
    ``clean_validation``; test labels never are.

    Args:
        source: What a reader found.
        seed: Of every random choice.
        model: A built-in name, ``file.py:factory``, a factory, or None for the source's default.
        noise: Share of labels to make wrong, in [0, 1].
        noise_kind: One that the kind of task knows, see `add_noise`; None is its first.
        clean_validation: Keep the validation labels right.
        imbalance: Largest class over smallest class in the training part; 1 changes nothing.
        limit: Examples for training and validation together; the test part is not limited.
        metric: None is ``"balanced-accuracy"`` with an imbalance, else the first of the kind.
        **recipe: Fields of `Recipe` that replace the source's, such as ``epochs=10``.

    Returns:
        The task; its provenance holds the indices of every part.

    Raises:
        InputError: If an option is out of range or unknown.
    """
    changes = {name: value for name, value in recipe.items() if value is not None}
    unknown = set(changes) - set(source.recipe.__dataclass_fields__)
    if unknown:
        raise InputError(f"unknown option {', '.join(sorted(unknown))}")
    # Before anything is done, and even when there is nothing to flip.
    kinds = source.kind.noise_kinds
    check_noise(noise, noise_kind or kinds[0], kinds)
    _check_kind(source, imbalance, metric)
    num_classes = len(source.class_names)
    factory, model_name = _choose_model(source, source.model if model is None else model, num_classes)
    parts, indices = _split(source, seed=seed, limit=limit)
    train = parts.train
    if imbalance != 1:
        kept = imbalanced_subset(
            train.labels, imbalance, num_classes=num_classes, seed=_stream(seed, _IMBALANCE)
        )
        train, indices["train"] = train.subset(kept), indices["train"][kept]
    task = Task(
        name=source.name,
        train=train,
        validation=parts.validation,
        test=parts.test,
        model=factory,
        num_classes=num_classes,
        recipe=replace(_fitted(source.recipe, len(train)), **changes),
        class_names=source.class_names,
        metric=metric or ("balanced-accuracy" if imbalance > 1 else source.kind.metrics[0]),
        normalization=source.normalization,
        model_name=model_name,
        provenance={
            **source.origin,
            "seed": seed,
            "imbalance": imbalance,
            "limit": limit,
            "indices": {part: chosen.tolist() for part, chosen in indices.items()},
        },
        kind=source.kind,
    )
    if source.clean_labels is not None:
        task = with_clean_labels(
            task, source.clean_labels[indices["train"]], source.clean_labels[indices["validation"]]
        )
    return add_noise(task, noise, kind=noise_kind, clean_validation=clean_validation, seed=seed)


def _check_kind(source: DataSource, imbalance: float, metric: Metric | None) -> None:
    kind = source.kind
    if imbalance != 1 and kind.num_groups(len(source.class_names)) < 2:
        raise InputError(
            f"{source.name} is a {kind.name} task: it has no classes that --imbalance could thin out"
        )
    if metric is not None and metric not in kind.metrics:
        raise InputError(
            f"{source.name} is a {kind.name} task, unknown metric {metric!r} for it; choose one of "
            f"{', '.join(kind.metrics)}"
        )


def _fitted(recipe: Recipe, num_examples: int) -> Recipe:
    """Shrink the default batch for tiny training sets, which would otherwise make a step or two an epoch."""
    if num_examples >= _MIN_BATCHES * recipe.batch_size:
        return recipe
    size = max(_MIN_BATCH, 2 ** int(math.log2(max(1, num_examples // (2 * _MIN_BATCHES)))))
    return replace(recipe, batch_size=min(recipe.batch_size, size))


@dataclass(frozen=True)
class _NamedModel:
    """A model factory that can be described and sent to another process."""

    name: str
    input_shape: tuple[int, ...]
    num_classes: int

    def __call__(self) -> torch.nn.Module:
        return build_named(self.name, self.input_shape, self.num_classes)


def _split(source: DataSource, *, seed: int, limit: int | None) -> tuple[_Parts, dict[str, Tensor]]:
    labels = source.kind.groups(source.examples.labels)
    everything = torch.arange(len(labels))
    indices: dict[str, Tensor] = {}
    if source.test is None:
        size = source.test_size if source.test_size is not None else len(labels) // 4
        _check_room(source, size, len(labels))
        (indices["test"], pool) = stratified_split(
            labels, [size, len(labels) - size], seed=_stream(seed, _SPLIT)
        )
        test = source.examples.subset(indices["test"])
        if source.clean_labels is not None:
            # What is reported is measured against right labels.
            test = test.with_labels(source.clean_labels[indices["test"]])
    else:
        pool, test = everything, source.test
    if limit is not None:
        if limit < 2:
            raise InputError(f"--limit must leave at least 2 examples, got {limit}")
        pool = pool[stratified_subset(labels[pool], limit, seed=_stream(seed, _LIMIT))]
    size = source.validation_size if source.validation_size is not None else len(pool) // 5
    if limit is not None and limit < len(labels):
        size = min(size, len(pool) // 5)
    _check_room(source, size, len(pool))
    validation, train = stratified_split(
        labels[pool], [size, len(pool) - size], seed=_stream(seed, _SPLIT) + 1
    )
    indices |= {"train": pool[train], "validation": pool[validation]}
    chosen = _Parts(
        source.examples.subset(indices["train"]), source.examples.subset(indices["validation"]), test
    )
    return chosen, indices


def _check_room(source: DataSource, size: int, available: int) -> None:
    if not 0 < size < available:
        raise DataError(
            f"{source.name} has {len(source.examples)} examples, of which {available} can be split further; "
            f"that is too few for a part of {size}"
        )


def _stream(seed: int, purpose: int) -> int:
    return seed * 1_000 + purpose * 100


def _choose_model(
    source: DataSource, model: str | ModelFactory, num_classes: int
) -> tuple[ModelFactory, str]:
    if callable(model):
        return model, str(getattr(model, "__qualname__", type(model).__qualname__))
    input_shape = tuple(source.examples.inputs.shape[1:])
    if is_factory(model):
        return load_model_factory(model, input_shape, num_classes, kind=source.kind), model
    check_named(model, input_shape, tokens=source.kind.needs_raw_inputs)
    return _NamedModel(model, input_shape, num_classes), model
