from __future__ import annotations

import pytest
import torch
from torch import nn

from localmin.errors import InputError
from localmin.tasks.models import MODELS, ResNet18, build_cnn, build_mlp, build_named, check_named


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize(("channels", "height", "width"), [(1, 8, 8), (3, 32, 32), (2, 9, 17)])
def test_every_network_maps_images_to_one_logit_per_class(
    name: str, channels: int, height: int, width: int
) -> None:
    model = build_named(name, (channels, height, width), 4)
    logits = model(torch.randn(5, channels, height, width))
    assert logits.shape == (5, 4)
    logits.square().sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_the_perceptron_is_the_formula() -> None:
    model = build_mlp(3, 2, widths=(5, 4))
    weights = [(layer.weight, layer.bias) for layer in model if isinstance(layer, nn.Linear)]
    x = torch.randn(6, 3)
    hidden = x
    for weight, bias in weights[:-1]:
        hidden = (hidden @ weight.T + bias).clamp_min(0)
    torch.testing.assert_close(model(x), hidden @ weights[-1][0].T + weights[-1][1])
    assert [tuple(weight.shape) for weight, _ in weights] == [(5, 3), (4, 5), (2, 4)]


def test_without_hidden_layers_the_perceptron_is_linear() -> None:
    assert [type(layer) for layer in build_mlp(3, 2, widths=())] == [nn.Flatten, nn.Linear]


def test_the_perceptron_flattens_any_shape() -> None:
    assert build_named("mlp", (2, 3, 4), 5)(torch.zeros(1, 2, 3, 4)).shape == (1, 5)
    assert build_named("mlp", (7,), 5)(torch.zeros(1, 7)).shape == (1, 5)


def test_widths_are_used() -> None:
    convolutions = [layer for layer in build_cnn(2, 3, widths=(4, 6)) if isinstance(layer, nn.Conv2d)]
    assert [(layer.in_channels, layer.out_channels) for layer in convolutions] == [(2, 4), (4, 6)]
    assert ResNet18(1, 3, width=8).head.in_features == 64


def test_the_residual_network_has_eighteen_weighted_layers() -> None:
    model = ResNet18(3, 10, width=4)
    main = [
        module
        for name, module in model.named_modules()
        if isinstance(module, nn.Conv2d | nn.Linear) and "shortcut" not in name
    ]
    assert len(main) == 18
    # Stages halve the image three times.
    assert model.blocks(model.stem(torch.zeros(1, 3, 32, 32))).shape == (1, 32, 4, 4)


def test_a_residual_block_adds_its_input() -> None:
    model = ResNet18(1, 2, width=4).eval()
    block = model.blocks[0]
    nn.init.zeros_(block.conv2.weight)  # type: ignore[union-attr, arg-type]
    x = torch.rand(2, 4, 6, 6)
    torch.testing.assert_close(block(x), x)


def test_unknown_names_and_shapes_are_refused() -> None:
    with pytest.raises(InputError, match="mlp, cnn, resnet18"):
        build_named("resnet50", (3, 32, 32), 10)
    for name in ("cnn", "resnet18"):
        with pytest.raises(InputError, match="use model mlp"):
            check_named(name, (64,))
    check_named("mlp", (64,))
