import copy

import pytest
import torch
from torch import Tensor, nn

from localmin.errors import InputError
from localmin.reduction import reduce
from localmin.reduction.model_reading import read_model
from localmin.testing.reduction_networks import random_points


class Perceptron(nn.Module):
    def __init__(self, skip: bool = False) -> None:
        super().__init__()
        self.up = nn.Linear(4, 40)
        self.middle = nn.Sequential(nn.LeakyReLU(0.1), nn.Linear(40, 30))
        self.head = nn.Linear(30, 2)
        self.skip = skip

    def forward(self, x: Tensor) -> Tensor:
        values = self.middle(self.up(x.flatten(1)))
        if self.skip:
            values = values + self.middle(self.up(x.flatten(1)))
        result: Tensor = self.head(torch.relu(values))
        return result


def test_a_forward_of_the_users_own() -> None:
    torch.manual_seed(0)
    model = Perceptron().double()
    points = random_points(5, 4).reshape(5, 2, 2)
    reading = read_model(model)
    assert reading.network.widths == (4, 40, 30, 2)
    assert reading.network.negative_slopes == (0.1, 0.0)
    before = copy.deepcopy(model.state_dict())
    result = reduce(model, points)
    assert isinstance(result.network, Perceptron)
    assert torch.allclose(result.network(points), model(points), atol=1e-11)
    assert result.network.up.out_features == result.widths_after[1] < 40
    assert all(torch.equal(before[name], part) for name, part in model.state_dict().items())


def test_what_is_no_chain_is_refused() -> None:
    with pytest.raises(InputError, match="not one step of a chain"):
        read_model(Perceptron(skip=True))
    with pytest.raises(InputError, match="must follow a linear layer"):
        read_model(nn.Sequential(nn.ReLU(), nn.Linear(3, 2)))
    with pytest.raises(InputError, match="got str"):
        read_model("model")  # type: ignore[type-var]
    hooked = nn.Sequential(nn.Linear(3, 2), nn.LeakyReLU(), nn.Linear(2, 1))
    hooked[1].register_forward_hook(lambda *_: None)
    with pytest.raises(InputError, match="hooks"):
        read_model(hooked)
