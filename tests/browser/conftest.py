"""A browser for the whole session, and one page to look at."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from localmin.reports import write_report
from localmin.sampling.seeds import search_seeds
from localmin.sampling.settings import preset_settings
from localmin.tasks.assembly import build_task
from localmin.tasks.examples import Examples
from localmin.tasks.recipe import Recipe
from localmin.tasks.source import DataSource

_ARGUMENTS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--no-first-run",
)  # fmt: skip


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Start Chromium once."""
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("chromium is not installed")
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=program, args=list(_ARGUMENTS))
        yield started
        started.close()


@pytest.fixture(scope="session")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a search on small images with long, hostile names, on two seeds."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(240) % 3
    inputs = torch.randint(0, 80, (240, 3, 8, 8), generator=generator, dtype=torch.uint8)
    for i, label in enumerate(labels.tolist()):
        inputs[i, :, 2 * label : 2 * label + 2] += 120
    names = ("<script>document.title = 'broken'</script>", "a very long name of a class " * 3, "short")
    files = tuple(f"folder/with/a/long/path/and/a/long/name/{i:05}.png" for i in range(240))
    source = DataSource(
        "images", Examples(inputs, labels, files), names, "mlp", Recipe(epochs=4, batch_size=16, lr=0.05)
    )
    folder = tmp_path_factory.mktemp("run")
    search_seeds(
        lambda seed: build_task(source, seed=seed, noise=0.4),
        (0, 1),
        settings=preset_settings("quick", form="d", safe_rule=False, guard="none"),
        command="localmin search images --with a --very long --command line --not fitting --on a --phone",
        out=folder,
    )
    return write_report(folder)
