from collections.abc import Iterator

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, TensorDataset

from localmin.errors import DataError, InputError
from localmin.objective import Objective
from localmin.objective.preconditions import check_mode

GENERATOR = torch.Generator().manual_seed(0)
X = torch.randn(10, 4, generator=GENERATOR)
Y = torch.randn(10, 4, generator=GENERATOR)


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (nn.BatchNorm1d(4), r"module '1\.0' \(BatchNorm1d\) is in training mode: it normalises by the batch"),
        (nn.InstanceNorm1d(4, track_running_stats=True), r"\(InstanceNorm1d\) is in training mode"),
        (nn.Dropout(0.1), r"module '1\.0' \(Dropout\) is in training mode and drops units at random"),
        (nn.Dropout2d(0.1), r"\(Dropout2d\) is in training mode"),
        (nn.AlphaDropout(0.1), r"\(AlphaDropout\) is in training mode"),
        (nn.LSTM(4, 4, num_layers=2, dropout=0.2), r"\(LSTM\) is in training mode"),
        (nn.MultiheadAttention(4, 2, dropout=0.2), r"\(MultiheadAttention\) is in training mode"),
    ],
)
def test_random_and_batch_dependent_modules_in_training_mode_are_named(
    module: nn.Module, message: str
) -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.Sequential(module))
    with pytest.raises(InputError, match=message + r".*call model\.eval\(\)"):
        Objective(model, F.mse_loss, (X, Y))
    check_mode(model.eval())


def test_a_single_module_is_called_the_model() -> None:
    with pytest.raises(InputError, match=r"the model \(BatchNorm1d\)"):
        check_mode(nn.BatchNorm1d(4))


@pytest.mark.parametrize(
    "module",
    [
        nn.Linear(4, 4),
        nn.Dropout(0.0),
        nn.LayerNorm(4),
        nn.GroupNorm(2, 4),
        nn.InstanceNorm1d(4),
        nn.LSTM(4, 4),
    ],
)
def test_harmless_modules_may_stay_in_training_mode(module: nn.Module) -> None:
    check_mode(nn.Sequential(module))


def test_batch_norm_without_running_statistics_is_refused_in_every_mode() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4, track_running_stats=False))
    for mode in (True, False):
        with pytest.raises(InputError, match=r"module '1' \(BatchNorm1d\) keeps no running statistics"):
            Objective(model.train(mode), F.mse_loss, (X, Y))


class Noisy(nn.Linear):
    def forward(self, input: Tensor) -> Tensor:
        return F.dropout(super().forward(input), 0.5, training=True)


class Centred(nn.Linear):
    def forward(self, input: Tensor) -> Tensor:
        output = super().forward(input)
        return output - output.mean(0)


def test_a_stochastic_model_is_refused() -> None:
    with pytest.raises(InputError, match=r"two evaluations of the model on one batch differ .* stochastic"):
        Objective(Noisy(4, 4), F.mse_loss, (X, Y))


def test_a_stochastic_loss_is_refused() -> None:
    def loss(output: Tensor, target: Tensor) -> Tensor:
        return F.mse_loss(output + 0.01 * torch.randn_like(output), target)

    with pytest.raises(InputError, match="two evaluations of the loss on one batch differ"):
        Objective(nn.Linear(4, 4), loss, (X, Y))


def test_a_model_that_mixes_examples_is_refused() -> None:
    with pytest.raises(InputError, match=r"changes by .* with the rest of its batch"):
        Objective(Centred(4, 4), F.mse_loss, (X, Y))


def test_a_loss_that_sums_is_refused() -> None:
    with pytest.raises(InputError, match="the loss is no mean over examples"):
        Objective(nn.Linear(4, 4), nn.MSELoss(reduction="sum"), (X, Y))


class Augmented(Dataset[tuple[Tensor, Tensor]]):
    def __len__(self) -> int:
        return 10

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        return X[index] + 0.1 * torch.randn(4), Y[index]


class Shrinking:
    def __init__(self) -> None:
        self.num_batches = 4

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        self.num_batches -= 1
        return iter([(X, Y)] * self.num_batches)


def test_data_that_change_from_pass_to_pass_are_refused() -> None:
    model = nn.Linear(4, 4)
    with pytest.raises(InputError, match="two evaluations of the whole data differ"):
        Objective(model, F.mse_loss, DataLoader(Augmented(), batch_size=4))
    with pytest.raises(DataError, match="one pass over the data has 20 examples, the next one 10"):
        Objective(model, F.mse_loss, Shrinking())
    with pytest.raises(DataError, match="at least one batch, got none"):
        Objective(model, F.mse_loss, [])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_shuffled_loader_is_accepted(dtype: torch.dtype) -> None:
    # Its batches differ in every pass, but only by the order of summation.
    loader = DataLoader(TensorDataset(X, Y), batch_size=3, shuffle=True)
    objective = Objective(nn.Linear(4, 4), F.mse_loss, loader, dtype=dtype)
    assert objective.num_examples == 10


class NoTensor(nn.Linear):
    def forward(self, input: Tensor) -> tuple[Tensor]:  # type: ignore[override]
        return (super().forward(input),)


class Pooled(nn.Linear):
    def forward(self, input: Tensor) -> Tensor:
        return super().forward(input).mean(0)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (NoTensor(4, 4), "expected the model to give a floating-point tensor, got tuple"),
        (Pooled(4, 4), r"outputs of shape \(10, \.\.\.\) for 10 examples, got \(4,\)"),
    ],
)
def test_models_without_one_output_for_each_example_are_refused(model: nn.Module, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Objective(model, F.mse_loss, (X, Y))


def test_outputs_that_are_rounding_of_zero_are_no_mixing() -> None:
    # The layers cancel, so the outputs are what rounding leaves and depend on how rows are blocked.
    first, last = nn.Linear(4, 4, bias=False).double(), nn.Linear(4, 4, bias=False).double()
    direction = torch.nn.functional.normalize(torch.tensor([0.1, 0.2, 0.3, 0.7]).double(), dim=0)
    first.weight.data = 1e-9 * torch.outer(direction, torch.ones(4).double())
    last.weight.data = 1e-9 * (torch.eye(4).double() - torch.outer(direction, direction))
    x = torch.randn(7, 4, generator=torch.Generator().manual_seed(1)).double()
    assert Objective(nn.Sequential(first, last), F.mse_loss, (x, x)).value() > 0.0


@pytest.mark.parametrize("size", [1.0, 30.0])
def test_outputs_that_are_only_rounding_are_no_mixing_of_examples(size: float) -> None:
    generator = torch.Generator().manual_seed(0)
    first = torch.randn(6, 4, generator=generator, dtype=torch.float64) * size
    # The second layer takes the difference of two copies of the first, summed in another order.
    model = nn.Sequential(nn.Linear(4, 12, bias=False), nn.Linear(12, 3, bias=False)).double()
    order = torch.randperm(6, generator=generator)
    last = torch.randn(3, 6, generator=generator, dtype=torch.float64)
    with torch.no_grad():
        model[0].weight.copy_(torch.cat([first, first[order]]))  # type: ignore[operator]
        model[1].weight.copy_(torch.cat([last, -last[:, order]], dim=1))  # type: ignore[operator]
    x = torch.randn(37, 4, generator=generator, dtype=torch.float64)
    assert float(model(x).detach().abs().max()) < 1e-11
    objective = Objective(model, F.mse_loss, (x, torch.ones(37, 3, dtype=torch.float64)))
    assert objective.value() == pytest.approx(1.0)
