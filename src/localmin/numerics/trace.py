"""The trace of a symmetric operator from a few products with random vectors, with an error bar."""

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from localmin.errors import InputError
from localmin.numerics.lanczos import MatrixVectorProduct
from localmin.numerics.random_draws import as_generator, random_signs

__all__ = ["TraceEstimate", "estimate_trace"]

_FEWEST_PRODUCTS = {"hutchinson": 2, "hutch++": 6}


@dataclass(frozen=True)
class TraceEstimate:
    """An unbiased estimate of a trace.

    Args:
        value: The estimate.
        standard_error: Estimated standard deviation of ``value`` over the random vectors; 0 where exact.
        method: "hutchinson", "hutch++", or "exact" where the budget covered all coordinates.
        num_products: Products with the operator.
    """

    value: float
    standard_error: float
    method: Literal["hutchinson", "hutch++", "exact"]
    num_products: int

    def to_dict(self) -> dict[str, Any]:
        """Convert to plain values."""
        return asdict(self)


def estimate_trace(
    product: MatrixVectorProduct,
    size: int,
    *,
    num_products: int = 60,
    method: Literal["hutchinson", "hutch++"] = "hutch++",
    seed: int | torch.Generator = 0,
    device: torch.device | None = None,
) -> TraceEstimate:
    """Estimate ``tr H = E[zᵀ H z]`` over vectors ``z`` of random signs.

    Hutchinson's estimator averages ``zᵀ H z``. Hutch++ spends a third of the products on a random basis ``Q``
    of the dominant eigenspace, a third on the exact trace there, and the rest on Hutchinson's estimator
    for what is orthogonal to ``Q``: much more accurate where few eigenvalues dominate, as for Hessians of
    networks. With a budget of at least ``n`` the trace is summed exactly over the coordinates.

    Args:
        product: Maps a float64 vector ``(n,)`` to ``H v`` of the same kind, for a symmetric ``H``.
        size: Dimension ``n``, at least 1.
        num_products: Budget; at least 2 for "hutchinson", 6 for "hutch++".
        method: The estimator.
        seed: Integer or CPU generator.
        device: Where the vectors live; the CPU by default.

    Returns:
        The estimate. The standard error is itself estimated from the samples, of which there are a third of
        the budget for "hutch++".

    Raises:
        InputError: If the method is not known, or the budget too small.

    Source:
        Hutchinson 1990; Hutch++ after Meyer, Musco, Musco and Woodruff 2021 (from memory). That the error bar
        comes from the spread of the samples is our choice.

    Cost:
        At most ``num_products`` products, ``8 n num_products / 3`` bytes for "hutch++". Deterministic for a
        seed.

    Example:
        >>> diagonal = torch.tensor([1.0, -2.0, 5.0], dtype=torch.float64)
        >>> estimate_trace(lambda v: diagonal * v, 3)
        TraceEstimate(value=4.0, standard_error=0.0, method='exact', num_products=3)
    """
    if method not in _FEWEST_PRODUCTS:
        raise InputError(f"expected method 'hutchinson' or 'hutch++', got {method!r}")
    if size < 1 or num_products < _FEWEST_PRODUCTS[method]:
        raise InputError(
            f"expected size >= 1 and num_products >= {_FEWEST_PRODUCTS[method]} for {method}, got {size} and "
            f"{num_products}"
        )
    generator = as_generator(seed)
    if num_products >= size:
        units = torch.eye(size, dtype=torch.float64, device=device)
        return TraceEstimate(sum(float(unit @ product(unit)) for unit in units), 0.0, "exact", size)
    if method == "hutchinson":
        samples = _samples(product, size, num_products, None, generator, device)
        return TraceEstimate(float(samples.mean()), _standard_error(samples), "hutchinson", num_products)
    rank = num_products // 3
    sketch = torch.stack([product(random_signs(size, generator, device=device)) for _ in range(rank)], dim=1)
    basis = torch.linalg.qr(sketch)[0]
    within = sum(float(column @ product(column)) for column in basis.mT)
    samples = _samples(product, size, num_products - 2 * rank, basis, generator, device)
    value = within + float(samples.mean())
    return TraceEstimate(value, _standard_error(samples), "hutch++", num_products)


def _samples(
    product: MatrixVectorProduct,
    size: int,
    count: int,
    basis: Float[Tensor, "n k"] | None,
    generator: torch.Generator,
    device: torch.device | None,
) -> Float[Tensor, " count"]:
    samples = []
    for _ in range(count):
        vector = random_signs(size, generator, device=device)
        if basis is not None:
            vector = vector - basis @ (basis.mT @ vector)
        samples.append(float(vector @ product(vector)))
    return torch.tensor(samples, dtype=torch.float64)


def _standard_error(samples: Tensor) -> float:
    return float(samples.std()) / math.sqrt(len(samples))
