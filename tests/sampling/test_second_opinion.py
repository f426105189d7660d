"""A second opinion: leave-one-out in closed form, patches, cost, and what it adds to a search."""

import pytest
import torch

from localmin.sampling import search
from localmin.sampling.feature_table import FeatureTable
from localmin.sampling.second_opinion import (
    applies_to,
    average_tables,
    has_opinion,
    leave_one_out_predictions,
    opinion_cost,
    patch_features,
    second_opinion,
)
from localmin.sampling.transfer import train_run
from localmin.tasks import Examples, Recipe, Task, digits
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


def naive_left_out(
    features: torch.Tensor, labels: torch.Tensor, penalty: float, weights: torch.Tensor
) -> torch.Tensor:
    """Fit without each example in turn, by the normal equations, with the same standardisation."""
    n = len(labels)
    w = weights * n / weights.sum()
    mean = (w / n) @ features
    deviation = ((w / n) @ (features - mean) ** 2).sqrt()
    x = torch.cat([(features - mean) / deviation, torch.ones(n, 1, dtype=torch.float64)], 1)
    targets = torch.nn.functional.one_hot(labels, 2).double()
    ridge = penalty * n * torch.eye(x.shape[1], dtype=torch.float64)
    ridge[-1, -1] = 0
    found = []
    for i in range(n):
        rest = w.clone()
        rest[i] = 0
        weighted = x * rest[:, None]
        found.append(x[i] @ torch.linalg.solve(weighted.T @ x + ridge, weighted.T @ targets))
    return torch.stack(found)


@pytest.mark.parametrize("weighted", [False, True])
def test_equals_fitting_without_each_example(weighted: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    generator = torch.Generator().manual_seed(1)
    features = torch.randn(30, 4, generator=generator, dtype=torch.float64)
    labels = (features[:, 0] + 0.5 * torch.randn(30, generator=generator) > 0).long()
    weights = (
        torch.rand(30, generator=generator, dtype=torch.float64) if weighted else torch.ones(30).double()
    )
    monkeypatch.setattr("localmin.sampling.second_opinion._PENALTIES", (0.2,))
    values = leave_one_out_predictions(features.float(), labels, num_classes=2, weights=weights)
    torch.testing.assert_close(values, naive_left_out(features, labels, 0.2, weights), rtol=0, atol=2e-5)


def test_an_example_of_weight_zero_does_not_move_the_fit() -> None:
    generator = torch.Generator().manual_seed(2)
    features = torch.randn(40, 3, generator=generator)
    labels = (features[:, 0] > 0).long()
    weights = torch.ones(40)
    weights[7] = 0
    flipped = labels.clone()
    flipped[7] = 1 - flipped[7]
    first = leave_one_out_predictions(features, labels, num_classes=2, weights=weights)
    second = leave_one_out_predictions(features, flipped, num_classes=2, weights=weights)
    torch.testing.assert_close(first, second)


def test_finds_wrong_labels_without_having_learnt_them() -> None:
    task = striped_task()
    table = second_opinion(task, seed=0)
    clean = task.clean_train_labels
    assert clean is not None
    wrong = clean != task.train.labels
    loss = table.column("loss")
    above = (loss[wrong][:, None] > loss[~wrong][None, :]).double().mean()
    assert above > 0.9  # area under the curve; chance is 0.5
    assert bool((table.predictions == clean).double().mean() > 0.8)


def test_features_do_not_depend_on_the_scale_or_the_mirror() -> None:
    task = striped_task(40)
    images = task.train.inputs
    plain = patch_features(images, seed=0, num_filters=5)
    assert plain.shape == (40, 90)
    torch.testing.assert_close(patch_features(images.float() * 7, seed=0, num_filters=5), plain)
    assert not torch.equal(patch_features(images, seed=1, num_filters=5), plain)


def test_large_images_are_averaged_down() -> None:
    images = torch.rand(6, 3, 48, 80, generator=torch.Generator().manual_seed(0))
    assert patch_features(images, seed=0, num_filters=4).shape == (6, 72)


def test_applies_to_images_alone() -> None:
    assert applies_to(striped_task(30))
    assert not applies_to(digits(seed=0))


def test_cost_is_in_epochs_of_the_network() -> None:
    small, wide = striped_task(60), striped_task(60)
    object.__setattr__(wide, "model", lambda: build_cnn(1, 3, widths=(64, 128, 256)))
    assert 0 < 3 * opinion_cost(wide) < opinion_cost(small)


def test_average_of_tables() -> None:
    first = FeatureTable(("loss",), torch.zeros(2, 1), torch.zeros(2), torch.tensor([0, 0]), "a")
    second = FeatureTable(("loss",), torch.ones(2, 1), torch.ones(2), torch.tensor([1, 0]), "b")
    table = average_tables(first, second)
    assert table.values.flatten().tolist() == [0.5, 0.5]
    assert table.predictions.tolist() == [1, 0]


def test_a_transferred_policy_gets_the_opinion_it_was_found_with() -> None:
    task = striped_task(90)
    result = search(task, preset="quick", trials=2, seed=0)
    assert has_opinion(result.candidate.origin)
    with_opinion = train_run(task, policy=result.candidate, seed=0)
    assert with_opinion.feature_epochs == pytest.approx(1 + opinion_cost(task))
    # Half a training for the network's features, a quarter beside an opinion: both are one epoch of two.
    assert result.cost.search_epochs > 1 + opinion_cost(task)


def test_none_leaves_the_opinion_out() -> None:
    result = search(striped_task(90), preset="quick", trials=2, seed=0, second_opinion="none")
    assert not has_opinion(result.candidate.origin)
