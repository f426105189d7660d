"""Permutation and positive scaling of hidden neurons in networks of any depth, removed layer by layer."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from localmin.networks import ReLUNetwork
from localmin.realization.invariants import default_tolerance
from localmin.realization.neurons import as_network
from localmin.realization.row_clusters import cluster_rows

__all__ = ["compare_deep", "deep_magnitude", "symmetry_normal_form"]


def symmetry_normal_form(
    network: ReLUNetwork | nn.Module, *, tolerance_relative: float | None = None
) -> ReLUNetwork:
    """Normalise a network of any depth up to permutation and positive scaling of its hidden neurons.

    From the first hidden layer to the last, each neuron's incoming weights and bias get Euclidean norm
    1, its outgoing weights take up the factor, and the neurons of the layer are sorted. Neurons without
    any incoming or any outgoing weight are dropped. Parallel neurons are not merged.

    Args:
        network: Any depth, with or without biases.
        tolerance_relative: Entries of unit rows closer than this count as equal when sorting. By default
            256 roundings of the network's dtype.

    Returns:
        The same function up to rounding, float64.

    Source:
        Derived here.

    Cost:
        A few sorts for each layer, memory linear in the network.

    Example:
        >>> weights = torch.tensor([[3.0], [-1.0]]), torch.tensor([[1.0, 2.0]])
        >>> [weight.tolist() for weight in symmetry_normal_form(ReLUNetwork(weights)).weights]
        [[[-1.0], [1.0]], [[2.0, 3.0]]]
    """
    tolerance = default_tolerance(network) if tolerance_relative is None else tolerance_relative
    network = as_network(network).to(dtype=torch.float64, device="cpu")
    weights = [weight.detach().clone() for weight in network.weights]
    biases = [bias.detach().clone() for bias in network.bias_vectors]
    for layer in range(network.depth - 1):
        rows = torch.cat([weights[layer], biases[layer][:, None]], dim=1)
        sizes = torch.linalg.vector_norm(rows, dim=1)
        is_live = (sizes > 0) & (weights[layer + 1] != 0).any(dim=0)
        rows, sizes = rows[is_live] / sizes[is_live, None], sizes[is_live]
        outgoing = weights[layer + 1][:, is_live] * sizes
        order = torch.argsort(cluster_rows(rows, tolerance), stable=True)
        weights[layer], biases[layer] = rows[order, :-1].contiguous(), rows[order, -1].contiguous()
        weights[layer + 1] = outgoing[:, order].contiguous()
    return ReLUNetwork(weights, None if network.biases is None else biases)


def compare_deep(a: ReLUNetwork, b: ReLUNetwork) -> float:
    """Bound the difference of two networks relative to `deep_magnitude`, by matching normal forms.

    If every weight and bias of two networks of one architecture agrees up to the relative error ``e``,
    their outputs agree up to ``((1 + e)**depth - 1)`` times the magnitude, because taking absolute values
    everywhere turns the error terms into an upper bound (derived here).

    Args:
        a: First network.
        b: Second network.

    Returns:
        Upper bound over all inputs; infinity if the normal forms do not have the same shape.
    """
    tolerance = default_tolerance(a, b)
    first = symmetry_normal_form(a, tolerance_relative=tolerance)
    second = symmetry_normal_form(b, tolerance_relative=tolerance)
    if first.widths != second.widths:
        return float("inf")
    error = 0.0
    mine, yours = (*first.weights, *first.bias_vectors), (*second.weights, *second.bias_vectors)
    for x, y in zip(mine, yours, strict=True):
        size = torch.maximum(x.abs(), y.abs())
        relative = (x - y).abs() / torch.where(size > 0, size, 1.0)
        error = max(error, float(relative.max()) if relative.numel() else 0.0)
    if error >= 0.5:
        return float("inf")
    # Normalising rounds each entry a few times in both networks.
    error = error / (1.0 - error) + 8 * torch.finfo(torch.float64).eps
    return float((1.0 + error) ** first.depth - 1.0)


def deep_magnitude(network: ReLUNetwork, x: Float[Tensor, "n d"]) -> Float[Tensor, " n"]:
    """Evaluate a network with every weight, bias and input replaced by its absolute value.

    No permutation or positive scaling changes it, and the rounding error of an evaluation is a small
    multiple of it.

    Args:
        network: Any depth.
        x: Rows, float64.

    Returns:
        The largest output for each row.
    """
    network = network.to(dtype=torch.float64, device="cpu")
    values = x.abs()
    for weight, bias in zip(network.weights, network.bias_vectors, strict=True):
        values = values @ weight.detach().abs().T + bias.detach().abs()
    return values.amax(dim=1)
