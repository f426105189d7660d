"""A task: data, network, loss, metric and recipe, everything a search needs to know."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from localmin.errors import DataError, InputError
from localmin.tasks.examples import Examples
from localmin.tasks.kinds import Classification, TaskKind
from localmin.tasks.metrics import METRICS, Metric
from localmin.tasks.noise import NoiseRecord
from localmin.tasks.normalization import Normalization
from localmin.tasks.random_state import seeded
from localmin.tasks.recipe import Recipe

__all__ = ["METRICS", "Metric", "ModelFactory", "PerExampleLoss", "Task", "cross_entropy"]

ModelFactory = Callable[[], nn.Module]
PerExampleLoss = Callable[[Tensor, Tensor], Tensor]


def cross_entropy(logits: Float[Tensor, "b classes"], labels: Int64[Tensor, " b"]) -> Float[Tensor, " b"]:
    """Compute ``-log softmax(logits)[label]`` for each example, in nats."""
    return torch.nn.functional.cross_entropy(logits, labels, reduction="none")


@dataclass(frozen=True, eq=False)
class Task:
    """Join train, validation and test examples with a model, a loss, a metric and a recipe.

    The test examples are used once, for the score that is reported. The validation examples steer
    the search and may carry the same label noise as the training examples.

    Args:
        name: Shown in reports and checked when a run folder is used again.
        train: Examples to sample from; n of them.
        validation: Examples that score samplers.
        test: Examples of the reported score.
        model: Called without arguments; gives a new ``nn.Module`` that maps a batch of normalised
            inputs to logits of shape ``(b, num_classes)`` (a regression: ``(b, 1)``; a language model:
            tokens to ``(b, length, num_classes)``). Drawn under the seed of the run.
        num_classes: At least 2; 1 for a regression; the size of the vocabulary of a language model.
        recipe: How one training is done.
        class_names: One per class; empty for "0", "1", ...
        metric: ``"accuracy"``, or ``"balanced-accuracy"``: the mean over classes. Other kinds have their
            own, and where ``"accuracy"`` is none of them it stands for their first.
        normalization: From raw inputs to what the model is fed; None measures it on ``train``.
        loss: Per-example loss ``(outputs, labels) -> (b,)``; where the built-in one is left, that of the
            kind.
        model_name: For reports.
        clean_train_labels: The labels before injected noise, where known: used by the oracle arm and
            for measuring only, never by a search.
        clean_validation_labels: As above, for the validation examples.
        noise: What was done to the labels, if anything.
        provenance: Where the data came from and how it was split, for reports. JSON types only.
        kind: `Classification`, `Regression`, `LanguageModel`; its constants are measured on ``train``.

    Raises:
        DataError: If a part is empty, has labels outside the classes or inputs of another shape than the
            training part, or if the training part holds a single class.
        InputError: If the metric is unknown, or the clean labels or the class names do not fit.

    Example:
        >>> from localmin.tasks import digits
        >>> task = digits(noise=0.4, seed=0)
        >>> len(task.train), len(task.validation), len(task.test), task.num_classes
        (1000, 300, 497, 10)
    """

    name: str
    train: Examples
    validation: Examples
    test: Examples
    model: ModelFactory
    num_classes: int
    recipe: Recipe = field(default_factory=Recipe)
    class_names: tuple[str, ...] = ()
    metric: Metric = "accuracy"
    normalization: Normalization | None = None
    loss: PerExampleLoss = cross_entropy
    model_name: str = "model"
    clean_train_labels: Tensor | None = None
    clean_validation_labels: Tensor | None = None
    noise: NoiseRecord | None = None
    provenance: dict[str, Any] = field(default_factory=dict)
    kind: TaskKind = field(default_factory=Classification)

    def __post_init__(self) -> None:
        if self.metric == "accuracy" and self.metric not in self.kind.metrics:
            object.__setattr__(self, "metric", self.kind.metrics[0])
        if self.metric not in self.kind.metrics:
            raise InputError(
                f"unknown metric {self.metric!r} for {self.kind.name}; choose one of "
                f"{', '.join(self.kind.metrics)}"
            )
        if len(self.train):
            self.kind.check_training_part(self.train, self.num_classes, where=self.name)
        if self.class_names and len(self.class_names) != self.num_classes:
            raise InputError(f"{len(self.class_names)} class names for {self.num_classes} classes")
        for part, examples in self.parts().items():
            self._check_part(part, examples)
        object.__setattr__(self, "kind", self.kind.fitted(self.train))
        if self.recipe.label_smoothing and not self.has_plain_cross_entropy:
            raise InputError("label smoothing needs the built-in loss; build it into your own loss instead")
        for clean, examples in (
            (self.clean_train_labels, self.train),
            (self.clean_validation_labels, self.validation),
        ):
            if clean is not None and clean.shape != examples.labels.shape:
                raise InputError(f"{len(clean)} clean labels for {len(examples)} examples")
        if not self.class_names:
            object.__setattr__(self, "class_names", tuple(str(c) for c in range(self.num_classes)))
        if self.normalization is None:
            fitted = Normalization() if self.kind.needs_raw_inputs else Normalization.fit(self.train)
            object.__setattr__(self, "normalization", fitted)

    def _check_part(self, part: str, examples: Examples) -> None:
        if len(examples) == 0:
            raise DataError(f"the {part} part of {self.name} is empty")
        if examples.inputs.shape[1:] != self.train.inputs.shape[1:]:
            raise DataError(
                f"the {part} part of {self.name} has inputs of shape {tuple(examples.inputs.shape[1:])}, the "
                f"training part {tuple(self.train.inputs.shape[1:])}"
            )
        self.kind.check_examples(examples, self.num_classes, where=f"the {part} part of {self.name}")

    def parts(self) -> dict[str, Examples]:
        """Name the three parts: train, validation, test."""
        return {"train": self.train, "validation": self.validation, "test": self.test}

    def prepare(self, inputs: Tensor) -> Tensor:
        """Normalise a batch of raw inputs; tokens stay as they are."""
        if self.kind.needs_raw_inputs:
            return inputs.long()
        assert self.normalization is not None  # set in __post_init__
        return self.normalization(inputs)

    @property
    def has_plain_cross_entropy(self) -> bool:
        """Whether the loss is the built-in one, for which torch has a fused kernel with label smoothing."""
        return self.loss is cross_entropy and isinstance(self.kind, Classification)

    def example_loss(self, outputs: Tensor, labels: Tensor) -> Float[Tensor, " b"]:
        """Compute the training loss of each example: the task's own, or that of its kind."""
        return self.kind.loss(outputs, labels) if self.loss is cross_entropy else self.loss(outputs, labels)

    @property
    def train_groups(self) -> Int64[Tensor, " n"]:
        """Group of each training example on the CPU: its class, or 0 for all where there are none."""
        return self.kind.groups(self.train.labels.cpu())

    @property
    def num_groups(self) -> int:
        """Count the groups."""
        return self.kind.num_groups(self.num_classes)

    @property
    def wrong_labels(self) -> Bool[Tensor, " n"] | None:
        """Tell which training labels are wrong, on the CPU; None where that is not known."""
        if self.clean_train_labels is None:
            return None
        return self.kind.differs(self.train.labels.cpu(), self.clean_train_labels.cpu())

    @property
    def epochs(self) -> int:
        """Length of one training, in epochs."""
        return self.recipe.epochs

    def with_recipe(self, recipe: Recipe) -> Task:
        """Train the same task in another way."""
        return replace(self, recipe=recipe)

    def build_model(self, seed: int) -> nn.Module:
        """Draw a new model; the caller's random state is left as it was.

        Args:
            seed: Of the initial weights.

        Returns:
            The model in training mode, on the CPU.
        """
        with seeded(seed):
            return self.model().train()

    def to_dict(self) -> dict[str, Any]:
        """Describe the task in JSON types: sizes, classes, recipe, noise, provenance without the indices."""
        return {
            "name": self.name,
            "sizes": {part: len(examples) for part, examples in self.parts().items()},
            "num_classes": self.num_classes,
            "class_names": list(self.class_names),
            "kind": self.kind.to_dict(),
            "metric": self.metric,
            "model": self.model_name,
            "recipe": self.recipe.to_dict(),
            "noise": None if self.noise is None else self.noise.to_dict(),
            "provenance": {key: value for key, value in self.provenance.items() if key != "indices"},
        }
