"""The complete invariants of a two-layer ReLU function: its kinks and its affine part."""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from localmin.errors import InputError
from localmin.networks import ReLUNetwork
from localmin.realization.group_sums import SUM_ROUNDINGS, product_of_neurons, sum_groups
from localmin.realization.neurons import Neurons, lifted_rows, read_neurons, row_lengths
from localmin.realization.row_clusters import cluster_rows

__all__ = ["Invariants", "default_tolerance", "invariants", "invariants_of"]

# Rounding of a rescaled or merged network is a few units in the last place; 256 of them leave room for sums.
_TOLERANCE_IN_ROUNDINGS = 256


@dataclass(frozen=True, eq=False)
class Invariants:
    """Hold ``f(x) = 1/2 sum_h v_h |<h, x> + beta_h| + 1/2 (linear x + constant)``.

    Two functions are equal exactly if these data are equal: the second difference across a hyperplane
    isolates its ``v_h``, and what remains is affine.

    Args:
        normals: Unit normals ``h``, shape ``(K, d)``, the last coordinate that is not zero positive.
        offsets: ``beta_h``, shape ``(K,)``, in units of the input.
        jumps: ``v_h``, shape ``(K, D)``: the gradient jumps by ``v_h hᵀ`` across the hyperplane.
        linear: Shape ``(D, d)``.
        constant: Shape ``(D,)``.
        residual: Bound of the error made by merging nearly parallel neurons, dropping jumps within the
            tolerance and rounding: ``max|f - this| <= residual * norm((x, 1))``.
    """

    normals: Float[Tensor, "K d"]
    offsets: Float[Tensor, " K"]
    jumps: Float[Tensor, "K outputs"]
    linear: Float[Tensor, "outputs d"]
    constant: Float[Tensor, " outputs"]
    residual: float

    @property
    def num_kinks(self) -> int:
        """Number ``K`` of hyperplanes across which the gradient jumps."""
        return len(self.normals)

    @property
    def lifted_normals(self) -> Float[Tensor, "K lifted"]:
        """Rows ``(h, beta_h)``."""
        return torch.cat([self.normals, self.offsets[:, None]], dim=1)

    def __call__(self, x: Float[Tensor, "n d"]) -> Float[Tensor, "n outputs"]:
        """Evaluate the function on rows."""
        kinks = (lifted_rows(x) @ self.lifted_normals.T).abs() @ self.jumps
        return (kinks + x @ self.linear.T + self.constant) / 2

    def upper_bound(self) -> float:
        """Bound ``sup_x max|f(x)| / norm((x, 1))`` from above, the residual included.

        Returns:
            ``max_j (sum_h |v_hj| norm((h, beta_h)) + norm((linear_j, constant_j))) / 2 + residual``.
        """
        if self.constant.numel() == 0:
            return self.residual
        kinks = self.jumps.abs().T @ torch.linalg.vector_norm(self.lifted_normals, dim=1)
        affine = torch.linalg.vector_norm(torch.cat([self.linear, self.constant[:, None]], dim=1), dim=1)
        return float((kinks + affine).max()) / 2 + self.residual

    def to_dict(self) -> dict[str, Any]:
        """Convert to plain lists and numbers."""
        return {
            "normals": self.normals.tolist(),
            "offsets": self.offsets.tolist(),
            "jumps": self.jumps.tolist(),
            "linear": self.linear.tolist(),
            "constant": self.constant.tolist(),
            "residual": self.residual,
        }


def invariants(network: ReLUNetwork | nn.Module, *, tolerance_relative: float | None = None) -> Invariants:
    """Compute the kinks and the affine part of a network with at most one hidden layer.

    Args:
        network: At most one hidden layer, with or without biases.
        tolerance_relative: Distance of unit directions ``a / norm(a)`` (bias included) up to which two
            neurons share a hyperplane, and size of a jump, relative to the neurons that make it, up to
            which they cancel. By default 256 roundings of the network's dtype.

    Returns:
        The invariants, float64.

    Raises:
        InputError: If the network is deeper, or the tolerance is negative.

    Source:
        Derived here.

    Cost:
        ``O(m log m)`` operations for each input, memory linear in the network.

    Example:
        >>> relu = torch.tensor([[1.0], [-1.0]]), torch.tensor([[1.0, -1.0]])
        >>> found = invariants(ReLUNetwork(relu))  # relu(x) - relu(-x) = x has no kink
        >>> found.num_kinks, found.linear.tolist()
        (0, [[2.0]])
    """
    if tolerance_relative is None:
        tolerance_relative = default_tolerance(network)
    if not tolerance_relative >= 0.0:
        raise InputError(f"expected tolerance_relative >= 0, got {tolerance_relative}")
    return invariants_of(read_neurons(network), tolerance_relative)


def default_tolerance(*networks: ReLUNetwork | nn.Module) -> float:
    """Compute the default relative tolerance: 256 roundings of the coarsest dtype involved.

    Args:
        *networks: Networks or modules.

    Returns:
        ``5.7e-14`` in float64, ``3.1e-5`` in float32.
    """
    dtypes = {parameter.dtype for network in networks for parameter in network.parameters()} or {
        torch.float64
    }
    return _TOLERANCE_IN_ROUNDINGS * max(torch.finfo(dtype).eps for dtype in dtypes)


def invariants_of(neurons: Neurons, tolerance: float) -> Invariants:
    """Compute the invariants of neurons; the trusting twin of `invariants`.

    Args:
        neurons: Neurons and affine part.
        tolerance: Relative tolerance, not negative.

    Returns:
        The invariants.
    """
    linear = 2 * neurons.affine
    is_kink = (neurons.directions[:, :-1] != 0).any(dim=1)
    flat_directions, flat_outputs = neurons.directions[~is_kink], neurons.outputs[~is_kink]
    # A neuron without weights is the constant c relu(b).
    constants = product_of_neurons(flat_outputs, torch.relu(flat_directions[:, -1:]))[:, 0]
    linear = torch.cat([linear[:, :-1], (linear[:, -1] + 2 * constants)[:, None]], dim=1)
    is_kink &= neurons.masses > 0
    directions, outputs = neurons.directions[is_kink], neurons.outputs[is_kink]
    linear = linear + product_of_neurons(outputs, directions)

    lengths = row_lengths(directions)
    units = directions / lengths[:, None]
    masses = neurons.masses[is_kink]
    labels, signs = _unoriented_labels(units, tolerance)
    num_kinks = int(labels.max()) + 1 if labels.numel() else 0

    units = units * signs[:, None]
    means = sum_groups(units * relative_sizes(masses)[:, None], labels, num_kinks)
    means = means / torch.linalg.vector_norm(means, dim=1, keepdim=True)
    jumps = sum_groups(outputs * lengths[:, None], labels, num_kinks)
    group_masses = sum_groups(masses, labels, num_kinks)
    errors = masses * torch.linalg.vector_norm(units - means[labels], dim=1)
    sizes = jumps.abs().amax(dim=1) if jumps.numel() else jumps.new_zeros(num_kinks)
    keep = sizes > tolerance * group_masses
    rounding = SUM_ROUNDINGS * torch.finfo(torch.float64).eps / 2 * neurons.scale
    residual = float(errors.sum() + sizes[~keep].sum()) / 2 + rounding

    means, jumps = _orient(means[keep]), jumps[keep]
    widths = torch.linalg.vector_norm(means[:, :-1], dim=1, keepdim=True)
    return Invariants(
        normals=means[:, :-1] / widths,
        offsets=means[:, -1] / widths[:, 0],
        jumps=jumps * widths,
        linear=linear[:, :-1].contiguous(),
        constant=linear[:, -1].contiguous(),
        residual=residual,
    )


def relative_sizes(masses: Float[Tensor, " m"]) -> Float[Tensor, " m"]:
    """Scale weights of a mean to at most 1, bounded from below so that no group's squares underflow.

    Args:
        masses: Positive.

    Returns:
        Weights from 1e-100 to 1.
    """
    return (masses / masses.max()).clamp_min(1e-100) if masses.numel() else masses


def _unoriented_labels(units: Tensor, tolerance: float) -> tuple[Tensor, Tensor]:
    # Clustering u together with -u needs no sign convention, so none can tear a pair apart by rounding.
    both = cluster_rows(torch.cat([units, -units]), tolerance)
    own, mirror = both[: len(units)], both[len(units) :]
    _, labels = torch.unique(torch.minimum(own, mirror), return_inverse=True)
    return labels, torch.where(own <= mirror, 1.0, -1.0).to(units.dtype)


def _orient(lifted: Tensor) -> Tensor:
    # The last coordinate of the normal that is not negligible becomes positive.
    normals = lifted[:, :-1]
    if normals.numel() == 0:
        return lifted
    matters = normals.abs() > 1e-9 * normals.abs().amax(dim=1, keepdim=True)
    last = normals.shape[1] - 1 - matters.flip(1).to(torch.int64).argmax(dim=1)
    return lifted * torch.sign(normals.gather(1, last[:, None]))
