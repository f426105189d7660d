import pytest
import torch

from localmin.errors import InputError
from localmin.reduction import bipartite_example, plateau


def test_plateau_of_the_bipartite_example_starts_where_theory_says() -> None:
    example = bipartite_example(4)
    result = plateau(
        [1, 2, 4, 8],
        example.x,
        example.y,
        0.05,
        depth=2,
        bias=False,
        tolerance_relative=1e-2,
        seeds=range(3),
        num_adam_steps=400,
        max_lbfgs_steps=300,
    )
    assert result.losses[-1] == pytest.approx(0.77, rel=2e-3)
    assert result.start in {4, 8}
    assert result.losses == tuple(min(row) for row in result.losses_by_seed)
    assert result.losses[0] > result.losses[1] > result.losses[3]
    assert result.to_dict()["start"] == result.start


def test_labels_and_another_loss() -> None:
    x = torch.randn(12, 3, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(12) % 3
    result = plateau(
        [2, 6],
        x,
        labels,
        1e-2,
        loss=torch.nn.functional.cross_entropy,
        seeds=(0,),
        num_adam_steps=50,
        max_lbfgs_steps=20,
        test=(x[:5], labels[:5]),
    )
    assert len(result.losses) == 2
    assert result.test_losses is not None
    assert len(result.test_losses) == 2
    chart = result.chart()
    assert [series.name for series in chart.series] == ["", "smallest over seeds", "test, without penalty"]
    assert chart.series[1].y == result.losses
    with pytest.raises(InputError, match="depth >= 2"):
        plateau([2], x, labels, 1e-2, depth=1)
