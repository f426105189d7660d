"""What each rank of test_data_parallel runs; the leader writes what it found."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import localmin
from localmin.sampling import SearchSettings
from localmin.tasks import Examples, Recipe, Task
from localmin.tasks.checkpoint import CheckpointFile
from localmin.tasks.data_parallel import data_parallel
from localmin.tasks.training import train_model, uniform_draw

# Cuts alone: what an engine proposes from features that differ in the seventh digit may be another sampler.
FEW = SearchSettings(cuts=(1.2, 0.8, 0.6), steps=0, rounds=1, top=1, feature_source="step-mean")


class Net(nn.Module):
    """Batch norm in one and in two dimensions."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(1, 6, 3)
        self.norm = nn.BatchNorm2d(6)
        self.hidden = nn.Linear(6 * 4 * 4, 20)
        self.norm_hidden = nn.BatchNorm1d(20, momentum=None)
        self.out = nn.Linear(20, 4)
        self.unused = nn.Linear(2, 2)
        self.double()

    def forward(self, inputs: Tensor) -> Tensor:
        found = torch.relu(self.norm(self.convolution(inputs)))
        logits: Tensor = self.out(torch.relu(self.norm_hidden(self.hidden(found.flatten(1)))))
        return logits


def jitter(batch: Tensor, generator: torch.Generator) -> Tensor:
    """Augment with numbers that must be the same in one process and in two."""
    return batch + 0.1 * torch.randn(batch.shape, generator=generator, dtype=batch.dtype)


def image_task() -> Task:
    """Make images; 83 of them leave a last batch of an odd size."""
    generator = torch.Generator().manual_seed(0)

    def part(count: int) -> Examples:
        labels = torch.arange(count) % 4
        images = torch.randn(count, 1, 6, 6, generator=generator, dtype=torch.float64)
        images[torch.arange(count), 0, 2, labels] += 2
        return Examples(images, labels)

    recipe = Recipe(epochs=4, batch_size=16, lr=0.05, label_smoothing=0.1, augmentation=jitter)
    return Task("images", part(83), part(40), part(40), Net, 4, recipe=recipe)


def train(checkpoint: Path | None = None) -> dict[str, Any]:
    """Train the network with batch norm; give its weights and losses."""
    task = image_task()
    file = None if checkpoint is None else CheckpointFile(checkpoint, interval=0.0)
    trained = train_model(task, task.train, uniform_draw(83), seed=3, checkpoint=file)
    weights = {name: value.double().flatten().tolist() for name, value in trained.model.state_dict().items()}
    return {"weights": weights, "losses": list(trained.losses), "draws": trained.num_draws}


def run_search(out: Path | None = None) -> dict[str, Any]:
    """Search on digits, with features that see the logits of every step."""
    task = localmin.tasks.digits(noise=0.4, seed=0, epochs=4)
    result = localmin.search(task, settings=FEW, out=out)
    return {
        "scores": [trial.score for trial in result.trials],
        "features": result.features.values.tolist(),
        "arms": {name: arm.test for name, arm in result.arms.items()},
    }


def everything(folder: Path | None = None) -> dict[str, Any]:
    """Do all of it, in one process or as the leader of several."""
    first = train(None if folder is None else folder / "progress.safetensors")
    again = train(None if folder is None else folder / "progress.safetensors")
    return {"trained": first, "again": again, "search": run_search()}


if __name__ == "__main__":
    torch.set_num_threads(1)
    with data_parallel() as leads:
        if leads:
            Path(sys.argv[1], "found.json").write_text(json.dumps(everything(Path(sys.argv[1]))))
