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


@pytest.mark.parametrize("activation", [nn.ReLU(), nn.Identity(), nn.LeakyReLU(0.07)])
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
    with pytest.raises(InputError, match="neither a ReLU or leaky ReLU"):
        reduce_block(Residual(nn.GELU()).double(), "up", "down", lambda m: m(x))
    with pytest.raises(InputError, match="'activation' is ReLU"):
        reduce_block(Residual(nn.ReLU()), "activation", "down", lambda m: m(x))
    with pytest.raises(InputError, match="received nothing"):
        reduce_block(Residual(nn.ReLU()), "up", "down", lambda m: None)


def test_the_mlp_of_a_transformer_layer() -> None:
    torch.manual_seed(0)
    model = nn.TransformerEncoderLayer(8, 2, dim_feedforward=300, batch_first=True).double().eval()
    tokens, others = torch.randn(2, 5, 8).double(), torch.randn(3, 5, 8).double()
    result = reduce_block(model, "linear1", "linear2", lambda m: m(tokens), run_held_out=lambda m: m(others))
    assert torch.allclose(result.model(tokens), model(tokens), atol=1e-10)
    assert result.reduction.widths_after[1] <= 10 * 8 - 28
    assert result.reduction.drift_relative is not None
    assert result.reduction.drift_relative > 1e-6


def test_the_head_of_a_classifier() -> None:
    torch.manual_seed(0)
    features = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten())
    model = nn.Sequential(features, nn.Linear(36, 200), nn.ReLU(), nn.Linear(200, 3)).double().eval()
    images = torch.randn(9, 1, 5, 5).double()
    result = reduce_block(model, "1", "3", lambda m: m(images))
    assert torch.allclose(result.model(images), model(images), atol=1e-10)
    assert result.reduction.widths_after[1] <= 9 * 3 - 3
