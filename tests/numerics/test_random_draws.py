import pytest
import torch

from localmin.errors import InputError
from localmin.numerics import as_generator, normal_vector


def test_the_same_seed_draws_the_same_numbers_and_others_differ() -> None:
    assert torch.equal(normal_vector(5, as_generator(7)), normal_vector(5, as_generator(7)))
    assert not torch.equal(normal_vector(5, as_generator(7)), normal_vector(5, as_generator(8)))


def test_a_generator_is_advanced_and_the_global_one_is_not() -> None:
    state = torch.random.get_rng_state()
    generator = as_generator(0)
    assert as_generator(generator) is generator
    assert not torch.equal(normal_vector(5, generator), normal_vector(5, generator))
    assert torch.equal(torch.random.get_rng_state(), state)


def test_directions_are_uniform_on_the_sphere() -> None:
    generator = as_generator(3)
    directions = torch.stack([normal_vector(3, generator) for _ in range(4000)])
    directions = directions / directions.norm(dim=1, keepdim=True)
    # The first coordinate of a uniform direction in three dimensions is uniform on [-1, 1]: variance 1/3.
    # Its standard error over 4000 draws is 0.0047.
    assert abs(float(directions[:, 0].square().mean()) - 1 / 3) < 0.02
    assert normal_vector(3, generator).dtype == torch.float64


@pytest.mark.parametrize("seed", [-1, 2**63, 1.0, True, None, "0"])
def test_seeds_that_are_no_integers_are_refused(seed: object) -> None:
    with pytest.raises(InputError, match="expected an integer seed"):
        as_generator(seed)  # type: ignore[arg-type]
