"""A task of images that patches tell apart."""

from collections.abc import Callable

import pytest
import torch

from localmin.tasks import Examples, Recipe, Task
from localmin.tasks.models import build_cnn
from localmin.tasks.noisy_task import add_noise


def striped_task(n: int = 300, *, noise: float = 0.3) -> Task:
    """Make noisy images whose class is the direction of their stripes: easy for patches."""
    generator = torch.Generator().manual_seed(3)
    labels = torch.arange(n) % 3
    rows, columns = torch.meshgrid(torch.arange(16.0), torch.arange(16.0), indexing="ij")
    waves = torch.stack([torch.sin(1.6 * rows), torch.sin(1.6 * columns), torch.sin(1.1 * (rows + columns))])
    pixels = 128 + 50 * waves[labels] + 40 * torch.randn(n, 16, 16, generator=generator)
    images = pixels.clamp(0, 255).to(torch.uint8)[:, None]
    data = Examples(images, labels)
    task = Task("stripes", data, data, data, lambda: build_cnn(1, 3), 3, Recipe(epochs=2, batch_size=32))
    return add_noise(task, noise, seed=0)


@pytest.fixture
def make_striped() -> Callable[..., Task]:
    """Give `striped_task`."""
    return striped_task
