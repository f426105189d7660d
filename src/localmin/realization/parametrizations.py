"""All parametrisations of a function with one neuron for each kink."""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from localmin.errors import InputError
from localmin.networks import ReLUNetwork
from localmin.realization.invariants import Invariants, default_tolerance, invariants
from localmin.realization.neurons import as_network

__all__ = ["all_parametrizations", "orientations_of"]

_MAX_FREE_SIGNS = 20
_BATCH = 1 << 14
_MATCH_TOLERANCE_RELATIVE = 1e-9


def all_parametrizations(network: ReLUNetwork | nn.Module) -> list[ReLUNetwork]:
    """List all two-layer networks of the same function with one neuron for each kink.

    Up to permutation and positive scaling these are finitely many: each kink is carried by one neuron of
    either orientation, and the orientations must add up to the linear part. An output bias, if the
    network has one, takes the constant.

    Args:
        network: One hidden layer. Its own number of neurons does not matter.

    Returns:
        Balanced networks in float64, one for each admissible choice of orientations. Empty if the function
        needs more neurons than it has kinks.

    Raises:
        InputError: If too many orientations would have to be tried.

    Source:
        Derived here.

    Example:
        >>> first = torch.tensor([[-1.0, 0.0], [0.0, -1.0], [1.0, 1.0]], dtype=torch.float64)
        >>> star = ReLUNetwork([first, torch.ones(1, 3, dtype=torch.float64)])
        >>> [found.weights[0].sum(dim=0).tolist() for found in all_parametrizations(star)]
        [[0.0, 0.0], [0.0, 0.0]]
    """
    network = as_network(network)
    if network.depth != 2:
        raise InputError(f"expected one hidden layer, got widths {network.widths}")
    tolerance = default_tolerance(network)
    found = invariants(network, tolerance_relative=tolerance)
    has_bias = network.biases is not None
    networks = []
    for signs in orientations_of(found, has_output_bias=has_bias):
        directions, outputs, bias = oriented_neurons(found, signs)
        inner = directions.abs().amax(dim=1, keepdim=True)
        factor = (outputs.abs().amax(dim=1, keepdim=True) / inner).sqrt()
        weights = [(directions * factor)[:, :-1].contiguous(), (outputs / factor).T.contiguous()]
        biases = [(directions * factor)[:, -1].contiguous(), bias] if has_bias else None
        networks.append(ReLUNetwork(weights, biases))
    return networks


def oriented_neurons(
    found: Invariants, signs: Float[Tensor, " K"]
) -> tuple[Float[Tensor, "K lifted"], Float[Tensor, "K outputs"], Float[Tensor, " outputs"]]:
    """Build directions, outputs and output bias of the parametrisation with these orientations.

    Args:
        found: Invariants.
        signs: One sign for each kink.

    Returns:
        ``sigma_h (h, beta_h)``, ``v_h`` and the constant that is left.
    """
    directions = found.lifted_normals * signs[:, None]
    bias = (found.constant - found.jumps.T @ directions[:, -1]) / 2
    return directions, found.jumps, bias


def orientations_of(found: Invariants, *, has_output_bias: bool) -> list[Float[Tensor, " K"]]:
    """List the sign vectors with ``sum_h sigma_h v_h hᵀ = linear``.

    As many signs as the rank of the jump matrices follow from the others, so ``2 ** (K - rank)`` choices
    are tried.

    Args:
        found: Invariants.
        has_output_bias: If False, the constants have to add up too.

    Returns:
        Sign vectors, shape ``(K,)`` each.

    Raises:
        InputError: If more than 20 signs stay free.
    """
    lifted = found.normals if has_output_bias else found.lifted_normals
    target = found.linear if has_output_bias else torch.cat([found.linear, found.constant[:, None]], dim=1)
    matrix = torch.einsum("ko,kd->odk", found.jumps, lifted).flatten(0, 1)
    goal = target.flatten()
    size = float(matrix.abs().sum() + goal.abs().sum())
    tolerance = _MATCH_TOLERANCE_RELATIVE * max(size, 1e-300)
    pivots, free = _split_columns(matrix)
    if len(free) > _MAX_FREE_SIGNS:
        raise InputError(
            f"expected at most {_MAX_FREE_SIGNS} orientations that do not follow from the others, got "
            f"{len(free)}: {2 ** len(free)} choices to try. nearest_parametrization gives bounds instead"
        )
    inverse = torch.linalg.pinv(matrix[:, pivots])
    answers = []
    # In batches: a million choices of twenty signs for every entry would not fit.
    for start in range(0, 2 ** len(free), _BATCH):
        codes = torch.arange(start, min(start + _BATCH, 2 ** len(free)))
        free_signs = 1.0 - 2.0 * (codes[:, None] >> torch.arange(len(free)) & 1).to(torch.float64)
        rest = goal[:, None] - matrix[:, free] @ free_signs.T
        rounded = torch.where(inverse @ rest < 0, -1.0, 1.0).to(torch.float64)
        misfit = rest - matrix[:, pivots] @ rounded
        is_match = misfit.abs().amax(dim=0) <= tolerance if len(goal) else torch.ones(len(codes)) > 0
        for index in torch.nonzero(is_match)[:, 0].tolist():
            signs = torch.empty(found.num_kinks, dtype=torch.float64)
            signs[free], signs[pivots] = free_signs[index], rounded[:, index]
            answers.append(signs)
    return answers


def _split_columns(matrix: Tensor) -> tuple[list[int], list[int]]:
    # Greedy choice of independent columns; the rest are free.
    pivots: list[int] = []
    residual = matrix.clone()
    norms = torch.linalg.vector_norm(matrix, dim=0)
    for column in range(matrix.shape[1]):
        vector = residual[:, column]
        length = float(torch.linalg.vector_norm(vector))
        if length > 1e-7 * float(norms[column]) and not math.isclose(length, 0.0):
            unit = vector / length
            residual = residual - torch.outer(unit, unit @ residual)
            pivots.append(column)
    return pivots, [column for column in range(matrix.shape[1]) if column not in pivots]
