from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from localmin.errors import DataError
from localmin.tasks import Examples, Normalization
from localmin.tasks import normalization as module


def examples(inputs: Tensor) -> Examples:
    return Examples(inputs, torch.zeros(len(inputs), dtype=torch.int64))


def random_images(count: int, channels: int = 3, side: int = 5, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 256, (count, channels, side, side + 1), generator=generator)
    # Channels of different brightness and contrast.
    return (images // torch.tensor([1, 2, 5])[:channels].view(-1, 1, 1)).to(torch.uint8)


def test_a_table_is_standardised_as_scikit_learn_does() -> None:
    table = torch.randn(200, 7, generator=torch.Generator().manual_seed(0)) * torch.arange(1.0, 8) + 30
    found = Normalization.fit(examples(table))(table)
    expected = StandardScaler().fit_transform(table.double().numpy())
    np.testing.assert_allclose(found.numpy(), expected, atol=2e-5)


def test_images_are_standardised_per_channel_in_units_of_full_brightness() -> None:
    images = random_images(40)
    normalization = Normalization.fit(examples(images))
    reference = images.double() / 255
    np.testing.assert_allclose(normalization.mean, reference.mean((0, 2, 3)).numpy(), rtol=1e-12)
    np.testing.assert_allclose(
        normalization.deviation, reference.std((0, 2, 3), correction=0).numpy(), rtol=1e-12
    )
    prepared = normalization(images)
    assert prepared.dtype == torch.float32
    assert prepared.shape == images.shape
    np.testing.assert_allclose(prepared.mean((0, 2, 3)).numpy(), 0, atol=1e-5)
    np.testing.assert_allclose(prepared.std((0, 2, 3), correction=0).numpy(), 1, atol=1e-5)


def test_floating_point_images_are_standardised_per_channel_too() -> None:
    images = random_images(30).float() * 3 - 100
    normalization = Normalization.fit(examples(images))
    assert len(normalization.mean) == 3
    prepared = normalization(images)
    np.testing.assert_allclose(prepared.mean((0, 2, 3)).numpy(), 0, atol=1e-4)
    np.testing.assert_allclose(prepared.std((0, 2, 3), correction=0).numpy(), 1, atol=1e-4)


def test_blocks_do_not_change_the_result(monkeypatch: pytest.MonkeyPatch) -> None:
    table, images = torch.randn(37, 4, generator=torch.Generator().manual_seed(1)), random_images(23)
    whole = [Normalization.fit(examples(inputs)) for inputs in (table, images, images.float())]
    monkeypatch.setattr(module, "_MAX_BLOCK_NUMBERS", 200)
    parts = [Normalization.fit(examples(inputs)) for inputs in (table, images, images.float())]
    for one, other in zip(whole, parts, strict=True):
        np.testing.assert_allclose(one.mean, other.mean, rtol=1e-12, atol=1e-15)
        np.testing.assert_allclose(one.deviation, other.deviation, rtol=1e-12)


@pytest.mark.parametrize(("maximum", "seen"), [(100, 29), (15, 15), (14, 10), (10, 10), (1, 1)])
def test_at_most_the_maximum_number_of_images_is_looked_at(
    monkeypatch: pytest.MonkeyPatch, maximum: int, seen: int
) -> None:
    monkeypatch.setattr(module, "_MAX_IMAGES_FOR_STATISTICS", maximum)
    images = random_images(29)
    step = -(-29 // maximum)
    assert len(images[::step]) == seen <= maximum
    expected = images[::step].double().mean((0, 2, 3)) / 255
    np.testing.assert_allclose(Normalization.fit(examples(images)).mean, expected.numpy(), rtol=1e-12)


@pytest.mark.parametrize("value", [0.0, 0.1, -7.3e-30, 1e30])
def test_a_constant_column_becomes_zero(value: float) -> None:
    table = torch.full((10, 2), value)
    table[:, 1] = torch.arange(10.0)
    normalization = Normalization.fit(examples(table))
    assert normalization.deviation[0] == 1.0
    prepared = normalization(table)
    assert bool(torch.isfinite(prepared).all())
    if abs(value) < 1e20:
        np.testing.assert_allclose(prepared[:, 0].numpy(), 0, atol=1e-6)
    np.testing.assert_allclose(prepared[:, 1].std(correction=0), 1, rtol=1e-6)


def test_a_constant_channel_and_a_single_example_get_deviation_one() -> None:
    images = random_images(5)
    images[:, 1] = 200
    assert Normalization.fit(examples(images)).deviation[1] == 1.0
    assert Normalization.fit(examples(torch.tensor([[3.0, 4.0]]))).deviation == (1.0, 1.0)


@pytest.mark.parametrize("scale", [1e-300, 1e-30, 1.0, 1e30, 1e300])
def test_tiny_and_huge_columns_are_standardised(scale: float) -> None:
    table = torch.randn(50, 3, generator=torch.Generator().manual_seed(2), dtype=torch.float64) * scale
    prepared = Normalization.fit(examples(table))(table)
    np.testing.assert_allclose(prepared.std(0, correction=0).numpy(), 1, rtol=1e-9)
    np.testing.assert_allclose(prepared.mean(0).numpy(), 0, atol=1e-9)


def test_a_column_far_from_zero_keeps_its_digits() -> None:
    # Whole numbers below 2**24 are exact in single precision; so must be their differences.
    table = (10_000_000 + torch.arange(8.0)).view(8, 1)
    prepared = Normalization.fit(examples(table))(table)
    expected = (np.arange(8) - 3.5) / np.arange(8).std()
    np.testing.assert_allclose(prepared[:, 0].numpy(), expected, atol=0.25)
    np.testing.assert_allclose(np.diff(prepared[:, 0].numpy()), np.diff(expected), rtol=1e-5)


def test_without_mean_only_the_scale_is_applied() -> None:
    assert Normalization(scale=0.5)(torch.tensor([[4.0]])).item() == 2.0
    inputs = torch.tensor([[4.0]])
    assert Normalization()(inputs) is inputs
    assert Normalization(scale=1 / 255)(torch.tensor([[[[255]]]], dtype=torch.uint8)).item() == 1.0


def test_scale_mean_and_deviation_follow_the_formula() -> None:
    normalization = Normalization(mean=(1.0, -2.0), deviation=(4.0, 0.5), scale=0.25)
    inputs = torch.tensor([[8.0, 8.0], [0.0, -4.0]], dtype=torch.float64)
    expected = (0.25 * inputs - torch.tensor([1.0, -2.0])) / torch.tensor([4.0, 0.5])
    torch.testing.assert_close(normalization(inputs), expected)


def test_three_dimensional_inputs_are_standardised_per_entry() -> None:
    inputs = torch.randn(60, 3, 2, generator=torch.Generator().manual_seed(3)) + 5
    prepared = Normalization.fit(examples(inputs))(inputs)
    assert prepared.shape == inputs.shape
    np.testing.assert_allclose(prepared.mean(0).numpy(), 0, atol=1e-5)


def test_no_examples_give_no_statistics() -> None:
    with pytest.raises(DataError, match="no examples"):
        Normalization.fit(examples(torch.zeros(0, 2)))


def test_it_survives_json() -> None:
    normalization = Normalization((1.0, 2.0), (3.0, 4.0), 0.1)
    assert Normalization.from_dict(normalization.to_dict()) == normalization
