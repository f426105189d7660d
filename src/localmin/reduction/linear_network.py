"""The smallest norm of a deep linear network in closed form."""

import torch
from jaxtyping import Float
from torch import Tensor

from localmin.errors import InputError, ShapeError
from localmin.networks import DeepLinear

__all__ = ["minimal_linear_network"]


def minimal_linear_network(
    x: Float[Tensor, "n inputs"], y: Float[Tensor, "n outputs"], depth: int
) -> DeepLinear:
    """Build the deep linear network of least squared norm that maps ``x`` to ``y``.

    With ``M = Yᵀ (Xᵀ)^+ = U S Vᵀ`` every layer has the singular values ``S^{1/L}``, and the squared norm is
    ``L sum_i s_i^{2/L}``.

    Args:
        x: Inputs, shape ``(n, n_0)``.
        y: Targets in the range of x, shape ``(n, n_L)``.
        depth: Number ``L`` of layers, at least 1.

    Returns:
        Network with hidden widths equal to the rank of M, in float64.

    Raises:
        ShapeError: If ``x`` and ``y`` are not matrices with the same number of rows.
        InputError: If the depth is below 1 or no linear map takes ``x`` to ``y``.

    Source:
        Jacot et al. 2022, deep linear example, whose formula ``Z_L^{l/L} X^{1-l/L}`` has fitting dimensions
        in special cases only; the version with singular values is derived here.

    Example:
        >>> network = minimal_linear_network(torch.eye(2), 8 * torch.eye(2), 3)
        >>> round(network.squared_norm.item(), 9)
        24.0
    """
    if x.ndim != 2 or y.ndim != 2 or x.shape[0] != y.shape[0]:
        raise ShapeError(f"expected x (n, n_0) and y (n, n_L), got {tuple(x.shape)} and {tuple(y.shape)}")
    if depth < 1:
        raise InputError(f"expected a depth of at least 1, got {depth}")
    inputs, targets = x.double(), y.double()
    product = (torch.linalg.pinv(inputs, rtol=1e-11) @ targets).T
    if float((inputs @ product.T - targets).norm()) > 1e-9 * max(float(targets.norm()), 1e-300):
        raise InputError("no linear map takes x to y: y is not in the column space of x")
    if depth == 1:
        return DeepLinear([product])
    left, values, right = torch.linalg.svd(product, full_matrices=False)
    rank = max(int((values > 1e-11 * values[:1]).sum()), 1)
    root = values[:rank] ** (1.0 / depth)
    middle = [torch.diag(root) for _ in range(depth - 2)]
    return DeepLinear([root[:, None] * right[:rank], *middle, left[:, :rank] * root])
