"""Leave-one-out predictions in closed form."""

import pytest
import torch

from localmin.sampling.second_opinion import leave_one_out_predictions
from localmin.sampling.second_opinion.ridge import tempered


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
    monkeypatch.setattr("localmin.sampling.second_opinion.ridge._PENALTIES", (0.2,))
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


def test_predictions_are_scaled_to_fit_the_labels() -> None:
    generator = torch.Generator().manual_seed(4)
    labels = torch.randint(3, (400,), generator=generator)
    values = torch.nn.functional.one_hot(labels, 3).double() + 0.3 * torch.randn(400, 3, generator=generator)
    sure = torch.nn.functional.cross_entropy(tempered(values, labels), labels)
    assert float(sure) < float(torch.nn.functional.cross_entropy(values, labels))
    # What says nothing stays as flat as it can.
    noise = torch.randn(400, 3, generator=generator, dtype=torch.float64)
    torch.testing.assert_close(tempered(noise, labels), noise)
