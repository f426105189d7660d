import copy
import functools
import itertools
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call, hessian
from torch.utils.data import DataLoader, TensorDataset

from localmin.errors import InputError, ShapeError
from localmin.objective import HessianOperator, Objective


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def classes(size: int, count: int, seed: int = 0) -> Tensor:
    return torch.randint(0, count, (size,), generator=torch.Generator().manual_seed(seed))


def perceptron(*widths: int, seed: int = 0) -> nn.Sequential:
    parts: list[nn.Module] = []
    for before, after in itertools.pairwise(widths):
        parts += [nn.Linear(before, after, dtype=torch.float64), nn.Tanh()]
    model = nn.Sequential(*parts[:-1])
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator, dtype=torch.float64) * 0.7)
    return model


def half_squared_error(output: Tensor, target: Tensor) -> Tensor:
    return 0.5 * (output - target).square().sum(1)


def reference(
    model: nn.Module, loss: Callable[[Tensor, Tensor], Tensor], x: Tensor, y: Tensor, weight_decay: float
) -> Callable[[Tensor], Tensor]:
    """Write the objective as a plain function of a vector: all data at once, no library code."""
    parameters = dict(model.named_parameters())

    def function(vector: Tensor) -> Tensor:
        named, first = {}, 0
        for name, parameter in parameters.items():
            named[name] = vector[first : first + parameter.numel()].reshape(parameter.shape)
            first += parameter.numel()
        values = torch.as_tensor(loss(functional_call(model, named, (x,)), y))
        return values.mean() + 0.5 * weight_decay * vector.square().sum()

    return function


def test_linear_regression_in_closed_form() -> None:
    x, y = draw(23, 4), draw(23, 1, seed=1)
    model = nn.Linear(4, 1, bias=False, dtype=torch.float64)
    objective = Objective(model, half_squared_error, (x, y), batch_size=5, weight_decay=0.3)
    weight = model.weight.detach().reshape(-1)
    residual = x @ weight - y.reshape(-1)
    value = float(residual.square().mean()) / 2 + 0.15 * float(weight.square().sum())
    assert objective.value() == pytest.approx(value, rel=1e-13)
    torch.testing.assert_close(
        objective.gradient(), x.T @ residual / 23 + 0.3 * weight, rtol=1e-12, atol=1e-14
    )
    expected = x.T @ x / 23 + 0.3 * torch.eye(4, dtype=torch.float64)
    torch.testing.assert_close(HessianOperator(objective).dense(), expected, rtol=1e-12, atol=1e-14)
    assert (objective.num_parameters, objective.num_examples, objective.weight_decay) == (4, 23, 0.3)


def test_logistic_regression_in_closed_form() -> None:
    x = draw(17, 3)
    y = classes(17, 2).double()[:, None]
    model = nn.Linear(3, 1, dtype=torch.float64)
    objective = Objective(model, F.binary_cross_entropy_with_logits, (x, y), batch_size=4)
    probability = torch.sigmoid(model(x)).detach().reshape(-1)
    extended = torch.cat([x, torch.ones(17, 1, dtype=torch.float64)], dim=1)
    expected = extended.T @ torch.diag(probability * (1 - probability)) @ extended / 17
    torch.testing.assert_close(HessianOperator(objective).dense(), expected, rtol=1e-12, atol=1e-14)
    torch.testing.assert_close(
        objective.gradient(), extended.T @ (probability - y.reshape(-1)) / 17, rtol=1e-12, atol=1e-14
    )


@pytest.mark.parametrize("batch_size", [1, 4, 7, 30, None])
@pytest.mark.parametrize("weight_decay", [0.0, 0.05])
@pytest.mark.parametrize("max_cache_bytes", [0, 2**30])
def test_everything_agrees_with_a_dense_reference_for_every_batch_size(
    batch_size: int | None, weight_decay: float, max_cache_bytes: int
) -> None:
    x, y = draw(30, 3), classes(30, 4)
    model = perceptron(3, 5, 4)
    objective = Objective(
        model,
        F.cross_entropy,
        (x, y),
        batch_size=batch_size,
        weight_decay=weight_decay,
        max_cache_bytes=max_cache_bytes,
    )
    function = reference(model, F.cross_entropy, x, y, weight_decay)
    point = objective.point.requires_grad_()
    assert objective.value() == pytest.approx(float(function(point.detach())), rel=1e-13)
    (gradient,) = torch.autograd.grad(function(point), point)
    torch.testing.assert_close(objective.gradient(), gradient, rtol=1e-11, atol=1e-14)
    matrix = hessian(function)(point.detach())
    vectors = draw(3, objective.num_parameters, seed=5)
    for _ in range(2):
        torch.testing.assert_close(objective.hvp(vectors[0]), matrix @ vectors[0], rtol=1e-10, atol=1e-13)
        torch.testing.assert_close(objective.hvp(vectors), vectors @ matrix, rtol=1e-10, atol=1e-13)
    elsewhere = draw(objective.num_parameters, seed=9)
    moved = hessian(function)(elsewhere)
    assert objective.value_at(elsewhere) == pytest.approx(float(function(elsewhere)), rel=1e-13)
    torch.testing.assert_close(objective.hvp_at(elsewhere, vectors), vectors @ moved, rtol=1e-10, atol=1e-13)
    torch.testing.assert_close(objective.at(elsewhere).hvp(vectors), vectors @ moved, rtol=1e-10, atol=1e-13)
    torch.testing.assert_close(objective.hvp(vectors), vectors @ matrix, rtol=1e-10, atol=1e-13)


def test_a_mean_of_batch_means_would_be_something_else() -> None:
    x, y = draw(10, 3), classes(10, 4)
    model = perceptron(3, 4)
    objective = Objective(model, F.cross_entropy, (x, y), batch_size=7)
    wrong = (F.cross_entropy(model(x[:7]), y[:7]) + F.cross_entropy(model(x[7:]), y[7:])) / 2
    assert abs(objective.value() - wrong.item()) > 1e-3
    assert objective.value() == pytest.approx(F.cross_entropy(model(x), y).item(), rel=1e-13)


@pytest.mark.parametrize("shuffle", [True, False])
def test_a_loader_with_a_ragged_last_batch_gives_the_same_as_tensors(shuffle: bool) -> None:
    x, y = draw(31, 3), classes(31, 4)
    model = perceptron(3, 5, 4)
    loader = DataLoader(TensorDataset(x, y), batch_size=8, shuffle=shuffle)
    from_tensors = Objective(model, F.cross_entropy, (x, y))
    vector = draw(from_tensors.num_parameters, seed=3)
    for batch_size in (None, 3):
        objective = Objective(model, F.cross_entropy, loader, batch_size=batch_size)
        assert objective.num_examples == 31
        assert objective.value() == pytest.approx(from_tensors.value(), rel=1e-12)
        torch.testing.assert_close(objective.gradient(), from_tensors.gradient(), rtol=1e-10, atol=1e-14)
        for _ in range(2):
            torch.testing.assert_close(
                objective.hvp(vector), from_tensors.hvp(vector), rtol=1e-10, atol=1e-14
            )


def test_derivatives_agree_with_differences_of_values() -> None:
    objective = Objective(
        perceptron(3, 6, 2), F.mse_loss, (draw(12, 3), draw(12, 2, seed=1)), weight_decay=0.1
    )
    vector = draw(objective.num_parameters, seed=2)
    vector = vector / vector.norm()
    step = 1e-4
    up, down = (objective.value_at(objective.point + sign * step * vector) for sign in (1.0, -1.0))
    slope = float(objective.gradient() @ vector)
    curvature = float(objective.hvp(vector) @ vector)
    assert (up - down) / (2 * step) == pytest.approx(slope, rel=1e-6)
    assert (up - 2 * objective.value() + down) / step**2 == pytest.approx(curvature, rel=1e-5)
    ahead, behind = (objective.gradient_at(objective.point + sign * step * vector) for sign in (1.0, -1.0))
    torch.testing.assert_close((ahead - behind) / (2 * step), objective.hvp(vector), rtol=1e-5, atol=1e-8)


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, dtype=torch.float64)
        self.head = nn.Linear(8, 3, dtype=torch.float64)

    def forward(self, x: Tensor) -> Tensor:
        return torch.as_tensor(self.head(self.layer(x).mean(1)))


class SmallConvolution(nn.Sequential):
    def __init__(self) -> None:
        super().__init__(
            nn.Conv2d(1, 3, 3, padding=1),
            nn.BatchNorm2d(3),
            nn.Softplus(),
            nn.AvgPool2d(2),
            nn.Flatten(),
            nn.Dropout(0.5),
            nn.Linear(12, 3),
        )
        self.double()


@pytest.mark.parametrize(
    ("build", "shape"),
    [(Attention, (9, 5, 8)), (SmallConvolution, (9, 1, 4, 4))],
    ids=["attention", "convolution"],
)
def test_products_of_other_architectures_agree_with_differences(
    build: Callable[[], nn.Module], shape: tuple[int, ...]
) -> None:
    torch.manual_seed(0)
    model = build().eval()
    data = (draw(*shape), classes(9, 3))
    exact = Objective(model, F.cross_entropy, data, batch_size=4)
    differences = Objective(model, F.cross_entropy, data, batch_size=4, curvature="finite-difference")
    vectors = draw(3, exact.num_parameters, seed=1)
    expected = differences.hvp(vectors)
    for _ in range(2):
        torch.testing.assert_close(exact.hvp(vectors), expected, rtol=1e-6, atol=1e-8)
        torch.testing.assert_close(exact.hvp(vectors[0]), expected[0], rtol=1e-6, atol=1e-8)
    elsewhere = exact.point + 0.1
    torch.testing.assert_close(
        differences.hvp_at(elsewhere, vectors[0]), exact.hvp_at(elsewhere, vectors[0]), rtol=1e-6, atol=1e-8
    )


class Bilinear(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.used = nn.Parameter(torch.tensor([2.0, 3.0], dtype=torch.float64))
        self.unused = nn.Parameter(torch.tensor([5.0], dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.used[0] * self.used[1]


def test_a_parameter_the_loss_does_not_reach_has_zero_derivatives() -> None:
    x = torch.tensor([[1.0], [3.0]], dtype=torch.float64)
    objective = Objective(Bilinear(), lambda output, _: output, (x, x), batch_size=1, weight_decay=0.0)
    assert objective.value() == 12.0
    assert objective.gradient().tolist() == [6.0, 4.0, 0.0]
    assert HessianOperator(objective).dense().tolist() == [[0.0, 2.0, 0.0], [2.0, 0.0, 0.0], [0.0, 0.0, 0.0]]
    with_decay = Objective(Bilinear(), lambda output, _: output, (x, x), weight_decay=0.5)
    assert with_decay.value() == 12.0 + 0.25 * (4 + 9 + 25)
    assert with_decay.gradient().tolist() == [7.0, 5.5, 2.5]
    assert HessianOperator(with_decay).dense()[2].tolist() == [0.0, 0.0, 0.5]


def test_a_loss_no_parameter_reaches_is_constant() -> None:
    x = torch.ones(3, 1, dtype=torch.float64)
    objective = Objective(
        Bilinear(), lambda output, _: output, (x, x), parameters=["unused"], weight_decay=2.0
    )
    assert objective.gradient().tolist() == [10.0]
    assert objective.hvp(torch.tensor([3.0])).tolist() == [6.0]
    constant = Objective(nn.Linear(1, 1), lambda output, _: torch.ones(len(output)), (x, x))
    assert constant.value() == 1.0
    assert constant.gradient().tolist() == [0.0, 0.0]
    assert constant.hvp(torch.ones(2, 2)).tolist() == [[0.0, 0.0], [0.0, 0.0]]


def test_tied_parameters_count_once_and_their_derivatives_add() -> None:
    first, second = (nn.Linear(1, 1, bias=False, dtype=torch.float64) for _ in range(2))
    second.weight = first.weight
    nn.init.constant_(first.weight, 3.0)
    model = nn.Sequential(first, second)
    x = torch.tensor([[2.0]], dtype=torch.float64)
    # f(w) = 2 w² + (0.7 / 2) w² at w = 3
    objective = Objective(model, lambda output, _: output, (x, x), weight_decay=0.7)
    assert objective.parameter_names == ("0.weight",)
    assert objective.value() == pytest.approx(18.0 + 0.35 * 9)
    assert objective.gradient().tolist() == pytest.approx([12.0 + 2.1])
    assert objective.hvp(torch.ones(1)).tolist() == pytest.approx([4.7])
    moved = objective.model_at(torch.tensor([5.0]))
    assert moved(x).item() == 50.0
    assert len(list(moved.parameters())) == 1


def test_frozen_parameters_are_constants_and_named_ones_vary() -> None:
    x, y = draw(12, 3), draw(12, 2, seed=1)
    model = perceptron(3, 4, 2)
    full = HessianOperator(Objective(model, F.mse_loss, (x, y))).dense()
    model[0].requires_grad_(False)
    frozen = Objective(model, F.mse_loss, (x, y), weight_decay=0.2)
    assert frozen.parameter_names == ("2.weight", "2.bias")
    identity = torch.eye(10, dtype=torch.float64)
    torch.testing.assert_close(HessianOperator(frozen).dense(), full[16:, 16:] + 0.2 * identity)
    named = Objective(model, F.mse_loss, (x, y), parameters=["0.bias", "2.weight"])
    rows = [*range(12, 16), *range(16, 24)]
    torch.testing.assert_close(HessianOperator(named).dense(), full[rows][:, rows])
    moved = frozen.model_at(torch.zeros(10))
    assert [parameter.requires_grad for parameter in moved.parameters()] == [False, False, True, True]
    kept, given = next(moved.parameters()), next(model.parameters())
    assert torch.equal(kept, given)
    assert kept is not given


def test_the_model_is_not_modified_and_does_not_move_the_objective() -> None:
    model = SmallConvolution().eval()
    before = copy.deepcopy(model.state_dict())
    requires_grad = [parameter.requires_grad for parameter in model.parameters()]
    x, y = draw(6, 1, 4, 4), classes(6, 3)
    objective = Objective(model, F.cross_entropy, (x, y), dtype=torch.float32)
    value = objective.value()
    objective.gradient()
    objective.hvp(objective.point)
    objective.value_at(objective.point + 1.0)
    objective.point.add_(1.0)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert [parameter.requires_grad for parameter in model.parameters()] == requires_grad
    assert all(parameter.grad is None for parameter in model.parameters())
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    model.train()
    assert objective.value() == value


def test_another_dtype_evaluates_a_converted_copy() -> None:
    model = perceptron(3, 4, 2).float()
    x, y = draw(10, 3).float(), draw(10, 2, seed=1).float()
    double = Objective(model, nn.MSELoss(), (x, y), dtype=torch.float64)
    single = Objective(model, nn.MSELoss(), (x, y))
    assert (double.dtype, single.dtype) == (torch.float64, torch.float32)
    reference_value = F.mse_loss(copy.deepcopy(model).double()(x.double()), y.double()).item()
    assert double.value() == pytest.approx(reference_value, rel=1e-14)
    assert double.value() != single.value()
    assert single.value() == pytest.approx(reference_value, rel=1e-5)
    vector = draw(double.num_parameters)
    assert double.hvp(vector).dtype == torch.float64
    assert single.hvp(vector).dtype == torch.float32
    torch.testing.assert_close(single.hvp(vector).double(), double.hvp(vector), rtol=1e-4, atol=1e-5)
    assert next(model.parameters()).dtype == torch.float32
    assert next(double.model_at(double.point).parameters()).dtype == torch.float64


def test_a_loss_with_buffers_is_converted_with_the_model() -> None:
    loss = nn.CrossEntropyLoss(weight=torch.tensor([1.0, 2.0, 3.0]), reduction="none")
    x, y = draw(9, 3), classes(9, 3)
    model = nn.Linear(3, 3)
    objective = Objective(model, loss, (x, y), dtype=torch.float64, batch_size=4)
    weight = torch.tensor([1.0, 2.0, 3.0]).double()
    values = F.cross_entropy(copy.deepcopy(model).double()(x), y, weight=weight, reduction="none")
    assert objective.value() == pytest.approx(values.mean().item(), rel=1e-13)
    assert loss.weight is not None
    assert loss.weight.dtype == torch.float32


def test_batches_are_what_the_objective_sees() -> None:
    x, y = draw(10, 3), classes(10, 3)
    objective = Objective(nn.Linear(3, 3), F.cross_entropy, (x, y), batch_size=4)
    pairs = list(objective.batches)
    assert [(len(x), x.dtype, y.dtype) for x, y in pairs] == [
        (size, torch.float32, torch.int64) for size in (4, 4, 2)
    ]
    model = objective.model_at(objective.point)
    total = sum(F.cross_entropy(model(x), y, reduction="sum").item() for x, y in pairs)
    assert objective.value() == pytest.approx(total / 10, rel=1e-6)


def test_half_precision_is_refused_with_the_way_out() -> None:
    model = nn.Linear(3, 1).to(torch.bfloat16)
    x = torch.ones(4, 3)
    with pytest.raises(InputError, match=r"give dtype=torch\.float64"):
        Objective(model, F.mse_loss, (x, torch.zeros(4, 1)))
    assert Objective(model, F.mse_loss, (x, torch.zeros(4, 1)), dtype=torch.float64).dtype == torch.float64


class Counting(nn.Linear):
    calls = 0

    def forward(self, input: Tensor) -> Tensor:
        Counting.calls += 1
        return super().forward(input)


def forward_passes_of(evaluate: Callable[[], object]) -> int:
    before = Counting.calls
    evaluate()
    return Counting.calls - before


def test_the_graph_is_built_once_and_only_if_it_fits() -> None:
    x, y = draw(20, 3), draw(20, 2, seed=1)
    model = nn.Sequential(Counting(3, 50), nn.Tanh(), nn.Linear(50, 2)).double()
    build = functools.partial(Objective, model, F.mse_loss, (x, y), batch_size=6)
    cached, uncached = build(), build(max_cache_bytes=0)
    # Room for one of the four batches, not for all.
    too_small = build(max_cache_bytes=10_000)
    vector = torch.ones(cached.num_parameters)
    assert [forward_passes_of(lambda: cached.hvp(vector)) for _ in range(3)] == [4, 0, 0]
    assert [forward_passes_of(lambda: uncached.hvp(vector)) for _ in range(2)] == [4, 4]
    assert [forward_passes_of(lambda: too_small.hvp(vector)) for _ in range(2)] == [4, 4]
    torch.testing.assert_close(cached.hvp(vector), too_small.hvp(vector), rtol=1e-12, atol=1e-14)
    cached.clear_cache()
    assert forward_passes_of(lambda: cached.hvp(vector)) == 4
    assert forward_passes_of(lambda: cached.at(cached.point).hvp(vector)) == 4
    assert forward_passes_of(lambda: cached.hvp_at(cached.point, vector)) == 4


def test_values_draw_no_random_numbers_and_work_without_gradient_mode() -> None:
    x, y = draw(8, 3), draw(8, 2, seed=1)
    model = perceptron(3, 4, 2)
    state = torch.random.get_rng_state()
    with torch.no_grad():
        objective = Objective(model, F.mse_loss, (x, y))
        expected = objective.hvp(objective.point)
        assert float(objective.gradient().norm()) > 0.0
    assert float(expected.norm()) > 0.0
    assert not expected.requires_grad
    assert torch.equal(torch.random.get_rng_state(), state)
    assert torch.equal(objective.hvp(objective.point), expected)


class Once(torch.autograd.Function):
    @staticmethod
    def forward(context: torch.autograd.function.FunctionCtx, x: Tensor) -> Tensor:
        context.save_for_backward(x)
        return x**3

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(context: torch.autograd.function.FunctionCtx, gradient: Tensor) -> Tensor:
        x: Tensor = context.saved_tensors[0]  # type: ignore[attr-defined]
        return 3.0 * x**2 * gradient


class Cubed(nn.Linear):
    def forward(self, input: Tensor) -> Tensor:
        cube: Tensor = Once.apply(super().forward(input))  # type: ignore[no-untyped-call]
        return cube


def test_auto_chooses_differences_only_where_they_are_needed() -> None:
    x, y = draw(8, 3), draw(8, 1, seed=1)
    hard = Objective(Cubed(3, 1).double(), F.mse_loss, (x, y), curvature="auto")
    smooth = Objective(nn.Linear(3, 1).double(), F.mse_loss, (x, y), curvature="auto")
    assert hard.curvature == smooth.curvature == "auto"
    vector = torch.linspace(-1.0, 1.0, 4, dtype=torch.float64)
    expected = Objective(hard.model_at(hard.point), F.mse_loss, (x, y), curvature="finite-difference")
    torch.testing.assert_close(hard.hvp(vector), expected.hvp(vector))
    smooth.hvp(vector)
    assert (hard.curvature, smooth.curvature) == ("finite-difference", "exact")


def test_named_tensors_in_named_tensors_out() -> None:
    model = nn.Sequential(nn.Linear(3, 2), nn.Tanh(), nn.Linear(2, 1)).double()
    x, y = draw(8, 3), draw(8, 1, seed=1)
    objective = Objective(model, F.mse_loss, (x, y))
    vector = torch.linspace(-1.0, 1.0, objective.num_parameters, dtype=torch.float64)
    products = objective.hvp(objective.split(vector))
    assert list(products) == list(objective.parameter_names)
    torch.testing.assert_close(objective.flatten(products), objective.hvp(vector))

    def loss(named: dict[str, Tensor]) -> Tensor:
        return F.mse_loss(torch.func.functional_call(model, named, (x,)), y)

    plain = Objective.from_function(loss, dict(model.named_parameters()))
    assert plain.parameter_names == objective.parameter_names
    assert plain.value() == pytest.approx(objective.value())
    torch.testing.assert_close(plain.hvp(vector), objective.hvp(vector))
    with pytest.raises(ShapeError, match="missing"):
        objective.hvp({"0.weight": torch.zeros(2, 3)})


@pytest.mark.parametrize("names", [["a", "a.b"], ["a..b"], [""], ["function"], []])
def test_names_that_cannot_be_used_are_refused(names: list[str]) -> None:
    with pytest.raises(InputError, match="expected"):
        Objective.from_function(lambda p: p[names[0]].sum(), dict.fromkeys(names, torch.zeros(1)))


def test_the_standard_error_of_a_curvature_is_that_of_its_examples() -> None:
    model = nn.Linear(2, 1, bias=False).double()
    x, y = draw(50, 2), draw(50, 1, seed=1)
    vector = torch.tensor([1.0, -2.0], dtype=torch.float64)
    # The curvature of the squared residual of an example is 2 (x v)².
    each = 2.0 * (x @ vector) ** 2
    expected = float(each.std() / 50**0.5)
    for loss in (F.mse_loss, lambda output, target: (output - target) ** 2):
        objective = Objective(model, loss, (x, y), batch_size=7, weight_decay=3.0)
        assert objective.curvature_standard_error(vector) == pytest.approx(expected, rel=1e-5)
    assert objective.curvature_standard_error(0 * vector) == 0.0
    single = Objective(model, F.mse_loss, (x[:1], y[:1]))
    assert single.curvature_standard_error(vector) == float("inf")


def test_a_model_without_second_derivatives_falls_back_to_differences() -> None:
    x, y = draw(8, 3), draw(8, 1, seed=1)
    model = Cubed(3, 1).double()
    with pytest.raises(
        InputError, match="once_differentiable; build the objective with curvature='finite-difference'"
    ):
        Objective(model, F.mse_loss, (x, y)).hvp(torch.ones(4))
    differences = Objective(model, F.mse_loss, (x, y), curvature="finite-difference", weight_decay=0.1)
    plain = nn.Linear(3, 1).double()
    plain.load_state_dict(model.state_dict())
    exact = Objective(plain, lambda output, target: F.mse_loss(output**3, target), (x, y), weight_decay=0.1)
    vectors = draw(2, 4, seed=4)
    torch.testing.assert_close(differences.hvp(vectors), exact.hvp(vectors), rtol=1e-7, atol=1e-8)
    torch.testing.assert_close(
        differences.hvp_at(torch.ones(4), vectors[0]),
        exact.hvp_at(torch.ones(4), vectors[0]),
        rtol=1e-7,
        atol=1e-8,
    )


def test_named_views_of_a_vector() -> None:
    objective = Objective(perceptron(3, 4, 2), F.mse_loss, (draw(5, 3), draw(5, 2)))
    named = objective.split(objective.gradient())
    assert {name: tuple(part.shape) for name, part in named.items()} == {
        "0.weight": (4, 3), "0.bias": (4,), "2.weight": (2, 4), "2.bias": (2,),
    }  # fmt: skip
    assert torch.equal(objective.flatten(named), objective.gradient())


def test_a_function_of_a_tensor_is_an_objective() -> None:
    point = torch.tensor([[0.5, -1.0], [2.0, 0.0]], dtype=torch.float64)
    objective = Objective.from_function(lambda p: (p**4).sum() - p.prod(), point, weight_decay=0.2)
    assert objective.num_parameters == 4
    assert objective.value() == pytest.approx(0.0625 + 1.0 + 16.0 + 0.1 * 5.25)
    assert objective.gradient().tolist() == pytest.approx([0.6, -4.2, 32.4, 1.0])
    matrix = hessian(lambda p: (p**4).sum() - p.prod() + 0.1 * p.square().sum())(point.reshape(-1))
    torch.testing.assert_close(HessianOperator(objective).dense(), matrix)
    point.zero_()
    assert objective.value() > 17.0
    with pytest.raises(InputError, match=r"expected the function to give a scalar, got shape \(3,\)"):
        Objective.from_function(lambda p: 2.0 * p, torch.ones(3))


def test_vectors_of_the_wrong_shape_are_refused() -> None:
    objective = Objective.from_function(lambda p: p.square().sum(), torch.ones(3))
    for call in (objective.value_at, objective.gradient_at, objective.at, objective.model_at):
        with pytest.raises(ShapeError, match=r"expected a vector of shape \(3,\), got \(4,\)"):
            call(torch.ones(4))
    with pytest.raises(ShapeError, match=r"shape \(3,\) or \(k, 3\), got \(3, 1\)"):
        objective.hvp(torch.ones(3, 1))
    with pytest.raises(ShapeError, match=r"got \(1, 1, 3\)"):
        objective.hvp_at(torch.ones(3), torch.ones(1, 1, 3))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"weight_decay": -0.1}, "finite weight_decay >= 0, got -0.1"),
        ({"weight_decay": float("nan")}, "finite weight_decay >= 0, got nan"),
        ({"dtype": torch.float16}, r"expected dtype .* got torch\.float16"),
        ({"curvature": "hutchinson"}, "got 'hutchinson'"),
        ({"batch_size": 0}, "expected batch_size >= 1"),
        ({"parameters": ["nothing"]}, r"no parameters named \['nothing'\]"),
    ],
)
def test_options_out_of_range_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Objective(nn.Linear(2, 1), F.mse_loss, (torch.ones(3, 2), torch.ones(3, 1)), **options)  # type: ignore[arg-type]


def test_a_function_in_place_of_a_model_is_pointed_to_from_function() -> None:
    with pytest.raises(InputError, match=r"got function; .*Objective\.from_function"):
        Objective(lambda x: x, F.mse_loss, (torch.ones(3, 2), torch.ones(3, 1)))  # type: ignore[arg-type]
