import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call, jacrev

from localmin.errors import ShapeError
from localmin.objective import GaussNewtonOperator, HessianOperator, Objective


def network(seed: int = 0) -> tuple[nn.Module, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    model = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3)).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
    x = torch.randn(11, 4, generator=generator, dtype=torch.float64)
    return model, x, torch.randint(0, 3, (11,), generator=generator)


def by_jacobians(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """``(1/N) Σ Jᵀ (diag p - p pᵀ) J``, the textbook formula for cross-entropy."""
    parameters = {name: part.detach() for name, part in model.named_parameters()}
    jacobians = jacrev(lambda p: functional_call(model, p, (x,)))(parameters)
    jacobian = torch.cat([part.reshape(len(x), 3, -1) for part in jacobians.values()], dim=2)
    chances = torch.softmax(model(x).detach(), dim=1)
    inner = torch.diag_embed(chances) - chances[:, :, None] * chances[:, None, :]
    return torch.as_tensor((jacobian.mT @ inner @ jacobian).mean(0))


def test_it_agrees_with_the_formula_for_cross_entropy() -> None:
    model, x, y = network()
    objective = Objective(model, F.cross_entropy, (x, y), batch_size=4, weight_decay=0.3)
    operator = GaussNewtonOperator(objective)
    expected = by_jacobians(model, x, y) + 0.3 * torch.eye(operator.shape[0], dtype=torch.float64)
    torch.testing.assert_close(operator.dense(), expected, rtol=1e-10, atol=1e-13)
    assert float(torch.linalg.eigvalsh(operator.dense())[0]) == pytest.approx(0.3, abs=1e-12)
    assert operator.trace(num_products=100).value == pytest.approx(float(expected.trace()))
    assert operator.num_products == 3 * operator.shape[0]


def test_it_is_the_hessian_of_a_model_that_is_linear_in_its_parameters() -> None:
    model, x, y = network()
    objective = Objective(model, F.cross_entropy, (x, y), parameters=["2.weight", "2.bias"])
    torch.testing.assert_close(GaussNewtonOperator(objective).dense(), HessianOperator(objective).dense())
    assert not torch.allclose(
        GaussNewtonOperator(Objective(model, F.cross_entropy, (x, y))).dense(),
        HessianOperator(Objective(model, F.cross_entropy, (x, y))).dense(),
    )


def test_losses_of_each_example_and_constant_outputs() -> None:
    model, x, _ = network()
    y = torch.zeros(11, 3, dtype=torch.float64)

    def squares(output: Tensor, target: Tensor) -> Tensor:
        return (output - target).square()

    each = GaussNewtonOperator(Objective(model, squares, (x, y))).dense()
    mean = GaussNewtonOperator(Objective(model, F.mse_loss, (x, y))).dense()
    torch.testing.assert_close(each, mean)
    idle = Objective.from_function(lambda p: torch.ones(()).double(), torch.ones(2).double())
    assert GaussNewtonOperator(idle).dense().tolist() == [[0.0, 0.0], [0.0, 0.0]]
    with pytest.raises(ShapeError, match=r"\(3,\)"):
        GaussNewtonOperator(idle).matvec(torch.ones(3))
