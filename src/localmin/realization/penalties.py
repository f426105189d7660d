"""Penalties that pull towards the restricted space during training, and the exact step into balance."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from localmin.errors import InputError, ShapeError
from localmin.networks.modules import linear_modules
from localmin.realization.group_sums import sum_groups
from localmin.realization.neurons import row_lengths
from localmin.realization.normal_form import balanced
from localmin.realization.row_clusters import cluster_rows

__all__ = [
    "balance_penalty",
    "half_space_penalty",
    "opposite_penalty",
    "parallel_penalty",
    "project_module",
]


def balance_penalty(directions: Float[Tensor, "m d"], outputs: Float[Tensor, "D m"]) -> Float[Tensor, ""]:
    """Compute ``sum_i (max|a_i| - max|c_i|)^2``.

    Args:
        directions: Weight of the first layer.
        outputs: Weight of the second layer.

    Returns:
        Differentiable scalar, zero for a balanced network.

    Raises:
        ShapeError: If the numbers of neurons differ.

    Source:
        Choice of this project; the regulariser of [berner2019] is not known to us.

    Example:
        >>> balance_penalty(torch.tensor([[3.0, -4.0]]), torch.tensor([[1.0]])).item()
        9.0
    """
    if directions.shape[0] != outputs.shape[1]:
        raise ShapeError(
            f"expected directions (m, d) and outputs (D, m), got {tuple(directions.shape)} and "
            f"{tuple(outputs.shape)}"
        )
    return (directions.abs().amax(dim=1) - outputs.abs().amax(dim=0)).square().sum()


def parallel_penalty(directions: Float[Tensor, "m d"], *, margin: float = 0.01) -> Float[Tensor, ""]:
    """Compute ``sum_{i<j} max(0, cos(a_i, a_j) - (1 - margin))^2``.

    Args:
        directions: Weight of the first layer.
        margin: Cosines above ``1 - margin`` cost.

    Returns:
        Differentiable scalar, zero if no two directions are nearly equal.

    Source:
        Choice of this project.

    Cost:
        ``O(m^2 d)``.

    Example:
        >>> round(parallel_penalty(torch.tensor([[1.0, 0.0], [2.0, 0.0]]), margin=0.1).item(), 6)
        0.01
    """
    return _excess(_cosines(directions), margin)


def opposite_penalty(directions: Float[Tensor, "m d"], *, margin: float = 0.01) -> Float[Tensor, ""]:
    """Compute ``sum_{i<j} max(0, -cos(a_i, a_j) - (1 - margin))^2``.

    Args:
        directions: Weight of the first layer.
        margin: Cosines below ``-(1 - margin)`` cost.

    Returns:
        Differentiable scalar, zero if no two directions are nearly opposite.

    Source:
        Choice of this project.

    Cost:
        ``O(m^2 d)``.

    Example:
        >>> round(opposite_penalty(torch.tensor([[1.0, 0.0], [-2.0, 0.0]]), margin=0.1).item(), 6)
        0.01
    """
    return _excess(-_cosines(directions), margin)


def half_space_penalty(directions: Float[Tensor, "m d"], *, margin: float = 0.01) -> Float[Tensor, ""]:
    """Compute ``sum_i sum_{last two k} max(0, margin - a_ik / norm(a_i))^2``.

    Args:
        directions: Weight of the first layer, at least two inputs.
        margin: How far inside the half-space a direction has to be.

    Returns:
        Differentiable scalar, zero if the last two coordinates of all directions are large enough.

    Raises:
        InputError: If there are fewer than two inputs.

    Source:
        Choice of this project.

    Example:
        >>> half_space_penalty(torch.tensor([[0.0, -1.0, 0.0]]), margin=0.5).item()
        2.5
    """
    if directions.shape[1] < 2:
        raise InputError(f"expected at least two inputs, got {directions.shape[1]}")
    return torch.relu(margin - _units(directions)[:, -2:]).square().sum()


@torch.no_grad()
def project_module(module: nn.Module, *, merge_tolerance_relative: float | None = None) -> float:
    """Balance the hidden neurons of a two-layer module in place, and merge parallel ones if asked to.

    To be called after an optimiser step. The function stays what it is, up to rounding and, with merging,
    up to the tolerance. Neurons stay in their places, so that the state of the optimiser still fits them.
    Neurons of zero weight or zero output become zero in both, and so do those that were merged into
    another one; they then stay zero: do not project before the first step if the output layer starts at
    zero.

    Args:
        module: Readable by `ReLUNetwork.from_module`, one hidden layer. Only its parameters change.
        merge_tolerance_relative: Distance of unit directions (bias included) up to which a neuron goes into
            the first one of its direction. None merges nothing.

    Returns:
        Largest change of a parameter.

    Raises:
        InputError: If the module cannot be read or has not exactly one hidden layer.

    Example:
        >>> module = nn.Sequential(nn.Linear(1, 1, bias=False), nn.ReLU(), nn.Linear(1, 1, bias=False))
        >>> for layer, value in ((module[0], 4.0), (module[2], 1.0)):
        ...     _ = layer.weight.data.fill_(value)
        >>> project_module(module), module[0].weight.item(), module[2].weight.item()
        (2.0, 2.0, 2.0)
    """
    first, second = _two_layers(module)
    rows = first.weight if first.bias is None else torch.cat([first.weight, first.bias[:, None]], dim=1)
    directions, outputs = rows.to(torch.float64), second.weight.T.to(torch.float64)
    if merge_tolerance_relative is not None:
        directions, outputs = _merged(directions, outputs, merge_tolerance_relative)
    directions, outputs = balanced(directions, outputs)
    num_inputs = first.weight.shape[1]
    new = [(first.weight, directions[:, :num_inputs]), (second.weight, outputs.T)]
    if first.bias is not None:
        new.append((first.bias, directions[:, num_inputs]))
    change = max((float((old - value).abs().max()) for old, value in new if old.numel()), default=0.0)
    for old, value in new:
        old.copy_(value)
    return change


def _two_layers(module: nn.Module) -> tuple[nn.Linear, nn.Linear]:
    layers = linear_modules(module)
    if len(layers) != 2:
        raise InputError(f"expected a module with one hidden layer, got {len(layers)} linear layers")
    if layers[0] is layers[1]:
        raise InputError("expected two linear layers, got one that is used twice; it cannot be balanced")
    return layers[0], layers[1]


def _merged(directions: Tensor, outputs: Tensor, tolerance: float) -> tuple[Tensor, Tensor]:
    """Add the outputs of equally directed neurons to the first of them; the others become zero."""
    if not tolerance >= 0.0:
        raise InputError(f"expected merge_tolerance_relative >= 0, got {tolerance}")
    lengths = row_lengths(directions)
    live = torch.nonzero((lengths > 0) & (outputs != 0).any(dim=1))[:, 0]
    units = directions[live] / lengths[live, None]
    _, labels = torch.unique(cluster_rows(units, tolerance), return_inverse=True)
    num_groups = int(labels.max()) + 1 if labels.numel() else 0
    # The first neuron of each group keeps its place.
    places = torch.full((num_groups,), len(directions)).scatter_reduce_(0, labels, live, "amin")
    new_directions, new_outputs = torch.zeros_like(directions), torch.zeros_like(outputs)
    new_directions[places] = directions[places]
    sums = sum_groups(outputs[live] * lengths[live, None], labels, num_groups)
    new_outputs[places] = sums / lengths[places, None]
    return new_directions, new_outputs


def _units(directions: Tensor) -> Tensor:
    return torch.nn.functional.normalize(directions, dim=1)


def _cosines(directions: Tensor) -> Tensor:
    units = _units(directions)
    return units @ units.T


def _excess(cosines: Tensor, margin: float) -> Tensor:
    return torch.relu(cosines - (1.0 - margin)).triu(diagonal=1).square().sum()
