from typing import Any

import pytest
import torch
from torch import nn

from localmin.errors import InputError
from localmin.reduction import reduce_convolution


def part(model: nn.Module, name: str) -> Any:
    return model.get_submodule(name)


def cut(model: nn.Module, end: int) -> nn.Sequential:
    return nn.Sequential(*list(model.children())[:end])


def small_network(normalise: bool = False) -> nn.Sequential:
    torch.manual_seed(0)
    between: list[nn.Module] = [nn.BatchNorm2d(12)] if normalise else []
    model = nn.Sequential(
        nn.Conv2d(2, 12, 3, padding=1),
        *between,
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(12, 5, 3, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(80, 3),
    )
    model.double().eval()
    return model


@pytest.fixture
def images() -> torch.Tensor:
    return torch.randn(12, 2, 8, 8, generator=torch.Generator().manual_seed(1)).double()


def test_channels_that_copy_others_go_without_error(images: torch.Tensor) -> None:
    model = small_network()
    with torch.no_grad():
        # Six channels are multiples of the other six, which a refit can absorb.
        part(model, "0").weight[6:] = 2.0 * part(model, "0").weight[:6]
        part(model, "0").bias[6:] = 2.0 * part(model, "0").bias[:6]
    result = reduce_convolution(model, "0", "3", lambda m: m(images), 6)
    assert result.output_error_relative < 1e-5
    assert torch.allclose(result.model(images), model(images), atol=1e-5)
    assert sorted(int(k) % 6 for k in result.kept) == [0, 1, 2, 3, 4, 5]
    assert part(model, "0").out_channels == 12


def test_error_is_measured_and_falls_with_more_channels(images: torch.Tensor) -> None:
    model = small_network()
    others = torch.randn(5, 2, 8, 8, generator=torch.Generator().manual_seed(2)).double()
    errors = []
    for number in (3, 6, 9, 12):
        result = reduce_convolution(
            model, "0", "3", lambda m: m(images), number, run_held_out=lambda m: m(others)
        )
        errors.append(result.output_error_relative)
        assert part(result.model, "0").out_channels == part(result.model, "3").in_channels == number
        assert result.drift_relative is not None
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 1e-6
    with torch.no_grad():
        small = reduce_convolution(model, "0", "3", lambda m: m(images), 6)
        before, after = cut(model, 4)(images), cut(small.model, 4)(images)
    change = float((after - before).norm() / before.norm())
    assert small.output_error_relative == pytest.approx(change, rel=1e-6)
    assert small.to_dict()["channels_after"] == 6


def test_the_last_convolution_before_a_linear_layer(images: torch.Tensor) -> None:
    result = reduce_convolution(small_network(), "3", "6", lambda m: m(images), 4)
    assert result.model(images).shape == (12, 3)
    assert part(result.model, "6").in_features == 64
    assert result.output_error_relative < 1.0


def test_batch_normalisation_between_loses_the_same_channels(images: torch.Tensor) -> None:
    model = small_network(normalise=True)
    result = reduce_convolution(model, "0", "4", lambda m: m(images), 7, between=["1"])
    assert part(result.model, "1").num_features == 7
    assert torch.equal(part(result.model, "1").running_mean, part(model, "1").running_mean[result.kept])
    with torch.no_grad():
        before, after = cut(model, 5)(images), cut(result.model, 5)(images)
    assert result.output_error_relative == pytest.approx(
        float((after - before).norm() / before.norm()), rel=1e-6
    )


def test_few_rows_are_drawn_by_seed(images: torch.Tensor) -> None:
    model = small_network()
    first, second, other = (
        reduce_convolution(model, "0", "3", lambda m: m(images), 6, max_rows=80, seed=seed)
        for seed in (0, 0, 1)
    )
    assert first.num_rows == 80
    assert torch.equal(part(first.model, "3").weight, part(second.model, "3").weight)
    assert not torch.equal(part(first.model, "3").weight, part(other.model, "3").weight)


def test_what_does_not_fit_is_refused(images: torch.Tensor) -> None:
    model = small_network()

    def run(m: nn.Module) -> object:
        return m(images)

    with pytest.raises(InputError, match="'1' is ReLU, expected an ungrouped convolution"):
        reduce_convolution(model, "1", "3", run, 3)
    with pytest.raises(InputError, match=r"'1' is ReLU, expected an nn\.Linear"):
        reduce_convolution(model, "0", "1", run, 3)
    with pytest.raises(InputError, match="which are not the 12 channels"):
        reduce_convolution(model, "0", "6", run, 3)
    with pytest.raises(InputError, match="from 1 to 12"):
        reduce_convolution(model, "0", "3", run, 13)
    with pytest.raises(InputError, match="received nothing"):
        reduce_convolution(model, "0", "3", lambda _: None, 3)
    with pytest.raises(InputError, match="expected a batch normalisation"):
        reduce_convolution(model, "0", "3", run, 3, between=["1"])
