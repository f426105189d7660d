import pytest
import torch

from localmin.certification import line_slice, plane_slice
from localmin.errors import InputError
from localmin.objective import Objective


def objective() -> Objective:
    return Objective.from_function(
        lambda p: p[0] ** 3 + 2.0 * p[0] * p[1], torch.tensor([1.0, 2.0], dtype=torch.float64)
    )


def test_line_has_value_slope_and_curvature() -> None:
    line = line_slice(objective(), torch.tensor([3.0, 0.0]), [-0.5, 0.0, 2.0])
    assert line.values == pytest.approx([0.125 + 2.0, 5.0, 27.0 + 12.0])
    assert (line.slope, line.curvature) == pytest.approx((7.0, 6.0))
    assert line.to_dict()["steps"] == [-0.5, 0.0, 2.0]


def test_plane_is_orthonormal() -> None:
    plane = plane_slice(
        objective(), torch.tensor([2.0, 0.0]), torch.tensor([1.0, 5.0]), [0.0, 1.0], [0.0, 1.0, 2.0]
    )
    expected = [[(1 + s) ** 3 + 2 * (1 + s) * (2 + t) for t in (0, 1, 2)] for s in (0, 1)]
    torch.testing.assert_close(torch.tensor(plane.values).double(), torch.tensor(expected).double())
    assert plane.to_dict()["values"][1] == list(plane.values[1])


def test_bad_input_is_named() -> None:
    with pytest.raises(InputError, match="not zero"):
        line_slice(objective(), torch.zeros(2), [0.0])
    with pytest.raises(InputError, match="parallel"):
        plane_slice(objective(), torch.ones(2), 3 * torch.ones(2), [0.0], [0.0])
