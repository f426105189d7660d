"""Skew operators: antisymmetric, equal to their dense form, and as good as the theory says."""

from typing import Any

import numpy as np
import pytest
import torch

from localmin.errors import InputError, ShapeError
from localmin.langevin import (
    CoupledChains,
    DenseSkew,
    LeftRightSkew,
    LowRankSkew,
    NonReversibleKernel,
    PairwiseRotation,
    RepairedRotation,
    SkewOperator,
    dense_optimal_skew,
    random_pairing,
    theory,
)
from localmin.langevin.skew import as_skew_operator
from localmin.langevin.skew_drift import push_along_skew_drift

F64 = torch.float64
GENERATOR = torch.Generator().manual_seed(0)
FREE = torch.randn(6, 6, generator=GENERATOR, dtype=F64)
ROTATION = torch.tensor([[0.0, 1.0], [-1.0, 0.0]], dtype=F64)

VECTOR_OPERATORS: list[SkewOperator] = [
    PairwiseRotation(1.7),
    PairwiseRotation(-0.6, random_pairing(6, GENERATOR)),
    LowRankSkew(FREE[:, :2], FREE[:, 2:4], 0.8),
    DenseSkew(FREE - FREE.T),
]
SHAPED_OPERATORS: list[tuple[SkewOperator, tuple[int, ...]]] = [
    (LeftRightSkew(0.7 * ROTATION, (FREE - FREE.T)[:3, :3]), (2, 3)),
    (LeftRightSkew(None, (FREE - FREE.T)[:3, :3]), (2, 3)),
    (CoupledChains(1.3), (2, 3)),
    (CoupledChains(0.4, torch.tensor([2, 1, 0])), (2, 3)),
]


@pytest.mark.parametrize(
    ("operator", "shape"), [*((operator, (6,)) for operator in VECTOR_OPERATORS), *SHAPED_OPERATORS], ids=repr
)
def test_operators_are_skew_and_equal_their_dense_form(
    operator: SkewOperator, shape: tuple[int, ...]
) -> None:
    dense = operator.to_dense(6)
    assert np.abs(dense).max() > 0.1
    np.testing.assert_allclose(dense, -dense.T, atol=1e-12)
    gradient = torch.randn(shape, generator=GENERATOR, dtype=F64)
    rotated = operator.apply(gradient)
    np.testing.assert_allclose(rotated.reshape(-1).numpy(), dense @ gradient.reshape(-1).numpy(), atol=1e-12)
    assert abs(float((gradient * rotated).sum())) < 1e-12
    assert isinstance(operator, SkewOperator)


@pytest.mark.parametrize("operator", VECTOR_OPERATORS, ids=repr)
def test_vector_operators_act_on_a_batch_of_chains(operator: SkewOperator) -> None:
    gradient = torch.randn(5, 2, 6, generator=GENERATOR, dtype=F64)
    together = operator.apply(gradient)
    torch.testing.assert_close(together[3, 1], operator.apply(gradient[3, 1]))


def test_pairwise_rotation_leaves_an_odd_coordinate_alone() -> None:
    pairing = torch.tensor([2, 0, 1])
    torch.testing.assert_close(
        PairwiseRotation(2.0, pairing).apply(torch.tensor([1.0, 10.0, 100.0])),
        torch.tensor([-200.0, 0.0, 2.0]),
    )


def test_pairing_soft_with_stiff_helps_and_equal_curvatures_do_not() -> None:
    curvatures = [0.1, 0.1, 1.0, 1.0]
    for pairing, rate in (([0, 1, 2, 3], 0.1), ([0, 2, 1, 3], 0.55)):
        skew = PairwiseRotation(2.0, torch.tensor(pairing))
        assert theory.convergence_rate(curvatures, "nonreversible", skew=skew) == pytest.approx(
            rate, rel=1e-7
        )


def test_coupled_chains_help_only_across_curvatures() -> None:
    both = np.diag([0.1, 1.0, 0.1, 1.0])  # two copies of one target
    swap = CoupledChains(2.0, torch.tensor([1, 0]))
    same = CoupledChains(2.0, torch.tensor([0, 1]))
    rates = np.linalg.eigvals((np.eye(4) + swap.to_dense(4)) @ both).real
    np.testing.assert_allclose(rates, 0.55, rtol=1e-7)
    assert theory.convergence_rate(both, "nonreversible", skew=same) == pytest.approx(0.1)


def test_optimal_operator_reaches_the_mean_curvature() -> None:
    hessian = np.diag([0.1, 0.4, 3.0])
    operator = dense_optimal_skew(hessian)
    assert theory.convergence_rate(hessian, "nonreversible", skew=operator) == pytest.approx(3.5 / 3)
    weak = dense_optimal_skew(hessian, strength=0.1)
    torch.testing.assert_close(weak.matrix, 0.1 * operator.matrix)


@pytest.mark.parametrize(
    ("build", "error"),
    [
        (lambda: DenseSkew(torch.eye(2)), InputError),
        (lambda: DenseSkew(torch.full((2, 2), float("nan"))), InputError),
        (lambda: DenseSkew(torch.zeros(2, 3)), ShapeError),
        (lambda: LeftRightSkew(torch.eye(2), None), InputError),
        (lambda: LowRankSkew(torch.zeros(3, 2), torch.zeros(3, 1)), ShapeError),
        (lambda: PairwiseRotation(1.0, torch.tensor([0, 0])), InputError),
        (lambda: CoupledChains(1.0, torch.tensor([1, 2, 0])), InputError),
        (lambda: CoupledChains(1.0).apply(torch.zeros(3, 2)), ShapeError),
        (lambda: LeftRightSkew(ROTATION, None).apply(torch.zeros(3, 2)), ShapeError),
        (lambda: LowRankSkew(torch.zeros(3, 1), torch.zeros(3, 1)).apply(torch.zeros(4)), ShapeError),
        (lambda: DenseSkew(ROTATION).apply(torch.zeros(4)), ShapeError),
        (lambda: PairwiseRotation(1.0, torch.tensor([1, 0])).apply(torch.zeros(4)), ShapeError),
        (lambda: as_skew_operator("rotate"), InputError),
    ],
)
def test_bad_operators(build: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        build()


@pytest.mark.parametrize("dtype", [torch.float32, F64, torch.bfloat16])
@pytest.mark.parametrize("shape", [(6,), (5,), (3, 4), (2, 3)])
def test_the_drift_in_one_pass_equals_the_operator(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(3)
    tolerance = {torch.float32: 1e-6, F64: 1e-13, torch.bfloat16: 0.02}[dtype]
    x, g = torch.randn(2, *shape, generator=generator).to(dtype).unbind()
    for operator in (PairwiseRotation(1.7), PairwiseRotation(0.3, random_pairing(shape[-1], generator))):
        moved = x.clone()
        push_along_skew_drift(operator, [moved], [g], 0.3)
        torch.testing.assert_close(moved, x - 0.3 * (g + operator.apply(g)), rtol=tolerance, atol=tolerance)
        # A view with an odd offset cannot be read as complex numbers.
        odd = torch.cat([x.new_zeros(1), x.reshape(-1)])[1:].view(shape)
        push_along_skew_drift(operator, [odd], [g], 0.3)
        torch.testing.assert_close(odd, moved, rtol=tolerance, atol=tolerance)


def test_repaired_rotations_change_by_period_and_keep_the_target() -> None:
    """Budget: 20 000 chains, variances within 4.5 standard errors plus 5 per cent of step-size bias."""
    skew = RepairedRotation(0.8, dimension=4, every=5, seed=3)
    pairings = [skew(k).pairing for k in (0, 4, 5, 12)]
    assert all(pairing is not None for pairing in pairings)
    assert torch.equal(pairings[0], pairings[1])  # type: ignore[arg-type]
    assert not torch.equal(pairings[1], pairings[2])  # type: ignore[arg-type]
    assert torch.equal(skew(0).pairing, pairings[0])  # type: ignore[arg-type]
    curvatures, temperature = torch.tensor([0.5, 1.0, 1.5, 2.0], dtype=F64), 0.3
    kernel = NonReversibleKernel(0.02, skew, temperature)
    generator = torch.Generator().manual_seed(0)
    state = kernel.init(
        torch.randn(20_000, 4, generator=generator, dtype=F64) * (temperature / curvatures).sqrt()
    )
    for _ in range(150):
        state, _ = kernel.step(state, curvatures * state.position, generator)
    found = state.position.var(dim=0) * curvatures / temperature
    assert float((found - 1).abs().max()) < 4.5 * np.sqrt(2 / 20_000) + 0.05
    with pytest.raises(InputError, match="dimension"):
        RepairedRotation(1.0, dimension=1)
