"""Problems with known minima: one needs N^2/4 neurons, one has bad minima at every width."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from localmin.errors import InputError
from localmin.networks import ReLUNetwork

__all__ = ["BadMinimumExample", "BipartiteExample", "bad_minimum_example", "bipartite_example"]


@dataclass(frozen=True)
class BipartiteExample:
    """Data for which the smallest interpolating two-layer ReLU network needs exactly ``N^2/4`` neurons.

    Attributes:
        x: Identity, shape ``(N, N)``.
        y: ``Y = Eᵀ E``, shape ``(N, N)``.
        incidence: ``E``: one row for each edge of the complete bipartite graph, shape ``(N^2/4, N)``.
        network: A minimiser: first weight E, second weight Eᵀ, no biases.
        minimal_norm: ``N^2``.
    """

    x: Float[Tensor, "n n"]
    y: Float[Tensor, "n n"]
    incidence: Float[Tensor, "edges n"]
    network: ReLUNetwork
    minimal_norm: float

    def minimal_loss(self, penalty: float) -> float:
        """Compute the minimum of ``(1/N) ||f(X) - Y||^2 + penalty ||W||^2``, for penalties from 0 to 1/2.

        Args:
            penalty: Factor of the squared norm.

        Returns:
            ``penalty N^2 - penalty^2 N (N - 1)``.

        Raises:
            InputError: If the penalty is outside [0, 1/2].

        Source:
            Derived here.
        """
        if not 0.0 <= penalty <= 0.5:
            raise InputError(f"the closed form holds for penalties from 0 to 1/2, got {penalty}")
        n = self.x.shape[0]
        return penalty * n**2 - penalty**2 * n * (n - 1)


def bipartite_example(num_examples: int) -> BipartiteExample:
    """Build the example on the complete bipartite graph.

    Args:
        num_examples: ``N``, even, at least 2.

    Returns:
        Data, minimiser and closed forms, float64.

    Raises:
        InputError: If N is odd or below 2.

    Source:
        Jacot et al. 2022, Propositions 13 and 14; value and minimiser by the nuclear norm derived here.

    Example:
        >>> example = bipartite_example(4)
        >>> example.network.widths, example.network.squared_norm.item(), example.minimal_loss(0.05)
        ((4, 4, 4), 16.0, 0.77)
    """
    if num_examples < 2 or num_examples % 2:
        raise InputError(f"expected an even number of examples of at least 2, got {num_examples}")
    half = num_examples // 2
    incidence = torch.zeros(half * half, num_examples, dtype=torch.float64)
    edge = torch.arange(half * half)
    incidence[edge, edge // half] = 1.0
    incidence[edge, half + edge % half] = 1.0
    network = ReLUNetwork([incidence, incidence.T.contiguous()])
    return BipartiteExample(
        torch.eye(num_examples, dtype=torch.float64),
        incidence.T @ incidence,
        incidence,
        network,
        float(num_examples**2),
    )


@dataclass(frozen=True)
class BadMinimumExample:
    """A local minimum that is not global, at any width.

    The loss is ``sum of squares + penalty ||W||^2`` (not the mean).

    Attributes:
        x: ``(1, -1)``, shape ``(2, 1)``.
        y: ``(1, 1)``, shape ``(2, 1)``.
        network: All neurons positive, none active at -1: a local minimum.
        penalty: Factor of the squared norm.
        loss: ``1 + 2 penalty - penalty^2``, its loss.
        global_minimum: ``2 (2 penalty - penalty^2)``.
    """

    x: Float[Tensor, "2 1"]
    y: Float[Tensor, "2 1"]
    network: ReLUNetwork
    penalty: float
    loss: float
    global_minimum: float

    def regularized_loss(self, network: ReLUNetwork) -> float:
        """Compute the loss of any network on this problem.

        Args:
            network: Two-layer network from one input to one output.

        Returns:
            Sum of squares plus penalty times squared norm.
        """
        return float((network(self.x) - self.y).square().sum() + self.penalty * network.squared_norm)

    def escape(self, growth: float) -> ReLUNetwork:
        """Merge all neurons into one, which keeps the loss, and grow one that looks the other way.

        Args:
            growth: ``s >= 0``: output of the new neuron at -1. The loss falls from ``loss`` at 0 to
                ``global_minimum`` at ``1 - penalty``.

        Returns:
            Network with two hidden neurons.
        """
        sizes = torch.tensor([1.0 - self.penalty, growth], dtype=torch.float64).sqrt()
        signs = torch.tensor([1.0, -1.0], dtype=torch.float64)
        return ReLUNetwork([(signs * sizes)[:, None], sizes[None, :]])


def bad_minimum_example(width: int, penalty: float) -> BadMinimumExample:
    """Build a non-global local minimum of any width: width N(N+1) = 6 and more does not exclude them.

    Args:
        width: Number of hidden neurons, at least 1.
        penalty: Between 0 and 1, both excluded.

    Returns:
        Data, network and both losses.

    Raises:
        InputError: If an argument is out of range.

    Source:
        Derived here: with all input weights positive the point -1 is seen by no neuron, and no small
        change makes one see it.

    Example:
        >>> example = bad_minimum_example(10, 0.1)
        >>> round(example.loss, 12), round(example.global_minimum, 12)
        (1.19, 0.38)
    """
    if width < 1 or not 0.0 < penalty < 1.0:
        raise InputError(f"expected width >= 1 and 0 < penalty < 1, got {width} and {penalty}")
    x = torch.tensor([[1.0], [-1.0]], dtype=torch.float64)
    share = torch.arange(1, width + 1, dtype=torch.float64)
    weights = ((1.0 - penalty) * share / share.sum()).sqrt()  # unequal: no neuron is a copy of another
    return BadMinimumExample(
        x,
        torch.ones_like(x),
        ReLUNetwork([weights[:, None], weights[None, :]]),
        penalty,
        1.0 + 2.0 * penalty - penalty**2,
        2.0 * (2.0 * penalty - penalty**2),
    )
