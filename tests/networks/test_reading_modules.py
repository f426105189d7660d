"""Modules that are more than an nn.Sequential of Linear and ReLU, and what is refused."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from localmin.errors import InputError
from localmin.networks import DeepLinear, ReLUNetwork
from localmin.networks.modules import linear_modules

F64 = torch.float64


class Perceptron(nn.Module):
    """Modules defined in another order than they are used in, functional calls, a reshape, dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.last = nn.Linear(4, 2)
        self.middle = nn.Linear(5, 4, bias=False)
        self.first = nn.Sequential(nn.Identity(), nn.Linear(6, 5))
        self.drop = nn.Dropout(0.5)

    def forward(self, x: Tensor) -> Tensor:
        x = x.view(x.size(0), -1)
        x = functional.relu(self.first(x))
        x = functional.dropout(self.drop(x), 0.3, self.training)
        x = torch.relu(functional.linear(x, self.middle.weight))
        y: Tensor = self.last(x.flatten(1))
        return y


class Skip(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(3, 3)

    def forward(self, x: Tensor) -> Tensor:
        return x + functional.relu(self.inner(x))


class Branching(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(3, 3)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.inner(x) if x.sum() > 0 else x
        return y


class Earlier(nn.Module):
    """Gives the input of its last step instead of the output."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(3, 3), nn.Linear(3, 3)

    def forward(self, x: Tensor) -> Tensor:
        first: Tensor = self.first(x)
        self.second(first)
        return first


def test_a_forward_of_its_own_is_traced() -> None:
    model = Perceptron().double().eval()
    network = ReLUNetwork.from_module(nn.Sequential(model))
    assert network.widths == (6, 5, 4, 2)
    assert [vector is None for vector in network.biases or ()] == [False, True, False]
    images = torch.randn(7, 2, 3, dtype=F64)
    torch.testing.assert_close(network(images.flatten(1)), model(images))
    with pytest.raises(InputError, match=r"outside nn\.Linear"):
        linear_modules(model)


def test_linear_modules_come_in_the_order_of_use() -> None:
    class Swapped(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.b, self.a = nn.Linear(5, 2), nn.Linear(3, 5)

        def forward(self, x: Tensor) -> Tensor:
            y: Tensor = self.b(functional.relu(self.a(x)))
            return y

    model = Swapped()
    assert linear_modules(model) == [model.a, model.b]


def test_what_changes_nothing_on_rows_is_skipped() -> None:
    module = nn.Sequential(
        nn.Flatten(),
        nn.Linear(4, 3),
        nn.Dropout(0.0),
        nn.ReLU(),
        nn.Flatten(),
        nn.Identity(),
        nn.Linear(3, 2),
    )
    x = torch.randn(5, 4)
    torch.testing.assert_close(ReLUNetwork.from_module(module)(x), module(x))
    linear = nn.Sequential(nn.Linear(4, 3, bias=False), nn.Dropout(0.5), nn.Linear(3, 2, bias=False)).eval()
    assert DeepLinear.from_module(linear).widths == (4, 3, 2)


def test_folding_gives_the_same_function() -> None:
    module = nn.Sequential(
        nn.ReLU(),
        nn.Linear(4, 3, bias=False),
        nn.Linear(3, 5),
        nn.ReLU(),
        nn.ReLU(),
        nn.Linear(5, 2),
        nn.ReLU(),
    ).double()
    network = ReLUNetwork.from_module(module, fold=True)
    assert network.widths == (4, 4, 5, 2, 2)
    assert network.biases is not None
    assert network.biases[0] is None
    x = torch.randn(50, 4, dtype=F64)
    torch.testing.assert_close(network(x), module(x))


def test_convolutions_are_unrolled() -> None:
    generator = torch.Generator().manual_seed(0)
    module = nn.Sequential(
        nn.Conv2d(2, 3, 3, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(3),
        nn.ReLU(),
        nn.Conv2d(3, 4, 2),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(4, 2),
    ).double()
    norm = module[1]
    assert isinstance(norm, nn.BatchNorm2d)
    assert norm.running_mean is not None
    norm.running_mean.copy_(torch.randn(3, generator=generator))
    module.eval()
    network = ReLUNetwork.from_module(module, input_shape=(2, 6, 6))
    assert network.widths == (72, 27, 16, 2)
    x = torch.randn(9, 2, 6, 6, generator=generator, dtype=F64)
    torch.testing.assert_close(network(x.flatten(1)), module(x))
    without = nn.Sequential(nn.Conv1d(1, 1, 2, bias=False), nn.ReLU(), nn.Flatten(), nn.Linear(3, 1))
    read = ReLUNetwork.from_module(without, input_shape=(1, 4))
    assert read.dtype == torch.float32
    assert read.biases is not None
    assert read.biases[0] is None


def test_the_built_in_networks_are_read() -> None:
    from localmin.tasks.models import build_cnn, build_mlp

    mlp = build_mlp(16, 3, widths=(8, 8))
    x = torch.randn(4, 1, 4, 4)
    torch.testing.assert_close(ReLUNetwork.from_module(mlp)(x.flatten(1)), mlp(x))
    cnn = build_cnn(1, 3, widths=(2, 3)).double().eval()
    images = torch.randn(4, 1, 8, 8, dtype=F64)
    read = ReLUNetwork.from_module(cnn, input_shape=(1, 8, 8))
    torch.testing.assert_close(read(images.flatten(1)), cnn(images))


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (Skip(), r"the module \(Skip\) cannot be read: 'add' in its forward is not one step of a chain"),
        (Branching(), r"the module \(Branching\) cannot be read: tracing its forward failed"),
        (Earlier(), r"the module \(Earlier\) cannot be read"),
        (
            nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.5), nn.ReLU(), nn.Linear(2, 1)),
            r"module '1' \(Dropout\) is in training mode, so the module is random; call \.eval\(\) first",
        ),
        (
            nn.Sequential(nn.Conv2d(1, 1, 2), nn.ReLU(), nn.Flatten(), nn.Linear(4, 1)),
            r"module '0' \(Conv2d\) cannot be read .* give input_shape",
        ),
        (nn.Sequential(nn.Linear(2, 2), nn.MaxPool1d(2)), r"module '1' \(MaxPool1d\) cannot be read"),
        (nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2)), r"module '1' \(BatchNorm1d\).* call \.eval\(\)"),
    ],
)
def test_refused_by_name(module: nn.Module, message: str) -> None:
    with pytest.raises(InputError, match=message):
        ReLUNetwork.from_module(module)


def test_unrolling_refuses_by_name_and_size() -> None:
    with pytest.raises(InputError, match=r"module '1' \(MaxPool2d\) cannot be read"):
        ReLUNetwork.from_module(
            nn.Sequential(nn.Conv2d(1, 1, 2), nn.MaxPool2d(2), nn.ReLU()), input_shape=(1, 5, 5)
        )
    wide = nn.Sequential(nn.Conv2d(1, 64, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(64 * 64 * 64, 1))
    with pytest.raises(InputError, match=r"a matrix of 262144 x 4096 entries, 8\.6 GB"):
        ReLUNetwork.from_module(wide, input_shape=(1, 64, 64))
    with pytest.raises(InputError, match=r"module '0' \(Linear\) does not take an example of shape \(4,\)"):
        ReLUNetwork.from_module(nn.Sequential(nn.Linear(3, 1)), input_shape=(4,))
    with pytest.raises(InputError, match="needs the shape of an example"):
        ReLUNetwork.from_module(nn.Sequential(nn.Conv1d(1, 1, 2), nn.ReLU()), fold=True)
    with pytest.raises(InputError, match="at least one linear layer"):
        ReLUNetwork.from_module(nn.Sequential(nn.ReLU()), fold=True)
