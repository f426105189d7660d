"""Regularised loss against width: where does it stop falling?"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from localmin.errors import InputError, ShapeError
from localmin.networks import ReLUNetwork
from localmin.numerics import as_generator

__all__ = ["Plateau", "plateau", "train_regularized"]

Loss = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Plateau:
    """Result of `plateau`.

    Attributes:
        widths: Widths of all hidden layers, ascending.
        losses: Smallest regularised loss over the seeds at each width.
        losses_by_seed: One row a width, one entry a seed.
        start: Smallest width whose loss is within the tolerance of the widest network's.
        tolerance_relative: Tolerance used.
    """

    widths: tuple[int, ...]
    losses: tuple[float, ...]
    losses_by_seed: tuple[tuple[float, ...], ...]
    start: int
    tolerance_relative: float

    def to_dict(self) -> dict[str, Any]:
        """Convert to plain values."""
        plain = {**vars(self), "widths": list(self.widths), "losses": list(self.losses)}
        return {**plain, "losses_by_seed": [list(row) for row in self.losses_by_seed]}


def plateau(
    widths: Sequence[int],
    x: Float[Tensor, "n inputs"],
    y: Float[Tensor, "n outputs"],
    penalty: float,
    *,
    depth: int = 3,
    loss: Loss | None = None,
    seeds: Sequence[int] = (0, 1, 2),
    tolerance_relative: float = 0.01,
    num_adam_steps: int = 1000,
    max_lbfgs_steps: int = 1000,
    bias: bool = True,
    progress: Callable[[int, int], None] | None = None,
) -> Plateau:
    """Train ReLU networks of several widths and find the width from which wider ones gain nothing.

    Training finds local minima: each loss is an upper bound of the minimum at its width, so the curve can
    show a plateau that starts too early or too late. The minimum over seeds makes that less likely.

    Args:
        widths: Widths to try, each at least 1.
        x: Inputs, shape ``(n, n_0)``.
        y: Targets, shape ``(n, n_L)``, or whatever ``loss`` takes.
        penalty: Factor of the squared norm, at least 0.
        depth: Number of weight matrices, at least 2.
        loss: Maps outputs and targets to a scalar; ``(1/n) sum of squares`` by default.
        seeds: Seeds of the initial weights.
        tolerance_relative: Share of the widest network's loss that still counts as the same.
        num_adam_steps: As in `train_regularized`.
        max_lbfgs_steps: As in `train_regularized`.
        bias: Give every layer a (regularised) bias.
        progress: Called as ``progress(width, seed)`` before each training.

    Returns:
        Losses and the start of the plateau.

    Raises:
        InputError: If there is no width or no seed, or the depth is below 2.

    Source:
        Jacot et al. 2022, Figure 2 and Propositions 6 and 7; the criterion for the start is chosen here.

    Cost:
        One training a width and seed.
    """
    if not widths or min(widths) < 1 or not seeds or depth < 2:
        raise InputError(
            f"expected widths of at least 1, some seeds and depth >= 2, got {list(widths)}, {seeds}, {depth}"
        )
    ordered = sorted(set(widths))
    table = []
    for width in ordered:
        row = []
        for seed in seeds:
            if progress is not None:
                progress(width, seed)
            _, value = train_regularized(
                x,
                y,
                [width] * (depth - 1),
                penalty,
                loss=loss,
                seed=seed,
                num_adam_steps=num_adam_steps,
                max_lbfgs_steps=max_lbfgs_steps,
                bias=bias,
                num_outputs=None if y.ndim == 2 else int(y.max()) + 1,
            )
            row.append(value)
        table.append(tuple(row))
    losses = tuple(min(row) for row in table)
    limit = losses[-1] * (1 + tolerance_relative)
    start = next(width for width, value in zip(ordered, losses, strict=True) if value <= limit)
    return Plateau(tuple(ordered), losses, tuple(table), start, tolerance_relative)


def train_regularized(
    x: Float[Tensor, "n inputs"],
    y: Tensor,
    hidden_widths: Sequence[int],
    penalty: float,
    *,
    loss: Loss | None = None,
    num_outputs: int | None = None,
    seed: int = 0,
    num_adam_steps: int = 1000,
    max_lbfgs_steps: int = 1000,
    learning_rate: float = 3e-3,
    bias: bool = True,
) -> tuple[ReLUNetwork, float]:
    """Train a ReLU network on all points at once: Adam, then L-BFGS, in float64.

    Args:
        x: Inputs, shape ``(n, n_0)``.
        y: Targets, shape ``(n, n_L)``, or whatever ``loss`` takes.
        hidden_widths: Widths of the hidden layers.
        penalty: Factor of the squared norm of all parameters, biases included.
        loss: Maps outputs and targets to a scalar; ``(1/n) sum of squares`` by default.
        num_outputs: Number of outputs; the columns of ``y`` by default.
        seed: Seed of the initial weights (normal, variance 2 over the inputs of the layer; biases zero).
        num_adam_steps: Full-batch Adam steps.
        max_lbfgs_steps: Limit on L-BFGS iterations; they stall where pre-activations sit on kinks.
        learning_rate: Of Adam.
        bias: Give every layer a bias.

    Returns:
        The network and its regularised loss.

    Raises:
        ShapeError: If ``x`` is no matrix, or the number of outputs is not known.

    Example:
        >>> x = torch.tensor([[1.0], [-1.0]])
        >>> network, value = train_regularized(x, torch.ones(2, 1), [8], 0.05, bias=False)
        >>> network.widths, abs(value - 0.19) < 1e-6
        ((1, 8, 1), True)
    """
    if x.ndim != 2 or (num_outputs is None and y.ndim != 2):
        raise ShapeError(
            f"expected x (n, n_0) and y (n, n_L) or num_outputs, got {tuple(x.shape)}, {tuple(y.shape)}"
        )
    widths = [x.shape[1], *hidden_widths, y.shape[1] if num_outputs is None else num_outputs]
    inputs, targets = x.double(), y.double() if y.is_floating_point() else y
    parameters = _initial(widths, bias, seed)
    measure = loss if loss is not None else _mean_square

    def regularized() -> Tensor:
        network = _network(parameters, bias)
        penalized: Tensor = measure(network(inputs), targets) + penalty * network.squared_norm
        return penalized

    adam = torch.optim.Adam(parameters, lr=learning_rate)
    for _ in range(num_adam_steps):
        adam.zero_grad()
        value = regularized()
        value.backward()  # type: ignore[no-untyped-call]
        adam.step()
    if max_lbfgs_steps > 0:
        _polish(parameters, regularized, max_lbfgs_steps)
    with torch.no_grad():
        return _network([part.detach() for part in parameters], bias), float(regularized())


def _polish(parameters: list[Tensor], regularized: Callable[[], Tensor], max_steps: int) -> None:
    optimizer = torch.optim.LBFGS(
        parameters,
        max_iter=max_steps,
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

    optimizer.step(closure)  # type: ignore[no-untyped-call]


def _initial(widths: list[int], bias: bool, seed: int) -> list[Tensor]:
    generator = as_generator(seed)
    parameters = []
    for before, after in pairwise(widths):
        weight = torch.randn(after, before, generator=generator, dtype=torch.float64) * (2.0 / before) ** 0.5
        parameters.append(weight.requires_grad_(True))
        if bias:
            parameters.append(torch.zeros(after, dtype=torch.float64, requires_grad=True))
    return parameters


def _network(parameters: list[Tensor], bias: bool) -> ReLUNetwork:
    return ReLUNetwork(parameters[::2], parameters[1::2]) if bias else ReLUNetwork(parameters)


def _mean_square(outputs: Tensor, targets: Tensor) -> Tensor:
    return (outputs - targets).square().sum() / outputs.shape[0]
