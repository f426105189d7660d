import numpy as np
import pytest
import scipy.sparse.linalg
import torch
import torch.nn.functional as F
from torch import nn

from localmin.errors import InputError, ShapeError
from localmin.objective import HessianOperator, Objective

MATRIX = torch.tensor([[2.0, -3.0, 0.5], [-3.0, 1.0, 4.0], [0.5, 4.0, -1.0]], dtype=torch.float64)


def quadratic(dtype: torch.dtype = torch.float64) -> HessianOperator:
    matrix = MATRIX.to(dtype)
    return HessianOperator(
        Objective.from_function(lambda p: 0.5 * p @ matrix @ p, torch.ones(3, dtype=dtype))
    )


def network() -> HessianOperator:
    generator = torch.Generator().manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3)).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
    x = torch.randn(40, 6, generator=generator, dtype=torch.float64)
    y = torch.randint(0, 3, (40,), generator=generator)
    return HessianOperator(Objective(model, F.cross_entropy, (x, y), batch_size=17))


def test_products_and_their_count() -> None:
    hessian = quadratic()
    vector = torch.tensor([1.0, 2.0, -1.0], dtype=torch.float64)
    block = torch.tensor([[1.0, 0.0], [2.0, 1.0], [-1.0, 0.0]], dtype=torch.float64)
    assert torch.equal(hessian.matvec(vector), MATRIX @ vector)
    assert torch.equal(hessian @ vector, MATRIX @ vector)
    assert torch.equal(hessian.matmat(block), MATRIX @ block)
    assert torch.equal(hessian @ block, MATRIX @ block)
    assert hessian.num_products == 2 + 4
    assert torch.equal(hessian.dense(), MATRIX)
    assert hessian.num_products == 9
    assert (hessian.shape, hessian.dtype, hessian.device.type) == ((3, 3), torch.float64, "cpu")


def test_the_dtype_of_the_vector_comes_back() -> None:
    hessian = quadratic(torch.float32)
    assert hessian.dtype == torch.float32
    assert hessian.matvec(torch.ones(3, dtype=torch.float64)).dtype == torch.float64
    assert hessian.matmat(torch.ones(3, 2, dtype=torch.float64)).dtype == torch.float64
    assert hessian.dense().dtype == torch.float32


def test_the_dense_matrix_is_exactly_symmetric_and_in_blocks() -> None:
    hessian = network()
    matrix = hessian.dense()
    assert torch.equal(matrix, matrix.T)
    vector = torch.linspace(-1.0, 1.0, hessian.shape[0], dtype=torch.float64)
    torch.testing.assert_close(matrix @ vector, hessian.matvec(vector), rtol=1e-11, atol=1e-13)


def test_a_dense_matrix_too_large_is_refused_before_any_product() -> None:
    hessian = network()
    with pytest.raises(InputError, match=r"dense matrix of 83 parameters takes 0\.1 MiB, more than"):
        hessian.dense(max_bytes=83 * 83 * 8 - 1)
    assert hessian.num_products == 0
    assert hessian.dense(max_bytes=83 * 83 * 8).shape == (83, 83)


def test_both_ends_of_the_spectrum_agree_with_the_dense_matrix() -> None:
    hessian = network()
    spectrum = torch.linalg.eigvalsh(hessian.dense())
    assert spectrum[0] < -1e-3
    before = hessian.num_products
    ends = hessian.extreme_eigenpairs(num_steps=60, num_starts=2, seed=1)
    assert hessian.num_products - before == ends.num_products == 122
    assert ends.status == "converged"
    assert ends.smallest.value == pytest.approx(float(spectrum[0]), rel=1e-9)
    assert ends.largest.value == pytest.approx(float(spectrum[-1]), rel=1e-9)
    # An objective in float32 is good for the large end only to float32.
    assert quadratic(torch.float32).extreme_eigenpairs(num_steps=3).smallest.value == pytest.approx(
        float(torch.linalg.eigvalsh(MATRIX)[0]), rel=1e-5
    )


def test_a_lower_bound_with_its_failure_probability() -> None:
    hessian = network()
    truth = float(torch.linalg.eigvalsh(hessian.dense())[0])
    short = hessian.extreme_eigenpairs(num_steps=40, num_starts=2)
    assert -10.0 < short.lower_bound(1e-3) < truth
    assert short.lower_bound(1e-6) < short.lower_bound(1e-3)
    whole = hessian.extreme_eigenpairs(num_steps=83, num_starts=1)
    assert whole.lower_bound(1e-6) == whole.smallest.value == pytest.approx(truth, abs=1e-10)


def test_trace_and_density_agree_with_the_dense_matrix() -> None:
    hessian = network()
    eigenvalues = torch.linalg.eigvalsh(hessian.dense())
    estimate = hessian.trace(num_products=60)
    assert estimate.standard_error < 0.2 * float(eigenvalues.abs().sum())
    assert abs(estimate.value - float(eigenvalues.sum())) < 4.0 * estimate.standard_error
    density = hessian.spectral_density(num_steps=40, num_starts=20)
    negative = density.mean_of(lambda nodes: (nodes < -1e-3).astype(float))
    truth = float((eigenvalues < -1e-3).double().mean())
    assert abs(negative.value - truth) < 4.0 * negative.standard_error


def test_scipy_finds_the_same_ends() -> None:
    hessian = network()
    spectrum = torch.linalg.eigvalsh(hessian.dense())
    operator = hessian.to_scipy()
    assert operator.shape == (83, 83)
    assert operator.dtype == np.float64
    start = np.ones(83)
    low, high = scipy.sparse.linalg.eigsh(operator, k=2, which="BE", v0=start, return_eigenvectors=False)
    assert low == pytest.approx(float(spectrum[0]), rel=1e-8)
    assert high == pytest.approx(float(spectrum[-1]), rel=1e-8)
    block = np.eye(83)[:, :3]
    np.testing.assert_allclose(operator @ block, hessian.dense().numpy()[:, :3], rtol=1e-10, atol=1e-13)
    np.testing.assert_allclose(operator.T @ start, operator @ start)


def test_wrong_shapes_are_refused() -> None:
    hessian = quadratic()
    with pytest.raises(ShapeError, match=r"expected a vector of shape \(3,\), got \(1, 3\)"):
        hessian.matvec(torch.ones(1, 3))
    with pytest.raises(ShapeError, match=r"expected a matrix of shape \(3, k\), got \(3,\)"):
        hessian.matmat(torch.ones(3))
    with pytest.raises(ShapeError, match=r"\(k, 3\), got \(3, 2\)"):
        hessian.matmat(torch.ones(2, 3))
    assert hessian.num_products == 0
