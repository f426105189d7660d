from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

from localmin.sampling.context import SearchContext, shares_weights, wanted_class_mix
from localmin.sampling.execution import InProcess, Stages
from localmin.sampling.feature_table import FeatureTable, table_from_sums
from localmin.sampling.progress import EpochMeter, Silent
from localmin.sampling.settings import SearchSettings
from localmin.sampling.trial import ScoreWeights
from localmin.tasks import Examples, Recipe, Task
from localmin.tasks.noisy_task import add_noise
from localmin.tasks.run_folder import RunFolder

TaskMaker = Callable[..., Task]
ContextMaker = Callable[..., SearchContext]
TableMaker = Callable[..., FeatureTable]


class SmallNet(nn.Module):
    """Twice as many inputs as classes, one hidden layer."""

    def __init__(self, num_features: int, num_classes: int, width: int = 32, dropout: float = 0.0) -> None:
        super().__init__()
        self.hidden = nn.Linear(num_features, width)
        self.dropout = nn.Dropout(dropout)
        self.out = nn.Linear(width, num_classes)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.out(self.dropout(torch.relu(self.hidden(inputs))))
        return logits


def blobs(count: int, num_classes: int, generator: torch.Generator, spread: float) -> Examples:
    """Gaussian clouds around the unit vectors of the first coordinates, the other coordinates are noise."""
    labels = torch.arange(count) % num_classes
    centres = torch.eye(num_classes, 2 * num_classes) * 3
    noise = spread * torch.randn(count, 2 * num_classes, generator=generator)
    return Examples(centres[labels] + noise, labels)


def tiny_task(
    *,
    seed: int = 0,
    num_classes: int = 4,
    sizes: tuple[int, int, int] = (160, 60, 100),
    noise: float = 0.0,
    spread: float = 1.0,
    dropout: float = 0.0,
    counts: tuple[int, ...] | None = None,
    recipe: dict[str, Any] | None = None,
    **changes: Any,
) -> Task:
    generator = torch.Generator().manual_seed(seed)
    train, validation, test = (blobs(size, num_classes, generator, spread) for size in sizes)
    if counts is not None:
        kept = [torch.nonzero(train.labels == label).flatten()[:count] for label, count in enumerate(counts)]
        train = train.subset(torch.cat(kept).sort().values)
    task = Task(
        "blobs",
        train,
        validation,
        test,
        lambda: SmallNet(2 * num_classes, num_classes, dropout=dropout),
        num_classes,
        recipe=Recipe(**({"epochs": 4, "batch_size": 16, "lr": 0.1} | (recipe or {}))),
    )
    noisy = add_noise(task, noise, seed=seed)
    return replace(noisy, **changes) if changes else noisy


def context_of(task: Task, *, seed: int = 0, settings: SearchSettings | None = None) -> SearchContext:
    mix = wanted_class_mix(task)
    stages = Stages(RunFolder(None, {}), InProcess())
    meter = EpochMeter(Silent(), len(task.train))
    stages.executor.use(task, device=torch.device("cpu"), on_draws=meter.draws)
    return SearchContext(
        task=task,
        settings=settings or SearchSettings(),
        seed=seed,
        stages=stages,
        device=torch.device("cpu"),
        meter=meter,
        class_prior=mix is not None,
        score_weights=ScoreWeights.for_task(task, mix),
        shares_weights=shares_weights(task),
    )


def random_table(count: int, *, seed: int = 0, tied: bool = False) -> FeatureTable:
    generator = torch.Generator().manual_seed(seed)
    loss = torch.rand(count, generator=generator, dtype=torch.float64).mul(-1).log1p().neg()
    if tied:
        loss = (loss * 4).round() / 4
    entropy = torch.rand(count, generator=generator, dtype=torch.float64) * 2
    gradient = 2**0.5 * (1 - (-loss).exp())
    return table_from_sums(loss, entropy, gradient, torch.zeros(count, dtype=torch.int64), source="made up")


@pytest.fixture
def make_task() -> TaskMaker:
    return tiny_task


@pytest.fixture
def make_context() -> ContextMaker:
    return context_of


@pytest.fixture
def make_table() -> TableMaker:
    return random_table
