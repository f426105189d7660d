"""Full-batch training of ReLU networks with an L2 penalty on all parameters, in float64."""

from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor

from localmin.errors import InputError, ShapeError
from localmin.networks import ReLUNetwork
from localmin.numerics import as_generator

__all__ = ["Loss", "mean_square", "train_regularized"]

Loss = Callable[[Tensor, Tensor], Tensor]

_LBFGS_ROUND = 10


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
    start: ReLUNetwork | None = None,
    stop_at_loss: float | None = None,
    progress: Callable[[str, int, float], None] | None = None,
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
        start: Network to continue from, of the same widths; otherwise weights are drawn.
        stop_at_loss: Stop as soon as the regularised loss is this or less (looked at after every Adam step
            and every 10 L-BFGS iterations), to compare networks trained to one level.
        progress: Called as ``progress("adam" or "lbfgs", steps so far, loss)`` now and then.

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
    parameters = _initial(widths, bias, seed) if start is None else _copied(start, widths, bias)
    measure = loss if loss is not None else mean_square

    def unpenalized() -> Tensor:
        return measure(_outputs(parameters, inputs, bias), targets)

    run = _Training(parameters, unpenalized, penalty, stop_at_loss, progress)
    run.adam(num_adam_steps, learning_rate)
    run.lbfgs(max_lbfgs_steps)
    return _network([part.detach() for part in parameters], bias), run.value()


class _Training:
    """Parameters on their way down.

    Value and gradient of the penalty are put together by hand: automatic differentiation would pass over
    all parameters several times more, and for wide networks on few points those passes are the work.
    """

    def __init__(
        self,
        parameters: list[Tensor],
        unpenalized: Callable[[], Tensor],
        penalty: float,
        stop_at_loss: float | None,
        progress: Callable[[str, int, float], None] | None,
    ) -> None:
        self.parameters = parameters
        self.unpenalized = unpenalized
        self.penalty = penalty
        self.stop_at_loss = -float("inf") if stop_at_loss is None else stop_at_loss
        self.progress = progress
        self.done = False

    def value(self) -> float:
        with torch.no_grad():
            return float(self.unpenalized()) + self._penalty_value()

    def adam(self, num_steps: int, learning_rate: float) -> None:
        # Adam's weight decay w adds w times the weights to the gradient: a penalty of w / 2.
        optimizer = torch.optim.Adam(
            self.parameters, lr=learning_rate, weight_decay=2 * self.penalty, fused=True
        )
        for step in range(num_steps):
            optimizer.zero_grad()
            loss = self.unpenalized()
            if self._reached("adam", step, float(loss.detach()) + self._penalty_value(), every=50):
                return
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()

    def lbfgs(self, max_steps: int) -> None:
        optimizer = torch.optim.LBFGS(
            self.parameters,
            max_iter=_LBFGS_ROUND,
            max_eval=100 * _LBFGS_ROUND,  # the default would end most rounds early
            history_size=20,
            tolerance_grad=1e-10,
            tolerance_change=1e-14,
            line_search_fn="strong_wolfe",
        )
        state = optimizer.state[self.parameters[0]]
        steps = 0
        while not self.done and steps < max_steps:
            optimizer.param_groups[0]["max_iter"] = min(_LBFGS_ROUND, max_steps - steps)
            before = steps
            optimizer.step(self._value_and_gradient)  # type: ignore[no-untyped-call]
            steps = int(state["n_iter"])
            stuck = steps - before < optimizer.param_groups[0]["max_iter"]
            if self._reached("lbfgs", steps, self.value(), every=1) or stuck:
                return

    def _value_and_gradient(self) -> Tensor:
        for part in self.parameters:
            part.grad = None
        loss = self.unpenalized()
        loss.backward()  # type: ignore[no-untyped-call]
        with torch.no_grad():
            for part in self.parameters:
                assert part.grad is not None
                part.grad.add_(part, alpha=2 * self.penalty)
            return loss.detach() + self._penalty_value()

    def _penalty_value(self) -> float:
        with torch.no_grad():
            return self.penalty * sum(float(part.flatten() @ part.flatten()) for part in self.parameters)

    def _reached(self, stage: str, step: int, value: float, *, every: int) -> bool:
        if self.progress is not None and step % every == 0:
            self.progress(stage, step, value)
        self.done = value <= self.stop_at_loss
        return self.done


def _initial(widths: list[int], bias: bool, seed: int) -> list[Tensor]:
    generator = as_generator(seed)
    parameters = []
    for before, after in pairwise(widths):
        weight = torch.randn(after, before, generator=generator, dtype=torch.float64) * (2.0 / before) ** 0.5
        parameters.append(weight.requires_grad_(True))
        if bias:
            parameters.append(torch.zeros(after, dtype=torch.float64, requires_grad=True))
    return parameters


def _copied(start: ReLUNetwork, widths: list[int], bias: bool) -> list[Tensor]:
    biases = start.biases or (None,) * len(start.weights)
    if list(start.widths) != widths or any((part is not None) != bias for part in biases):
        raise InputError(
            f"start: expected widths {widths}, every layer {'with' if bias else 'without'} a bias, "
            f"got widths {list(start.widths)}"
        )
    pairs = zip(start.weights, biases, strict=True)
    parts = [part for pair in pairs for part in pair if part is not None]
    return [part.detach().double().clone().requires_grad_(True) for part in parts]


def _outputs(parameters: list[Tensor], inputs: Tensor, bias: bool) -> Tensor:
    stride = 2 if bias else 1
    values = inputs
    for position in range(0, len(parameters), stride):
        if position:
            values = torch.relu(values)
        values = torch.nn.functional.linear(
            values, parameters[position], parameters[position + 1] if bias else None
        )
    return values


def _network(parameters: list[Tensor], bias: bool) -> ReLUNetwork:
    return ReLUNetwork(parameters[::2], parameters[1::2]) if bias else ReLUNetwork(parameters)


def mean_square(outputs: Float[Tensor, "n k"], targets: Float[Tensor, "n k"]) -> Float[Tensor, ""]:
    """Compute ``(1/n) sum of squares``.

    Args:
        outputs: Shape ``(n, k)``.
        targets: Shape ``(n, k)``.

    Returns:
        A scalar.
    """
    return (outputs - targets).square().sum() / outputs.shape[0]
