import pytest
import torch

from localmin.certification.deep_linear import classify_deep_linear, construct_critical_point
from localmin.errors import InputError

X = torch.eye(3, dtype=torch.float64)
Y = torch.diag(torch.tensor([3.0, 2.0, 1.0], dtype=torch.float64))


def test_kinds_without_links_are_known() -> None:
    expected = {(1, 2, 3): "global-minimum", (1, 2): "non-strict-saddle", (1, 3): "strict-saddle"}
    for selected, verdict in expected.items():
        point = construct_critical_point(X, Y, (3, 3), selected=selected, links="none", seed=1)
        assert (point.verdict, point.selected) == (verdict, selected)
        assert classify_deep_linear(point.weights, X, Y).verdict == verdict


def test_two_layers_have_no_non_strict_saddles() -> None:
    generator = torch.Generator().manual_seed(0)
    verdicts = {construct_critical_point(X, Y, (4,), seed=generator).verdict for _ in range(100)}
    assert verdicts == {"global-minimum", "strict-saddle"}


def test_gauges_have_the_stated_condition() -> None:
    for condition in (1.0, 10.0):
        point = construct_critical_point(
            X, Y, (3,), selected=(1, 2, 3), gauge_condition=condition, links="none", seed=3
        )
        values = torch.linalg.svdvals(point.weights[1])
        assert float(values[0] / values[-1]) <= condition * (1 + 1e-9)


def test_bad_input_is_named() -> None:
    for options in (
        {"selected": [4]},
        {"selected": [1, 1]},
        {"gauge_condition": 0.5},
        {"links": "all"},
    ):
        with pytest.raises(InputError):
            construct_critical_point(X, Y, (3,), **options)
    with pytest.raises(InputError, match="at most 1"):
        construct_critical_point(X, Y, (1,), selected=[1, 2])
    with pytest.raises(InputError, match="hidden widths"):
        construct_critical_point(X, Y, (0,))
