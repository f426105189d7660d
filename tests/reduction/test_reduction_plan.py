from localmin.reduction import plan_reduction, reduce
from localmin.reduction.rank_decisions import decide_rank
from localmin.testing.reduction_networks import random_network, random_points


def test_counts_are_those_of_the_reduction() -> None:
    network, points = random_network(4, 90, 40, 2), random_points(6, 4)
    extra = random_points(2, 4, seed=1)
    plan = plan_reduction(network, points, extra_points=extra)
    result = reduce(network, points, extra_points=extra)
    assert tuple(layer.bound for layer in plan.layers) == result.bounds == (36, 15)
    assert plan.num_points == 8
    assert all(layer.can_shrink for layer in plan.layers)
    assert [layer.needed for layer in plan.layers] == [8, 8]
    vertex = plan_reduction(network, points, mode="vertex-c")
    assert [layer.needed for layer in vertex.layers] == [21, 21]
    assert plan.memory_bytes == max(layer.memory_bytes for layer in plan.layers)
    assert plan.to_dict()["layers"][0]["width"] == 90


def test_a_cut_close_to_the_tolerance_is_not_clear() -> None:
    points = random_points(3, 3).diag().diag()
    points[1, 1], points[2, 2] = points[0, 0], 2e-11 * points[0, 0]
    decision = decide_rank(1, points)
    assert (decision.rank, decision.is_clear) == (3, False)
    points[2, 2] = 5e-12 * points[0, 0]
    decision = decide_rank(1, points)
    assert (decision.rank, decision.size, decision.is_clear) == (2, 3, False)
    points[2, 2] = 1e-15 * points[0, 0]
    decision = decide_rank(1, points)
    assert (decision.rank, decision.is_clear) == (2, True)
    assert decide_rank(1, points * 0).rank == 0
