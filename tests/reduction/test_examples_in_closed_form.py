import pytest
import torch

from localmin.errors import InputError
from localmin.networks import ReLUNetwork
from localmin.reduction import bad_minimum_example, bipartite_example, neuron_bounds, train_regularized


@pytest.mark.parametrize("num_examples", [2, 4, 8])
def test_bipartite_example(num_examples: int) -> None:
    example = bipartite_example(num_examples)
    assert len(example.incidence) == num_examples**2 // 4
    assert torch.equal(example.network(example.x), example.y)
    assert float(example.network.squared_norm) == example.minimal_norm == num_examples**2
    assert 2 * float(torch.trace(example.y)) == example.minimal_norm
    assert 2 * float(torch.linalg.matrix_norm(example.y, "nuc")) == pytest.approx(example.minimal_norm)
    spectrum = sorted(round(float(v), 9) for v in torch.linalg.eigvalsh(example.y))
    assert spectrum == [0.0, *[num_examples / 2] * (num_examples - 2), float(num_examples)]


def test_bipartite_loss() -> None:
    assert bipartite_example(2).minimal_loss(0.1) == pytest.approx(0.38)
    assert bipartite_example(4).minimal_loss(0.05) == pytest.approx(0.77)
    for bad in (-0.1, 0.6):
        with pytest.raises(InputError):
            bipartite_example(2).minimal_loss(bad)
    with pytest.raises(InputError, match="even"):
        bipartite_example(3)


def test_fewer_neurons_than_needed_stay_above_the_minimum() -> None:
    example = bipartite_example(4)
    losses = [
        min(
            train_regularized(
                example.x,
                example.y,
                [width],
                0.05,
                seed=seed,
                bias=False,
                num_adam_steps=400,
                max_lbfgs_steps=300,
            )[1]
            for seed in range(4)
        )
        for width in (1, 2, 8)
    ]
    assert losses[0] == pytest.approx(2.39, abs=1e-3)
    assert losses[1] == pytest.approx(1.58, abs=1e-3)
    assert losses[2] == pytest.approx(0.77, abs=1e-3)


@pytest.mark.parametrize("width", [1, 6, 10])
def test_bad_minimum_at_every_width(width: int) -> None:
    example = bad_minimum_example(width, 0.1)
    assert example.regularized_loss(example.network) == pytest.approx(1.19)
    assert example.loss == pytest.approx(1.19)
    assert example.global_minimum == pytest.approx(0.38)
    generator = torch.Generator().manual_seed(0)
    smallest = float(example.network.weights[0].min())
    for scale in (1e-1, 1e-2, 1e-3):
        for _ in range(50):
            noise = torch.rand(2, width, generator=generator, dtype=torch.float64) * 2 - 1
            moved = ReLUNetwork(
                [
                    example.network.weights[0] + scale * smallest * noise[0, :, None],
                    example.network.weights[1] + scale * noise[1, None, :],
                ]
            )
            assert example.regularized_loss(moved) >= example.loss - 1e-12


def test_the_way_out_of_the_bad_minimum() -> None:
    example = bad_minimum_example(3, 0.1)
    losses = [example.regularized_loss(example.escape(growth)) for growth in (0.0, 0.01, 0.9)]
    assert losses == pytest.approx([1.19, 1.1721, 0.38])
    with pytest.raises(InputError):
        bad_minimum_example(0, 0.1)


def test_bounds() -> None:
    bounds = neuron_bounds(6, 2)
    assert (bounds.pair, bounds.covariance, bounds.next_layer) == (42, 21, 11)
    assert (bounds.example_that_needs, bounds.completely_positive) == (9, 17)
    assert neuron_bounds(3, 5).next_layer == neuron_bounds(3, 5).covariance == 6
    assert neuron_bounds(3, 5).example_that_needs is None
    assert neuron_bounds(3, 5).completely_positive is None
    assert neuron_bounds(7, 1).next_layer == 7
    with pytest.raises(InputError, match="num_outputs"):
        neuron_bounds(3, 0)
