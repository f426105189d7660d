"""Small but real runs, made once a session, and a summary that tests may bend."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from localmin.sampling.seeds import search_seeds
from localmin.sampling.settings import preset_settings
from localmin.tasks.assembly import build_task
from localmin.tasks.examples import Examples
from localmin.tasks.recipe import Recipe
from localmin.tasks.source import DataSource
from localmin.tasks.task import Task

EVIL = "<script>alert('x')</script>"
MakeRun = Callable[..., Path]


def images(num_classes: int = 3, n: int = 240) -> DataSource:
    """Bright rows that tell the classes apart, with names that try to break the page."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(n) % num_classes
    inputs = torch.randint(0, 80, (n, 3, 8, 8), generator=generator, dtype=torch.uint8)
    for i, label in enumerate(labels.tolist()):
        inputs[i, :, 2 * label : 2 * label + 2] += 120
    names = (EVIL, "a & b", *(f"class {c}" for c in range(2, num_classes)))
    files = tuple(f'"{i}"<b>.png' for i in range(n))
    return DataSource(
        f"images {EVIL}",
        Examples(inputs, labels, files),
        names,
        "mlp",
        Recipe(epochs=4, batch_size=16, lr=0.05),
    )


def table(num_classes: int = 3) -> DataSource:
    """Points around well separated centres."""
    generator = torch.Generator().manual_seed(1)
    labels = torch.arange(300) % num_classes
    inputs = torch.randn(300, 4, generator=generator) + 4 * torch.nn.functional.one_hot(labels, 4)
    names = tuple("abcd"[:num_classes])
    return DataSource(
        "points", Examples(inputs.float(), labels), names, "mlp", Recipe(epochs=4, batch_size=16, lr=0.05)
    )


@pytest.fixture(scope="session")
def make_run(tmp_path_factory: pytest.TempPathFactory) -> MakeRun:
    """Search in a new folder, in about half a second."""

    def make(
        source: DataSource,
        *,
        seeds: tuple[int, ...] = (0,),
        form: str = "d",
        task: Any = None,
        **changes: Any,
    ) -> Path:
        folder = tmp_path_factory.mktemp("run")
        options = {"noise": 0.4} | (task or {})

        def make_task(seed: int) -> Task:
            return build_task(source, seed=seed, **options)

        defaults = {"safe_rule": False, "guard": "none", "form": form}
        settings = preset_settings("quick", **(defaults | changes))
        search_seeds(make_task, seeds, settings=settings, command="localmin search <data>", out=folder)
        return folder

    return make


@pytest.fixture(scope="session")
def sources() -> dict[str, DataSource]:
    """Data by name: images with hostile names, tables of three and of two classes."""
    return {"images": images(), "table": table(), "binary": table(2)}


@pytest.fixture(scope="session")
def image_run(make_run: MakeRun) -> Path:
    """Images with wrong labels, one seed."""
    return make_run(images())


@pytest.fixture(scope="session")
def seeds_run(make_run: MakeRun) -> Path:
    """A table with wrong labels, three seeds, with a guard."""
    return make_run(table(), seeds=(0, 1, 4), guard="halves")


@pytest.fixture
def summary(seeds_run: Path) -> dict[str, Any]:
    """A fresh copy of a result with three seeds."""
    content: dict[str, Any] = json.loads((seeds_run / "result.json").read_text())
    return content


@pytest.fixture
def one_seed(image_run: Path) -> dict[str, Any]:
    """A fresh copy of a result with one seed."""
    content: dict[str, Any] = json.loads((image_run / "result.json").read_text())
    return content
