import pytest
import torch

from localmin.errors import InputError, ShapeError
from localmin.networks import ReLUNetwork
from localmin.realization import lift, lift_inputs, pattern_minimum, polish_in_pattern

F64 = torch.float64


def problem(seed: int) -> tuple[ReLUNetwork, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator, dtype=F64)

    teacher, x = ReLUNetwork([draw(2, 3), draw(1, 2)]), draw(20, 3)
    vector = teacher.parameter_vector()
    start = teacher.with_parameter_vector(vector + 0.02 * draw(len(vector)))
    return start, x, teacher(x) + 0.05 * draw(20, 1)


def test_no_parameters_within_the_radius_are_better_whatever_their_balance() -> None:
    found_any = 0
    for seed in range(12):
        network, x, y = problem(seed)

        def loss(outputs: torch.Tensor, goal: torch.Tensor = y) -> torch.Tensor:
            return (outputs - goal).square().mean()

        polished, is_minimum = polish_in_pattern(network, x, loss)
        assert float(loss(polished(x))) <= float(loss(network(x))) + 1e-12
        if not is_minimum:
            continue
        found = pattern_minimum(polished, x, loss)
        assert found.defect < 1e-6
        found_any += found.radius > 0
        generator = torch.Generator().manual_seed(seed)
        vector = found.network.parameter_vector()
        for _ in range(300):
            step = 2 * torch.rand(len(vector), generator=generator, dtype=F64) - 1
            moved = found.network.with_parameter_vector(vector + 0.999 * found.radius * step)
            assert float(loss(moved(x))) >= found.loss - found.defect - 1e-12
    assert found_any >= 6


def test_the_radius_is_the_distance_to_the_nearest_switch() -> None:
    network = ReLUNetwork([torch.tensor([[2.0, 0.0]]), torch.tensor([[0.5]])])
    x = torch.tensor([[1.0, 3.0], [-2.0, 0.0]])
    found = pattern_minimum(network, x, lambda y: y.square().sum())
    # Balanced: a = (1, 0), c = 1; <a, x> / sum|x| is 1/4 and 1.
    assert found.radius == 0.25
    # The gradient of the loss in the product is 2 * (1, 3), so the defect is 8 * (1/4) * (2 + 1/4).
    assert found.defect == pytest.approx(4.5)
    on_kink = pattern_minimum(network, torch.tensor([[0.0, 1.0]]), lambda y: y.square().sum())
    assert (on_kink.radius, on_kink.defect) == (0.0, 0.0)
    assert set(found.to_dict()) == {"radius", "defect", "loss"}


def test_bad_input() -> None:
    network, x, _ = problem(0)
    biased = ReLUNetwork(network.weights, [torch.ones(2, dtype=F64), torch.zeros(1, dtype=F64)])
    with pytest.raises(InputError, match="lift"):
        pattern_minimum(biased, x, lambda y: y.sum())
    assert pattern_minimum(lift(biased), lift_inputs(x), lambda y: y.square().sum()).radius >= 0
    with pytest.raises(ShapeError, match="n, 3"):
        pattern_minimum(network, x[:, :2], lambda y: y.sum())
    two = ReLUNetwork([network.weights[0], torch.ones(2, 2, dtype=F64)])
    with pytest.raises(InputError, match="one output"):
        polish_in_pattern(two, x, lambda y: y.sum())
