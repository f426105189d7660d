import pytest
import torch
from torch import nn

from localmin.errors import InputError, ShapeError
from localmin.objective.parameter_layout import ParameterLayout, select_parameters

LAYOUT = ParameterLayout(("a", "b"), ((2, 2), (3,)))


def test_splitting_and_flattening_are_inverse() -> None:
    vector = torch.arange(7.0)
    named = LAYOUT.split(vector)
    assert {name: part.tolist() for name, part in named.items()} == {
        "a": [[0.0, 1.0], [2.0, 3.0]],
        "b": [4.0, 5.0, 6.0],
    }
    assert torch.equal(LAYOUT.flatten({"b": named["b"], "a": named["a"]}), vector)


def test_names_and_shapes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ShapeError, match=r"missing \['b'\], not known \['c'\]"):
        LAYOUT.flatten({"a": torch.zeros(2, 2), "c": torch.zeros(3)})
    with pytest.raises(ShapeError, match=r"b: expected shape \(3,\), got \(1, 3\)"):
        LAYOUT.flatten({"a": torch.zeros(2, 2), "b": torch.zeros(1, 3)})
    with pytest.raises(ShapeError, match=r"expected a vector of shape \(7,\), got \(8,\)"):
        LAYOUT.split(torch.zeros(8))


def test_frozen_parameters_are_left_out_unless_named() -> None:
    model = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))
    model[0].requires_grad_(False)
    assert list(select_parameters(model, None)) == ["1.weight", "1.bias"]
    # The order is that of the model, not of the names.
    assert list(select_parameters(model, ["1.bias", "0.weight"])) == ["0.weight", "1.bias"]


def test_tied_parameters_occur_once() -> None:
    model = nn.Sequential(nn.Linear(2, 2, bias=False), nn.Linear(2, 2, bias=False))
    model[1].weight = model[0].weight
    assert list(select_parameters(model, None)) == ["0.weight"]


def linear_with(value: float = 1.0, dtype: torch.dtype = torch.float32) -> nn.Linear:
    model = nn.Linear(2, 1).to(dtype)
    nn.init.constant_(model.weight, value)
    return model


class Mixed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Parameter(torch.ones(2))
        self.second = nn.Parameter(torch.ones(2, dtype=torch.float64))


class Complex(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.entries = nn.Parameter(torch.ones(2, dtype=torch.complex64))


@pytest.mark.parametrize(
    ("model", "names", "message"),
    [
        (nn.Linear(2, 1).requires_grad_(False), None, "no trainable parameters"),
        (nn.ReLU(), None, "no trainable parameters"),
        (nn.Linear(2, 1), [], "no trainable parameters"),
        (nn.Linear(2, 1), ["weight", "bais"], r"no parameters named \['bais'\]; it has \['weight', 'bias'\]"),
        (linear_with(dtype=torch.bfloat16), None, r"'weight' is torch\.bfloat16.*dtype=torch\.float64"),
        (linear_with(float("nan")), None, "'weight' has entries that are NaN or infinite"),
        (linear_with(float("inf")), None, "'weight' has entries that are NaN or infinite"),
        (Complex(), None, r"'entries' is torch\.complex64"),
        (Mixed(), None, r"'second' is torch\.float64 on cpu, others are torch\.float32"),
    ],
)
def test_parameters_that_cannot_be_used_are_refused(
    model: nn.Module, names: list[str] | None, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        select_parameters(model, names)
