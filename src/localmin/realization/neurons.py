"""Networks with at most one hidden layer as a list of neurons and an affine part, in float64.

Everything here works in *lifted* coordinates ``(x, 1)``: a hidden bias is one more coordinate of a
direction, and an output bias is the last column of the affine part.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from localmin.errors import InputError, ShapeError
from localmin.networks import ReLUNetwork

__all__ = ["Neurons", "as_network", "difference", "lifted_rows", "read_neurons", "row_lengths", "to_network"]


@dataclass(frozen=True, eq=False)
class Neurons:
    """Hold ``f(x) = sum_i c_i relu(<a_i, (x, 1)>) + L (x, 1)``.

    Args:
        directions: Rows ``a_i = (w_i, b_i)``, shape ``(m, d + 1)``, float64.
        outputs: Rows ``c_i``, shape ``(m, D)``, float64.
        affine: ``L``, shape ``(D, d + 1)``, float64.
        has_biases: False if the network has no bias at all; then the last column of ``directions`` and of
            ``affine`` is zero.
    """

    directions: Float[Tensor, "m lifted"]
    outputs: Float[Tensor, "m outputs"]
    affine: Float[Tensor, "outputs lifted"]
    has_biases: bool

    @property
    def num_inputs(self) -> int:
        """Input dimension ``d``."""
        return self.affine.shape[1] - 1

    @property
    def num_outputs(self) -> int:
        """Output dimension ``D``."""
        return self.affine.shape[0]

    @property
    def masses(self) -> Float[Tensor, " m"]:
        """Size ``max|c_i| * norm(a_i)`` of each neuron; no rescaling changes it."""
        if self.outputs.numel() == 0:
            return self.outputs.new_zeros(len(self.outputs))
        return self.outputs.abs().amax(dim=1) * row_lengths(self.directions)

    @property
    def scale(self) -> float:
        """Bound ``S`` with ``max|f(x)| <= S norm((x, 1))``; the unit of relative tolerances."""
        affine = torch.linalg.vector_norm(self.affine, dim=1)
        return float(self.masses.sum()) + float(affine.max() if affine.numel() else 0.0)

    def __call__(self, x: Float[Tensor, "n d"]) -> Float[Tensor, "n outputs"]:
        """Evaluate on rows."""
        rows = lifted_rows(x)
        values: Tensor = torch.relu(rows @ self.directions.T) @ self.outputs + rows @ self.affine.T
        return values


def as_network(network: ReLUNetwork | nn.Module) -> ReLUNetwork:
    """Read a module as a network; hand a network through.

    Args:
        network: A `ReLUNetwork`, or a module that `ReLUNetwork.from_module` can read.

    Returns:
        The network.

    Raises:
        InputError: If it is neither, or a layer of the module cannot be read.
    """
    if isinstance(network, ReLUNetwork):
        return network
    if isinstance(network, nn.Module):
        return ReLUNetwork.from_module(network)
    raise InputError(f"expected a ReLUNetwork or a torch module, got {type(network).__name__}")


def read_neurons(network: ReLUNetwork | nn.Module) -> Neurons:
    """Read the neurons of a network with at most one hidden layer.

    Args:
        network: Affine (one layer) or with one hidden layer; with or without biases.

    Returns:
        The same function, detached, in float64 on the CPU.

    Raises:
        InputError: If the network is deeper.
    """
    network = as_network(network)
    if network.depth > 2:
        raise InputError(
            f"expected at most one hidden layer, got widths {network.widths}; for deeper networks only "
            "same_function, symmetry_normal_form, align and loss_along_path are available"
        )
    network = network.to(dtype=torch.float64, device="cpu")
    weights = [weight.detach() for weight in network.weights]
    biases = [bias.detach() for bias in network.bias_vectors]
    num_outputs = weights[-1].shape[0]
    if network.depth == 1:
        directions = weights[0].new_zeros(0, weights[0].shape[1] + 1)
        outputs = weights[0].new_zeros(0, num_outputs)
        affine = torch.cat([weights[0], biases[0][:, None]], dim=1)
    else:
        directions = torch.cat([weights[0], biases[0][:, None]], dim=1)
        outputs = weights[1].T.contiguous()
        affine = torch.cat(
            [weights[0].new_zeros(num_outputs, weights[0].shape[1]), biases[1][:, None]], dim=1
        )
    return Neurons(directions, outputs, affine, network.biases is not None)


def to_network(neurons: Neurons) -> ReLUNetwork:
    """Build the network of neurons whose affine part is a constant.

    Args:
        neurons: Neurons with a zero linear part (all columns of ``affine`` but the last).

    Returns:
        Two-layer network in float64; both biases exist exactly if ``neurons.has_biases``.
    """
    weights = (neurons.directions[:, :-1].contiguous(), neurons.outputs.T.contiguous())
    if not neurons.has_biases:
        return ReLUNetwork(weights)
    return ReLUNetwork(weights, (neurons.directions[:, -1].contiguous(), neurons.affine[:, -1].contiguous()))


def difference(a: Neurons, b: Neurons) -> Neurons:
    """Build the neurons of ``f_a - f_b``.

    Args:
        a: First function.
        b: Second function.

    Returns:
        The neurons of both, those of ``b`` with the sign changed.

    Raises:
        ShapeError: If input or output sizes differ.
    """
    if (a.num_inputs, a.num_outputs) != (b.num_inputs, b.num_outputs):
        raise ShapeError(
            "expected two networks with the same input and output sizes, got "
            f"{a.num_inputs} -> {a.num_outputs} and {b.num_inputs} -> {b.num_outputs}"
        )
    return Neurons(
        torch.cat([a.directions, b.directions]),
        torch.cat([a.outputs, -b.outputs]),
        a.affine - b.affine,
        a.has_biases or b.has_biases,
    )


def row_lengths(rows: Float[Tensor, "n d"]) -> Float[Tensor, " n"]:
    """Compute the Euclidean norm of each row, safe for entries whose squares overflow or vanish.

    Args:
        rows: Shape ``(n, d)``.

    Returns:
        Shape ``(n,)``.

    Example:
        >>> row_lengths(torch.tensor([[3e-200, 4e-200], [0.0, 0.0]], dtype=torch.float64)).tolist()
        [5e-200, 0.0]
    """
    if rows.numel() == 0:
        return rows.new_zeros(len(rows))
    largest = rows.abs().amax(dim=1)
    safe = torch.where(largest > 0, largest, 1.0)
    lengths: Tensor = torch.linalg.vector_norm(rows / safe[:, None], dim=1) * largest
    return lengths


def lifted_rows(x: Float[Tensor, "n d"]) -> Float[Tensor, "n lifted"]:
    """Append the coordinate 1 to each row.

    Args:
        x: Rows, shape ``(n, d)``.

    Returns:
        Shape ``(n, d + 1)``.
    """
    return torch.cat([x, x.new_ones(len(x), 1)], dim=1)
