import json
import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from localmin.certification import Certificate, certify, descend
from localmin.errors import InputError, ShapeError
from localmin.objective import HessianOperator, Objective


def quadratic(spectrum: Tensor, seed: int = 0) -> Objective:
    """A rotated quadratic at its critical point, away from the origin."""
    size = len(spectrum)
    generator = torch.Generator().manual_seed(seed)
    centre = torch.randn(size, generator=generator, dtype=torch.float64)
    mirror = torch.randn(size, generator=generator, dtype=torch.float64)
    mirror = mirror / mirror.norm()

    def function(p: Tensor) -> Tensor:
        shifted = p - centre
        rotated = shifted - 2.0 * mirror * (mirror @ shifted)
        return torch.as_tensor(0.5 * (spectrum * rotated * rotated).sum() + 3.0)

    return Objective.from_function(function, centre)


def spread(size: int, smallest: float, largest: float = 2.0) -> Tensor:
    return torch.linspace(smallest, largest, size, dtype=torch.float64)


@pytest.mark.parametrize("size", [2, 3, 40, 200, 2000])
def test_a_planted_saddle_is_found_with_a_witness(size: int) -> None:
    spectrum = spread(size, 0.0)
    spectrum[size // 2] = -0.05
    objective = quadratic(spectrum)
    found = certify(objective, seed=4)
    assert found.verdict == "strict-saddle"
    assert found.witness is not None
    assert found.curvature is not None
    assert found.curvature == pytest.approx(float(found.witness @ objective.hvp(found.witness)), rel=1e-9)
    assert -0.05 - 1e-9 <= found.curvature < -found.margin
    assert float(found.witness.norm()) == pytest.approx(1.0)
    again = found.recheck(objective)
    assert again.holds
    assert again.decrease is not None
    assert again.decrease > 0.0


@pytest.mark.parametrize("size", [1, 3, 40, 300])
def test_a_minimum_is_certified_by_a_lower_bound(size: int) -> None:
    found = certify(quadratic(spread(size, 0.5, 0.5 if size == 1 else 2.0)))
    assert found.verdict == "local-minimum"
    assert 0.5 - 1e-6 < found.lower_bound <= 0.5
    assert found.failure_probability == 0.0
    assert found.recheck(quadratic(spread(size, 0.5, 0.5 if size == 1 else 2.0))).holds


def test_a_large_minimum_is_certified_with_a_failure_probability() -> None:
    found = certify(quadratic(spread(4000, 0.5)), max_hvps=300, failure_probability=1e-4)
    assert (found.verdict, found.method, found.num_starts) == ("local-minimum", "lanczos", 2)
    assert found.failure_probability == 1e-4
    assert found.blind_spot is not None
    assert 0.0 < found.lower_bound < 0.5
    assert found.num_hvps <= 300
    assert "probability" in found.reason


def test_what_the_budget_cannot_exclude_is_undecided() -> None:
    found = certify(quadratic(spread(4000, 0.001)), max_hvps=60)
    assert found.verdict == "undecided"
    assert found.lower_bound < 0.0
    assert "max_hvps" in found.reason
    assert found.num_hvps <= 60
    assert certify(quadratic(spread(4000, 0.001)), max_hvps=60, curvature_tolerance=1.0).verdict == (
        "second-order-point"
    )


@pytest.mark.parametrize("size", [20, 200])
def test_negative_curvature_within_the_tolerance_does_not_count(size: int) -> None:
    objective = quadratic(spread(size, -0.01))
    assert certify(objective, curvature_tolerance=0.005).verdict == "strict-saddle"
    found = certify(objective, curvature_tolerance=0.02)
    assert found.verdict == "second-order-point"
    assert -0.0101 < found.lower_bound <= -0.01
    assert found.curvature == pytest.approx(-0.01)
    assert found.recheck(objective).holds


@pytest.mark.parametrize("max_hvps", [10, 11, 37, 100])
def test_the_budget_is_kept(max_hvps: int) -> None:
    for size in (5, 30, 100, 500):
        assert certify(quadratic(spread(size, 0.1)), max_hvps=max_hvps).num_hvps <= max_hvps


def test_degenerate_points_are_not_called_minima() -> None:
    zeros = torch.zeros(2, dtype=torch.float64)
    for function in (
        lambda p: p[0] ** 2 + p[1] ** 4,
        lambda p: p[0] ** 2 - p[1] ** 4,
        lambda p: p[0] ** 3,
        lambda p: p.sum() ** 2,
    ):
        assert certify(Objective.from_function(function, zeros)).verdict == "second-order-point"


def test_a_slope_is_not_critical_and_its_witness_leads_down() -> None:
    objective = quadratic(spread(10, 1.0)).at(torch.ones(10))
    found = certify(objective)
    assert (found.verdict, found.method, found.num_hvps) == ("not-critical", "gradient", 0)
    assert found.witness is not None
    torch.testing.assert_close(found.witness * -found.gradient_norm, objective.gradient())
    assert found.recheck(objective).holds
    assert certify(objective, gradient_tolerance=1e3).verdict == "local-minimum"


def test_a_flat_slope_is_not_called_a_minimum() -> None:
    # Small gradient and positive curvature, but the minimum is nowhere near: there is none.
    objective = Objective.from_function(lambda p: 1e-4 * torch.exp(p).sum(), torch.zeros(1).double())
    found = certify(objective)
    assert found.verdict == "undecided"
    assert found.newton_distance == pytest.approx(1.0)
    assert "Newton" in found.reason


def test_an_attained_lower_bound_is_a_global_minimum() -> None:
    objective = Objective.from_function(lambda p: (p**4).sum(), torch.zeros(3).double())
    found = certify(objective, value_lower_bound=0.0)
    assert (found.verdict, found.num_hvps) == ("global-minimum", 0)
    assert found.recheck(objective).holds
    assert certify(objective, value_lower_bound=-1.0).verdict == "second-order-point"
    with pytest.raises(InputError, match="value_lower_bound"):
        certify(objective, value_lower_bound=0.5)


def test_a_kink_is_undecided() -> None:
    model = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1)).double()
    for parameter in model.parameters():
        nn.init.zeros_(parameter)
    x = torch.randn(5, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    found = certify(Objective(model, F.mse_loss, (x, torch.zeros(5, 1))))
    assert found.verdict == "undecided"
    assert "relu" in found.reason
    with torch.no_grad():
        model.get_parameter("0.bias").fill_(1.0)
    found = certify(Objective(model, F.mse_loss, (x, torch.zeros(5, 1))))
    assert found.kinks == ("relu",)
    assert found.kink_distance == pytest.approx(1.0)
    assert "smooth piece" in found.reason


def test_values_that_are_not_finite_are_undecided() -> None:
    found = certify(Objective.from_function(lambda p: p.log().sum(), torch.zeros(2).double()))
    assert found.verdict == "undecided"
    assert "finite" in found.reason


def test_products_that_contradict_each_other_are_undecided() -> None:
    class Inexact(torch.autograd.Function):
        generator = torch.Generator().manual_seed(0)

        @staticmethod
        def forward(ctx: torch.autograd.function.FunctionCtx, p: Tensor) -> Tensor:
            return p.clone()

        @staticmethod
        def backward(ctx: torch.autograd.function.FunctionCtx, *gradients: Tensor) -> Tensor:
            return gradients[0] * (
                1.0 + 0.5 * torch.rand(1, generator=Inexact.generator, dtype=torch.float64)
            )

    def function(p: Tensor) -> Tensor:
        return (Inexact.apply(p) ** 2).sum()  # type: ignore[no-untyped-call, no-any-return]

    for size in (10, 100):
        found = certify(Objective.from_function(function, torch.zeros(size).double()), max_hvps=50)
        assert found.verdict == "undecided"
        assert "contradict" in found.reason


def test_finite_differences_and_single_precision_have_larger_margins() -> None:
    model = nn.Sequential(nn.Linear(3, 6), nn.Tanh(), nn.Linear(6, 2))
    for parameter in model.parameters():
        nn.init.zeros_(parameter)
    x = torch.randn(20, 3, generator=torch.Generator().manual_seed(0))
    y = x[:, :2] - x[:, :2].mean(0)
    exact = certify(Objective(model, F.mse_loss, (x, y), dtype=torch.float64))
    single = certify(Objective(model, F.mse_loss, (x, y)))
    differences = certify(
        Objective(model, F.mse_loss, (x, y), dtype=torch.float64, curvature="finite-difference")
    )
    assert exact.verdict == single.verdict == differences.verdict == "strict-saddle"
    assert exact.margin < 1e-13
    assert single.margin > 1e3 * exact.margin
    assert differences.margin > 1e2 * exact.margin
    assert (exact.dtype, single.dtype) == ("float64", "float32")


def test_same_seed_same_certificate() -> None:
    objective = quadratic(spread(100, -0.3))
    first, second = certify(objective, seed=5), certify(objective, seed=5)
    assert first.to_dict() == second.to_dict()
    assert certify(objective, seed=6).to_dict() != first.to_dict()


def _small_network(generator: torch.Generator, kind: int) -> Objective:
    """A tanh network at a random point, at a trained point, or at a point with unit symmetry."""
    width = int(torch.randint(1, 4, (), generator=generator))
    model = nn.Sequential(nn.Linear(2, width), nn.Tanh(), nn.Linear(width, 1)).double()
    for parameter in model.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
    if kind == 1 and width > 1:
        for parameter in list(model.parameters())[:2]:
            parameter.data[1] = parameter.data[0]
        last = model.get_parameter("2.weight").data
        last[:, 1] = last[:, 0]
    x = torch.randn(12, 2, generator=generator, dtype=torch.float64)
    y = torch.randn(12, 1, generator=generator, dtype=torch.float64)
    decay = 0.1 if kind == 2 else 0.0
    return Objective(model, F.mse_loss, (x, y), weight_decay=decay)


def _check_networks(num_networks: int, seed: int, max_iterations: int) -> dict[str, int]:
    generator = torch.Generator().manual_seed(seed)
    counts: dict[str, int] = {}
    for number in range(num_networks):
        objective = _small_network(generator, number % 3)
        if number % 4:
            objective = descend(objective, max_iterations=max_iterations)
        found = certify(objective, seed=number)
        eigenvalues = torch.linalg.eigvalsh(HessianOperator(objective).dense())
        truth = float(eigenvalues[0])
        if found.verdict == "local-minimum":
            assert truth > 0.0
        if found.verdict == "strict-saddle":
            assert truth < 0.0
        if found.verdict != "not-critical":
            assert found.lower_bound <= truth + 1e-9 * float(eigenvalues.abs().max())
        counts[found.verdict] = counts.get(found.verdict, 0) + 1
    return counts


def test_small_networks_agree_with_the_dense_hessian() -> None:
    counts = _check_networks(40, seed=0, max_iterations=200)
    assert counts.get("local-minimum", 0) >= 3
    assert counts.get("strict-saddle", 0) >= 3


@pytest.mark.slow
def test_no_false_minimum_among_a_thousand_small_networks() -> None:
    assert sum(_check_networks(1000, seed=1, max_iterations=200).values()) == 1000


@pytest.mark.slow
@pytest.mark.parametrize(("ratio", "budget"), [(0.01, 60), (0.003, 100)])
def test_planted_saddles_among_many_parameters(ratio: float, budget: int) -> None:
    size = 100_000
    spectrum = torch.rand(size, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    spectrum[0], spectrum[-1] = 1.0, -ratio
    objective = Objective.from_function(lambda p: 0.5 * (spectrum * p * p).sum(), torch.zeros(size).double())
    found = [certify(objective, seed=seed, max_hvps=budget) for seed in range(20)]
    assert all(one.verdict == "strict-saddle" and one.num_hvps <= budget for one in found)


def test_a_certificate_of_another_point_does_not_hold() -> None:
    objective = quadratic(spread(10, -0.5))
    found = certify(objective)
    moved = objective.at(objective.point + 1.0)
    assert not found.recheck(moved).holds
    assert "value" in found.recheck(moved).reason
    with pytest.raises(ShapeError, match="parameters"):
        found.recheck(quadratic(spread(11, -0.5)))


def test_a_forged_certificate_does_not_hold() -> None:
    bowl, saddle = quadratic(spread(10, 0.5)), quadratic(spread(10, -0.5))
    plain = certify(saddle).to_dict()
    assert not Certificate.from_dict(plain).recheck(bowl).holds
    claim = certify(bowl).to_dict()
    claim["witness"] = plain["witness"]
    assert not Certificate.from_dict(claim).recheck(saddle).holds
    undecided = certify(quadratic(spread(4000, 0.001)), max_hvps=20)
    assert not undecided.recheck(quadratic(spread(4000, 0.001))).holds


def test_round_trips(tmp_path_factory: pytest.TempPathFactory) -> None:
    objective = quadratic(spread(10, -0.5))
    for found in (certify(objective), certify(objective, value_lower_bound=3.0)):
        assert Certificate.from_dict(json.loads(json.dumps(found.to_dict()))).to_dict() == found.to_dict()
        folder = tmp_path_factory.mktemp("certificate")
        assert found.save(folder).name == "certificate.json"
        assert Certificate.load(folder).to_dict() == found.to_dict()
        assert Certificate.load(folder).recheck(objective) == found.recheck(objective)
    assert Certificate.from_dict(found.to_dict()).lower_bound == -math.inf
    with pytest.raises(InputError, match="certificate"):
        Certificate.from_dict({"verdict": "local-minimum"})
    with pytest.raises(InputError, match=r"certificate\.json"):
        Certificate.load(tmp_path_factory.mktemp("empty"))


@pytest.mark.parametrize(
    "options",
    [
        {"gradient_tolerance": 0.0},
        {"max_hvps": 3},
        {"curvature_tolerance": -1.0},
        {"value_tolerance": math.nan},
        {"failure_probability": 1.0},
        {"seed": -1},
    ],
)
def test_bad_options_are_named(options: dict[str, float]) -> None:
    with pytest.raises(InputError, match="expected"):
        certify(quadratic(spread(3, 1.0)), **options)  # type: ignore[arg-type]


def test_something_that_is_no_objective_is_refused() -> None:
    with pytest.raises(InputError, match="Objective"):
        certify(nn.Linear(2, 1))  # type: ignore[arg-type]
