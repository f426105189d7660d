import pytest
import torch
from torch import Tensor, nn

from localmin.errors import InputError
from localmin.reduction import reduce_block
from localmin.testing.reduction_networks import random_points


class Residual(nn.Module):
    def __init__(self, activation: nn.Module) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.up = nn.Linear(4, 200)
        self.activation = activation
        self.down = nn.Linear(200, 4)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = x + self.down(self.activation(self.up(x)))
        return result


@pytest.mark.parametrize("activation", [nn.ReLU(), nn.Identity()])
def test_a_block_inside_a_model_with_a_skip_connection(activation: nn.Module) -> None:
    model = Residual(activation).double()
    x = random_points(6, 4).reshape(2, 3, 4)
    result = reduce_block(model, "up", "down", lambda m: m(x))
    assert torch.allclose(result.model(x), model(x), atol=1e-11)
    up = result.model.get_submodule("up")
    assert isinstance(up, nn.Linear)
    assert up.out_features == result.reduction.widths_after[1] <= 6 * 4 - 6
    assert model.up.out_features == 200
    assert not model.up._forward_pre_hooks


def test_blocks_that_cannot_be_reduced() -> None:
    x = random_points(6, 4)
    with pytest.raises(InputError, match="not the ReLU"):
        reduce_block(Residual(nn.GELU()).double(), "up", "down", lambda m: m(x))
    with pytest.raises(InputError, match="'activation' is ReLU"):
        reduce_block(Residual(nn.ReLU()), "activation", "down", lambda m: m(x))
    with pytest.raises(InputError, match="received nothing"):
        reduce_block(Residual(nn.ReLU()), "up", "down", lambda m: None)
