"""Potentials: gradients against automatic differentiation, stationary points where they are said to be."""

import pytest
import torch

from localmin.errors import InputError
from localmin.langevin import DoubleWell, Potential, Quadratic, SheetDoubleWell

CASES: list[tuple[Potential, int]] = [
    (Quadratic((0.3, 2.0)), 2),
    (DoubleWell(height=0.6), 1),
    (SheetDoubleWell(stiffness=1.7, slope=0.4), 2),
]


@pytest.mark.parametrize(("potential", "dimension"), CASES, ids=repr)
def test_gradients(potential: Potential, dimension: int) -> None:
    x = torch.randn(5, 2, dimension, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    x.requires_grad_(True)
    (expected,) = torch.autograd.grad(potential.value(x).sum(), x)
    torch.testing.assert_close(potential.gradient(x.detach()), expected)


def test_wells_and_barriers() -> None:
    well = DoubleWell(height=0.6)
    points = torch.tensor([[-1.0], [0.0], [1.0]])
    torch.testing.assert_close(well.value(points), torch.tensor([0.0, 0.6, 0.0]))
    torch.testing.assert_close(well.gradient(points), torch.zeros(3, 1))
    sheet = SheetDoubleWell(stiffness=1.7, slope=0.4)
    corners = torch.tensor([[-1.0, -0.4], [0.0, 0.0], [1.0, 0.4]])
    torch.testing.assert_close(sheet.value(corners), torch.tensor([0.0, 0.25, 0.0]))
    torch.testing.assert_close(sheet.gradient(corners), torch.zeros(3, 2))


def test_bad_curvatures() -> None:
    with pytest.raises(InputError, match="curvatures"):
        Quadratic((1.0, 0.0))
