import pytest
import torch

from localmin.numerics import rank_tolerance_relative, rounding_margin_absolute


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_rank_tolerance_separates_rounding_from_rank(dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(0)
    left = torch.randn(80, 5, generator=generator, dtype=dtype)
    right = torch.randn(5, 60, generator=generator, dtype=dtype)
    values = torch.linalg.svdvals(left @ right)
    tolerance = rank_tolerance_relative((80, 60), dtype) * values[0]
    assert values[4] > 1e3 * tolerance
    assert values[5] < tolerance


def test_rounding_margin_covers_the_error_of_a_dense_solver() -> None:
    generator = torch.Generator().manual_seed(1)
    orthogonal = torch.linalg.qr(torch.randn(300, 300, generator=generator, dtype=torch.float64)).Q
    truth = torch.linspace(-4.0, 7.0, 300, dtype=torch.float64)
    matrix = orthogonal @ torch.diag(truth) @ orthogonal.T
    error = (torch.linalg.eigvalsh((matrix + matrix.T) / 2) - truth).abs().max()
    margin = rounding_margin_absolute(7.0, 300, torch.float64)
    assert 0.0 < error < margin
    assert margin < 1e-11
