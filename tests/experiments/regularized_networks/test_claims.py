import json

import pytest
import torch

from localmin.experiments import ClaimCheck, check_claim, list_claims
from localmin.experiments.regularized_networks import attraction_repulsion, covariance, sparsity
from localmin.networks import ReLUNetwork
from localmin.reduction import bad_minimum_example

NAMES = [claim.name for claim in list_claims("regularized_networks")]


@pytest.mark.parametrize("name", NAMES)
def test_quick_checks_hold_and_survive_json(name: str) -> None:
    check = check_claim(name, quick=True)
    assert check.claim == name
    assert check.verdict == "holds", check.measured
    stored = json.dumps(check.to_dict())  # as text: pen lifts in pictures are NaN, which equals nothing
    assert json.dumps(ClaimCheck.from_dict(json.loads(stored)).to_dict()) == stored


def test_all_rows_of_the_paper_are_there() -> None:
    assert NAMES == [
        "l2-representations",
        "l2-attraction-repulsion",
        "l2-covariance",
        "l2-sparsity",
        "l2-tight",
        "l2-far-fewer",
    ]


def test_the_balance_check_sees_a_network_that_is_no_minimum() -> None:
    network, points = attraction_repulsion._random_case(0)
    assert attraction_repulsion._imbalance(network, points) > 0.1


def test_two_hidden_blocks_at_once_are_not_convex() -> None:
    assert covariance._three_layer_gap() < 0


def test_the_search_near_a_bad_minimum_would_see_a_way_down(monkeypatch: pytest.MonkeyPatch) -> None:
    def with_a_way_down(width: int, penalty: float) -> object:
        example = bad_minimum_example(width, penalty)
        first, second = example.network.weights
        moved = ReLUNetwork([torch.cat([first[:-1], -0.1 * first[-1:]]), second])
        return type(example)(example.x, example.y, moved, penalty, example.regularized_loss(moved), 0.38)

    monkeypatch.setattr(sparsity, "bad_minimum_example", with_a_way_down)
    assert sparsity._bad_minimum_stays(0) < -1e-6
