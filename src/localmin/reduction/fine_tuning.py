"""A short descent of the regularised loss from a given network."""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from localmin.reduction.homogeneous_network import HomogeneousNetwork

__all__ = ["fine_tuned"]


def fine_tuned(
    network: HomogeneousNetwork,
    points: Float[Tensor, "n inputs"],
    loss: Callable[[Tensor], Tensor],
    penalty: float,
    num_steps: int,
) -> HomogeneousNetwork:
    """Lower ``loss + penalty * squared norm`` by L-BFGS on all points.

    Args:
        network: In float64; any activations that `HomogeneousNetwork` knows.
        points: Float64 rows.
        loss: Maps the outputs to a scalar.
        penalty: Factor of the squared norm.
        num_steps: Limit on iterations.

    Returns:
        The network that was reached; never worse than the one given.
    """
    parts = [part for part in (*network.weights, *network.biases) if part is not None]
    leaves = [part.detach().clone().requires_grad_(True) for part in parts]

    def current() -> HomogeneousNetwork:
        left = iter(leaves)
        weights = tuple(next(left) for _ in network.weights)
        biases = tuple(None if bias is None else next(left) for bias in network.biases)
        return HomogeneousNetwork(weights, biases, network.negative_slopes)

    def regularized() -> Tensor:
        squares = torch.stack([leaf.square().sum() for leaf in leaves]).sum()
        value: Tensor = loss(current()(points)) + penalty * squares
        return value

    optimizer = torch.optim.LBFGS(
        leaves,
        max_iter=num_steps,
        history_size=20,
        tolerance_grad=1e-10,
        tolerance_change=1e-14,
        line_search_fn="strong_wolfe",
    )

    def closure() -> Tensor:
        optimizer.zero_grad()
        value = regularized()
        value.backward()  # type: ignore[no-untyped-call]
        return value

    before = float(regularized().detach())
    optimizer.step(closure)  # type: ignore[no-untyped-call]
    if not float(regularized().detach()) < before:
        return network
    for leaf in leaves:
        leaf.requires_grad_(False)
    return current()
