import math

import pytest
import torch
from torch import Tensor

from localmin.errors import InputError, ShapeError
from localmin.networks import ReLUNetwork
from localmin.realization import invariants, seminorm, seminorm_distance, seminorm_work, sup_distance
from localmin.testing.realization import enumerate_regions, maximise_by_linear_programs

F64 = torch.float64


def net(first: list[list[float]], second: list[list[float]]) -> ReLUNetwork:
    return ReLUNetwork([torch.tensor(first, dtype=F64), torch.tensor(second, dtype=F64)])


def random_network(seed: int, d: int, m: int, outputs: int, *, bias: bool, degenerate: bool) -> ReLUNetwork:
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> Tensor:
        if degenerate:
            return torch.randint(-1, 2, shape, generator=generator).to(F64)
        return torch.randn(*shape, generator=generator, dtype=F64)

    weights = [draw(m, d), torch.randn(outputs, m, generator=generator, dtype=F64)]
    return ReLUNetwork(weights, [draw(m), draw(outputs)] if bias else None)


def test_known_values() -> None:
    assert seminorm(net([[1.0], [-1.0]], [[1.0, -1.0]])).value == 1.0
    assert seminorm(net([[1.0], [-1.0]], [[1.0, 1.0]])).value == 1.0
    assert seminorm(net([[0.0]], [[1.0]])).value == 0.0


@pytest.mark.parametrize("angle", [1e-1, 1e-3, 1e-6])
def test_rotating_a_neuron_costs_its_whole_product(angle: float) -> None:
    turned = net([[math.cos(angle), math.sin(angle)]], [[1.0]])
    found = seminorm_distance(net([[1.0, 0.0]], [[1.0]]), turned)
    assert found.value == pytest.approx(1.0)
    assert found.exact
    assert found.recheck(net([[1.0, 0.0]], [[1.0]]), turned)


def test_all_signs_are_not_realised() -> None:
    """Three lines in the plane make six regions, not eight: the naive sum of all jumps is too large."""
    network = net([[1.0, 0.0], [0.0, 1.0], [-1.0, -1.0]], [[1.0, 1.0, 1.0]])
    found = invariants(network)
    assert len(enumerate_regions(found.normals, found.offsets)) == 6
    fan = net([[1.0, 0.3], [1.0, 0.0], [1.0, -0.3]], [[1.0, -1.0, 1.0]])
    found = invariants(fan)
    naive = found.linear.abs() / 2 + torch.einsum("ko,kd->od", found.jumps.abs(), found.normals.abs()) / 2
    assert float(naive.max()) == pytest.approx(2.0)  # at the signs +, -, +, which no input has
    assert seminorm(fan).value == pytest.approx(1.0)


@pytest.mark.parametrize("degenerate", [False, True])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("d", [1, 2, 3, 4])
def test_equals_linear_programs(d: int, bias: bool, degenerate: bool) -> None:
    for seed in range(4):
        network = random_network(seed, d, 6, 1 + seed % 2, bias=bias, degenerate=degenerate)
        found = invariants(network)
        coefficients = torch.einsum("ko,kd->kod", found.jumps, found.normals).flatten(1) / 2
        expected = float(found.linear.abs().max()) / 2
        if found.num_kinks:
            expected = maximise_by_linear_programs(
                found.normals, found.offsets, coefficients, found.linear.flatten() / 2
            )
        result = seminorm(network)
        assert result.exact
        assert result.value == pytest.approx(expected, rel=1e-9)
        assert result.lower == pytest.approx(result.value, rel=1e-9)
        point = result.point.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(network(point[None])[0, result.output_index], point)
        entry = gradient[result.input_index]
        assert abs(float(entry)) == pytest.approx(result.value, rel=1e-9)


def test_never_below_a_sampled_gradient_and_a_seminorm() -> None:
    for seed in range(10):
        nets = [
            random_network(10 * seed + i, 3, 5, 2, bias=seed % 2 == 0, degenerate=False) for i in range(3)
        ]
        ab, bc, ac = (seminorm_distance(nets[i], nets[j]) for i, j in ((0, 1), (1, 2), (0, 2)))
        assert ac.value <= ab.value + bc.value + 1e-9
        x = 10 * torch.randn(500, 3, generator=torch.Generator().manual_seed(seed), dtype=F64)
        step = 1e-7 * torch.eye(3, dtype=F64)
        for k in range(3):
            e = [nets[0](rows) - nets[1](rows) for rows in (x + step[k], x)]
            assert float(((e[0] - e[1]) / 1e-7).abs().max()) <= ab.value * (1 + 1e-5)


def test_bounds_where_the_exact_value_is_too_much_work() -> None:
    network = random_network(0, 6, 12, 1, bias=True, degenerate=False)
    exact = seminorm(network)
    zero = ReLUNetwork([torch.zeros(1, 6, dtype=F64)])
    work = seminorm_work(network, zero)
    assert exact.work == work
    found = seminorm_distance(network, zero, max_work=work - 1)
    assert not found.exact
    assert found.value == found.lower
    assert 0 < found.lower <= exact.value <= found.upper
    assert found.recheck(network, zero)
    assert found.to_dict()["work"] == work
    with pytest.raises(InputError, match="max_work"):
        seminorm_distance(network, zero, max_work=0)


def test_recheck_fails_for_another_pair() -> None:
    network = random_network(0, 3, 5, 1, bias=False, degenerate=False)
    zero = ReLUNetwork([torch.zeros(1, 3, dtype=F64)])
    found = seminorm_distance(network, zero)
    assert found.recheck(network, zero)
    assert not found.recheck(network, network)


def test_progress_is_reported() -> None:
    calls: list[tuple[int, int]] = []
    network = random_network(0, 4, 8, 1, bias=False, degenerate=False)
    zero = ReLUNetwork([torch.zeros(1, 4, dtype=F64)])
    seminorm_distance(network, zero, progress=lambda done, total: calls.append((done, total)))
    assert calls[-1][0] == calls[-1][1] == 28


@pytest.mark.parametrize("d", [1, 2, 3])
def test_sup_distance_brackets_a_dense_grid(d: int) -> None:
    for seed in range(3):
        a = random_network(seed, d, 5, 2, bias=True, degenerate=False)
        b = random_network(seed + 50, d, 4, 2, bias=True, degenerate=False)
        low, high = torch.full((d,), -1.0, dtype=F64), torch.linspace(0.5, 2.0, d, dtype=F64)
        found = sup_distance(a, b, low, high, tolerance_relative=1e-4)
        assert found.status == "converged"
        assert found.lower <= found.upper <= found.lower * (1 + 2e-4)
        assert ((found.point >= low) & (found.point <= high)).all()
        gap = (a(found.point[None]) - b(found.point[None])).abs().max()
        assert float(gap) == pytest.approx(found.lower)
        axes = [torch.linspace(float(lo), float(hi), 25, dtype=F64) for lo, hi in zip(low, high, strict=True)]
        grid = torch.cartesian_prod(*axes).view(-1, d)
        assert float((a(grid) - b(grid)).abs().max()) <= found.upper


def test_sup_distance_of_the_exploding_example() -> None:
    k = 10.0
    network = net([[k, 0.0], [k, -1 / k**2]], [[k, -k]])
    box = torch.ones(2, dtype=F64)
    found = sup_distance(network, ReLUNetwork([torch.zeros(1, 2, dtype=F64)]), -box, box)
    assert found.upper == pytest.approx(1 / k, rel=1e-5)


def test_sup_distance_budget_and_bad_input() -> None:
    a = random_network(0, 3, 20, 1, bias=True, degenerate=False)
    zero = ReLUNetwork([torch.zeros(1, 3, dtype=F64)])
    box = torch.ones(3, dtype=F64)
    early = sup_distance(a, zero, -box, box, tolerance_relative=1e-12, max_boxes=1)
    late = sup_distance(a, zero, -box, box, tolerance_relative=1e-3)
    assert early.status == "max-boxes"
    assert early.lower <= late.upper
    assert late.lower <= early.upper
    with pytest.raises(ShapeError, match="corners"):
        sup_distance(a, zero, -box[:2], box[:2])
    with pytest.raises(InputError, match="low <= high"):
        sup_distance(a, zero, box, -box)
    with pytest.raises(InputError, match="max_boxes"):
        sup_distance(a, zero, -box, box, max_boxes=0)


@pytest.mark.slow
@pytest.mark.parametrize("degenerate", [False, True])
@pytest.mark.parametrize(("d", "num_kinks"), [(2, 24), (3, 14), (4, 10)])
def test_equals_linear_programs_on_larger_arrangements(d: int, num_kinks: int, degenerate: bool) -> None:
    for seed in range(5):
        network = random_network(100 + seed, d, num_kinks, 2, bias=seed % 2 == 0, degenerate=degenerate)
        found = invariants(network)
        coefficients = torch.einsum("ko,kd->kod", found.jumps, found.normals).flatten(1) / 2
        expected = maximise_by_linear_programs(
            found.normals, found.offsets, coefficients, found.linear.flatten() / 2
        )
        result = seminorm(network)
        assert result.exact
        assert result.value == pytest.approx(expected, rel=1e-9)
