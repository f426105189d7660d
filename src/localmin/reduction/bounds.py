"""How many neurons a layer can need at most, and how many it can be made to need."""

from dataclasses import dataclass

from localmin.errors import InputError

__all__ = ["NeuronBounds", "neuron_bounds"]


@dataclass(frozen=True)
class NeuronBounds:
    """Counts for one hidden layer of an L2-regularised network trained on N points.

    Attributes:
        num_examples: ``N``.
        num_outputs: Outputs ``c`` of the layer above.
        pair: ``N(N+1)``: enough to keep both covariances (the paper).
        covariance: ``N(N+1)/2``: enough to keep outputs without raising the norm, any layer (derived here).
        next_layer: ``c N - c(c-1)/2`` for ``c <= N``, and ``N(N+1)/2`` above: the same, seen by c outputs
            (derived here).
        example_that_needs: ``N^2/4`` for even N, reached by `bipartite_example`
            (the paper); None for odd N.
        completely_positive: ``N(N+1)/2 - 4`` for ``N >= 5``: no completely positive matrix needs more
            (literature on the cp-rank, not re-derived here); None below.
    """

    num_examples: int
    num_outputs: int
    pair: int
    covariance: int
    next_layer: int
    example_that_needs: int | None
    completely_positive: int | None


def neuron_bounds(num_examples: int, num_outputs: int) -> NeuronBounds:
    """Compute how wide a hidden layer has to be at most for the smallest regularised loss.

    These are worst cases over all data. They do not say that a network of that width has no bad local
    minima: it can have them at every width, see `bad_minimum_example`.

    Args:
        num_examples: Number N of training points, at least 1.
        num_outputs: Number c of outputs of the layer above, at least 1.

    Returns:
        All bounds.

    Raises:
        InputError: If a number is below 1.

    Source:
        Jacot et al. 2022, Propositions 7 and 14; the rest derived here unless said otherwise.

    Example:
        >>> bounds = neuron_bounds(40, 10)
        >>> bounds.pair, bounds.covariance, bounds.next_layer, bounds.example_that_needs
        (1640, 820, 355, 400)
    """
    for name, number in (("num_examples", num_examples), ("num_outputs", num_outputs)):
        if isinstance(number, bool) or not isinstance(number, int) or number < 1:
            raise InputError(f"{name}: expected an integer of at least 1, got {number!r}")
    n, c = num_examples, min(num_outputs, num_examples)
    return NeuronBounds(
        n,
        num_outputs,
        n * (n + 1),
        n * (n + 1) // 2,
        c * n - c * (c - 1) // 2,
        n * n // 4 if n % 2 == 0 else None,
        n * (n + 1) // 2 - 4 if n >= 5 else None,
    )
