"""Two networks of the same sizes, evaluated side by side with bounds on the rounding."""

from collections.abc import Callable
from fractions import Fraction
from functools import cached_property

import torch
from jaxtyping import Float
from torch import Tensor

from localmin.errors import ShapeError
from localmin.networks import ReLUNetwork
from localmin.realization.deep_symmetries import deep_magnitude
from localmin.realization.deep_witness import deep_candidates
from localmin.realization.invariants import Invariants, default_tolerance, invariants_of
from localmin.realization.neurons import Neurons, difference, lifted_rows, read_neurons
from localmin.realization.rational import evaluate_exactly
from localmin.realization.witness import candidate_inputs, evaluation_error

__all__ = ["NetworkPair"]

_MAX_EXACT_PARAMETERS = 200_000
_MAX_BATCH_ENTRIES = 20_000_000


class NetworkPair:
    """Hold two networks in float64, their sizes, and what is known about rounding.

    Args:
        a: First network.
        b: Second network.

    Raises:
        ShapeError: If input or output sizes differ.
    """

    def __init__(self, a: ReLUNetwork, b: ReLUNetwork) -> None:
        if (a.widths[0], a.widths[-1]) != (b.widths[0], b.widths[-1]):
            raise ShapeError(
                "expected two networks with the same input and output sizes, got widths "
                f"{a.widths} and {b.widths}"
            )
        self.default_tolerance = default_tolerance(a, b)
        self.a, self.b = (_detached(network) for network in (a, b))
        self.is_deep = max(a.depth, b.depth) > 2
        self.num_inputs = a.widths[0]
        self.num_parameters = a.num_parameters + b.num_parameters

    @cached_property
    def neurons(self) -> tuple[Neurons, Neurons]:
        """Neurons of both, for at most one hidden layer."""
        return read_neurons(self.a), read_neurons(self.b)

    @cached_property
    def scale(self) -> float:
        """Sum of the neurons' sizes, the larger of both; NaN for deeper networks."""
        return float("nan") if self.is_deep else max(neurons.scale for neurons in self.neurons)

    def invariants(self, tolerance: float) -> Invariants:
        """Compute the invariants of the difference.

        Args:
            tolerance: Relative.

        Returns:
            Invariants of ``f_a - f_b``.
        """
        return invariants_of(difference(*self.neurons), tolerance)

    def outputs(self, x: Float[Tensor, "n d"]) -> tuple[Tensor, Tensor]:
        """Evaluate both at rows, in float64."""
        return self.a(x), self.b(x)

    def gaps(self, x: Float[Tensor, "n d"]) -> Float[Tensor, " n"]:
        """Compute ``max|f_a - f_b|`` for each row, in float64."""
        return self._in_batches(self._gaps, x)

    def _gaps(self, x: Tensor) -> Tensor:
        first, second = self.outputs(x)
        gaps: Tensor = (first - second).abs().amax(dim=1) if first.numel() else x.new_zeros(len(x))
        return gaps

    def _in_batches(self, compute: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
        # A row of a network of a million neurons needs a million numbers on the way.
        size = max(1, _MAX_BATCH_ENTRIES // max(*self.a.widths, *self.b.widths))
        return torch.cat([compute(rows) for rows in torch.split(x, size)]) if len(x) > size else compute(x)

    def sizes(self, x: Float[Tensor, "n d"]) -> Float[Tensor, " n"]:
        """Compute the unit of the tolerance for each row."""
        if self.is_deep:
            return torch.maximum(deep_magnitude(self.a, x), deep_magnitude(self.b, x))
        lengths: Tensor = torch.linalg.vector_norm(lifted_rows(x), dim=1)
        return self.scale * lengths

    def rounding(self, x: Float[Tensor, "n d"]) -> Float[Tensor, " n"]:
        """Bound the rounding error of `gaps` for each row."""
        return self._in_batches(self._rounding, x)

    def _rounding(self, x: Tensor) -> Tensor:
        if not self.is_deep:
            return evaluation_error(self.neurons[0], x) + evaluation_error(self.neurons[1], x)
        total = x.new_zeros(len(x))
        for network in (self.a, self.b):
            num_terms = sum(network.widths[:-1]) + 2 * network.depth
            total = total + num_terms * torch.finfo(torch.float64).eps * deep_magnitude(network, x)
        return total

    def thresholds(self, x: Float[Tensor, "n d"], tolerance: float) -> Float[Tensor, " n"]:
        """Compute what a gap has to exceed to show a difference."""
        return tolerance * self.sizes(x) + self.rounding(x)

    def exceeds(self, x: Float[Tensor, " d"], tolerance: float) -> bool:
        """Tell whether the functions differ at a point by more than the tolerance, in exact arithmetic.

        Args:
            x: The point.
            tolerance: Relative.

        Returns:
            The answer for the real functions. Large deep networks are evaluated in float64, and their
            rounding counts against the answer.
        """
        row = x[None]
        size = float(self.sizes(row))
        if self.is_deep and self.num_parameters > _MAX_EXACT_PARAMETERS:
            return bool(self.gaps(row) > self.thresholds(row, tolerance))
        first, second = evaluate_exactly(self.a, x), evaluate_exactly(self.b, x)
        gap = max((abs(u - v) for u, v in zip(first, second, strict=True)), default=Fraction(0))
        return gap > Fraction(tolerance) * Fraction(size)

    def candidates(self, tolerance: float, generator: torch.Generator) -> Float[Tensor, "n d"]:
        """List inputs at which the functions are most likely to differ.

        Args:
            tolerance: Relative.
            generator: Source of the random points.

        Returns:
            Rows.
        """
        if not self.is_deep:
            return candidate_inputs(
                self.invariants(tolerance),
                all_kinks=invariants_of(self.neurons[0], tolerance),
                generator=generator,
            )
        return deep_candidates(
            self.a,
            self.b,
            generator=generator,
            score=lambda x: self.gaps(x) / self.thresholds(x, tolerance).clamp_min(1e-300),
        )


def _detached(network: ReLUNetwork) -> ReLUNetwork:
    network = network.to(dtype=torch.float64, device="cpu")
    biases = None if network.biases is None else [b if b is None else b.detach() for b in network.biases]
    return ReLUNetwork([weight.detach() for weight in network.weights], biases)
