"""What the three optimisers share: groups, checks before the step, noise, generators, saving and loading."""

from __future__ import annotations

import math
import operator
from abc import abstractmethod
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, cast, overload

import torch
from torch import Tensor
from torch.optim import Optimizer

from localmin.errors import InputError
from localmin.langevin.finite import finite_or_nan
from localmin.langevin.optimizers.buckets import Bucket, split_into_buckets
from localmin.langevin.optimizers.numerical_range import (
    first_non_finite,
    stays_in_range,
    total_norm,
    warn_of_underflow,
)
from localmin.langevin.passes import NoiseRoom, Push, move, push_along_gradient
from localmin.langevin.updates import Update

__all__ = ["AbstractLangevinOptimizer", "Parameters"]

Parameters = Iterable[Tensor] | Iterable[dict[str, Any]] | Iterable[tuple[str, Tensor]]


class _Gathered(NamedTuple):
    """A group with those of its parameters that have a gradient, weight decay added."""

    number: int
    group: dict[str, Any]
    parameters: list[Tensor]
    gradients: list[Tensor]


class AbstractLangevinOptimizer(Optimizer):
    """Base of the Langevin optimisers. Not for direct use.

    Args:
        params: Parameters, named parameters or groups, as for any torch optimiser.
        defaults: Group defaults; must hold "lr" and "weight_decay".
        temperature: T >= 0, or a function of the number of steps made, which then rules all groups.
        seed: Seed of the generators, one per device, made when first needed.
        check_finite: Refuse a step that would leave the finite numbers.
    """

    def __init__(
        self,
        params: Parameters,
        defaults: dict[str, Any],
        *,
        temperature: float | Callable[[int], float],
        seed: int,
        check_finite: bool,
    ) -> None:
        self._temperature_schedule = temperature if callable(temperature) else None
        start = float(temperature(0)) if callable(temperature) else temperature
        self._seed = _checked_seed(seed)
        self._generators: dict[str, torch.Generator] = {}
        self._known_buckets: dict[int, Bucket] = {}
        self._check_finite = check_finite
        self._checked_resolution = False
        self._largest_velocity: float | None = None  # a bound; None is unknown
        self._num_steps = 0
        super().__init__(cast(Any, params), {**defaults, "temperature": start})

    @abstractmethod
    def _update(self, group: dict[str, Any], buckets: list[Bucket]) -> list[Update]:
        """Choose one update per bucket, or refuse the group; nothing has moved yet."""

    @abstractmethod
    def _scales(self, group: dict[str, Any]) -> tuple[float, float]:
        """Compute noise per coordinate and gradient factor of one step, in the same place."""

    def _start(self, group: dict[str, Any], parameters: list[Tensor]) -> None:
        """Make the state of parameters that have none; first-order dynamics need none."""

    def _finish(self, group: dict[str, Any], buckets: list[Bucket]) -> None:
        """Note that a group has moved."""

    def _pusher(self) -> Push:
        """Choose what moves positions against gradients; a skew drift does otherwise."""
        return push_along_gradient

    def _stretch(self) -> float:
        """Bound how much longer than the gradient the direction of the step can be."""
        return 1.0

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group, as in any torch optimiser, after checking its numbers and tensors."""
        super().add_param_group(param_group)
        group = self.param_groups[-1]
        try:
            self._check_numbers(group)
            for parameter in group["params"]:
                if not parameter.is_floating_point():
                    name = self._name(parameter)
                    raise InputError(
                        f"{name} is {parameter.dtype}: only real floating-point parameters can move"
                    )
        except InputError:
            self.param_groups.pop()
            raise

    def _check_numbers(self, group: dict[str, Any]) -> None:
        """Refuse numbers of a group that are out of range; users may set them between steps."""
        for name in ("lr", "weight_decay", "temperature"):
            _check_number(name, group[name])

    @overload
    def step(self, closure: None = None) -> None: ...

    @overload
    def step(self, closure: Callable[[], float]) -> float: ...

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """Make one step with the gradients in ``.grad``.

        Args:
            closure: Optional; zeroes gradients, computes the loss, calls ``backward()`` and returns the loss.

        Returns:
            What the closure returned, or None.

        Raises:
            InputError: If a gradient is not finite or sparse, a number of a group is out of range, the step
                would leave the range of the dtype, or the closure is not usable. Parameters and state are
                then as before the call.
        """
        loss = self._evaluate(closure)
        plan = [self._gather(index, group) for index, group in enumerate(self.param_groups)]
        plan = [one for one in plan if one.parameters]
        if closure is not None and not plan:
            raise InputError("the closure left no gradient: call backward() on the loss inside it")
        size = self._checked_size(plan) if self._check_finite else 0.0
        undo = self._remember()
        try:
            self._follow_schedule()
            ready = [(one.group, self._buckets(one)) for one in plan]
            moves = [
                (update, bucket)
                for group, buckets in ready
                for update, bucket in zip(self._update(group, buckets), buckets, strict=True)
            ]
            self._move(moves, size)
        except InputError:
            undo()
            raise
        for group, buckets in ready:
            self._finish(group, buckets)
        self._num_steps += 1
        self._checked_resolution = True
        return loss

    def state_dict(self) -> dict[str, Any]:
        """Collect what a resumed run needs, the generators' states included.

        Returns:
            torch's optimiser dictionary with the additional key "langevin".
        """
        state = super().state_dict()
        generators = self._generator_states()
        state["langevin"] = {"num_steps": self._num_steps, "seed": self._seed, "generators": generators}
        return state

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue where another optimiser stopped; the next draws are the ones it would have made.

        Args:
            state_dict: From `state_dict`. Without the key "langevin" the generators stay as they are.

        Raises:
            InputError: If it is the state of an optimiser of another kind.
        """
        for group in state_dict["param_groups"]:
            missing = [key for key in self.defaults if key not in group]
            if missing:
                raise InputError(
                    f"this is the state of another optimiser: its parameter groups lack {', '.join(missing)};"
                    f" load a state_dict of {type(self).__name__}"
                )
        super().load_state_dict({key: value for key, value in state_dict.items() if key != "langevin"})
        self._known_buckets = {}
        self._largest_velocity = None
        own = state_dict.get("langevin")
        if own is not None:
            self._num_steps, self._seed = int(own["num_steps"]), int(own["seed"])
            self._set_generators(own["generators"])

    def __getstate__(self) -> dict[str, Any]:
        # torch keeps three fields only; copies and pickles need ours too, bar what is rebuilt when needed.
        torchs = vars(torch.optim.SGD([torch.zeros(1)], lr=0.0)).keys()
        own = {key: value for key, value in vars(self).items() if key not in torchs}
        return {**super().__getstate__(), **own, "_known_buckets": {}}

    def diagnostics(self) -> dict[str, float]:
        """Compute the gradient norm and the share of noise, from the gradients of the last step.

        Returns:
            "gradient_norm" over all parameters, and "noise_to_gradient_ratio": expected norm of the noise
            over the norm of the gradient's contribution to one step.
        """
        squared_gradient, squared_noise, squared_drift = 0.0, 0.0, 0.0
        for group in self.param_groups:
            norms = [float(p.grad.norm()) ** 2 for p in group["params"] if p.grad is not None]
            count = sum(p.numel() for p in group["params"] if p.grad is not None)
            noise, drift = self._scales(group)
            squared_gradient += sum(norms)
            squared_noise += count * noise**2
            squared_drift += sum(norms) * drift**2
        ratio = math.sqrt(squared_noise / squared_drift) if squared_drift > 0 else math.inf
        return {
            "gradient_norm": math.sqrt(squared_gradient),
            "noise_to_gradient_ratio": ratio if squared_noise > 0 else 0.0,
        }

    def _evaluate(self, closure: Callable[[], float] | None) -> float | None:
        if closure is None:
            return None
        if not callable(closure):
            raise InputError(
                f"closure must be a function that returns the loss, got {type(closure).__name__}"
            )
        with torch.enable_grad():
            return closure()

    def _gather(self, index: int, group: dict[str, Any]) -> _Gathered:
        self._check_numbers(group)
        parameters = group["params"]
        gradients = [parameter.grad for parameter in parameters]
        if any(gradient is None or gradient.is_sparse for gradient in gradients):
            parameters = [parameter for parameter in parameters if parameter.grad is not None]
            gradients = [parameter.grad for parameter in parameters]
            for parameter, gradient in zip(parameters, gradients, strict=True):
                if gradient.is_sparse:
                    raise InputError(
                        f"{self._name(parameter)} has a sparse gradient, which Langevin noise would not"
                        " follow; use sparse=False"
                    )
        if group["weight_decay"] and parameters:
            gradients = list(torch._foreach_add(gradients, parameters, alpha=group["weight_decay"]))
        return _Gathered(index, group, parameters, gradients)

    def _buckets(self, one: _Gathered) -> list[Bucket]:
        """Sort a group's tensors; nearly always as in the step before, so that is remembered."""
        known = self._known_buckets.get(one.number)
        if known is not None and known.holds(one.parameters, self.state.get(one.parameters[0])):
            known.gradients = one.gradients
            return [known]
        self._start(one.group, one.parameters)
        buckets = split_into_buckets(one.parameters, one.gradients, self.state)
        if len(buckets) == 1:
            self._known_buckets[one.number] = buckets[0]
        return buckets

    def _name(self, parameter: Tensor) -> str:
        for group_index, group in enumerate(self.param_groups):
            for index, known in enumerate(group["params"]):
                if known is parameter:
                    if "param_names" in group:
                        return f"parameter {group['param_names'][index]!r}"
                    return f"parameter {index} of group {group_index} with shape {tuple(parameter.shape)}"
        return "a parameter"

    def _follow_schedule(self) -> None:
        if self._temperature_schedule is None:
            return
        temperature = float(self._temperature_schedule(self._num_steps))
        _check_number("temperature", temperature)
        for group in self.param_groups:
            group["temperature"] = temperature

    def _checked_size(self, plan: list[_Gathered]) -> float:
        """Compute the norm of all gradients; refuse the step if one of them is not finite."""
        size = total_norm([gradient for one in plan for gradient in one.gradients])
        if not math.isfinite(size):  # a norm may overflow although every entry is finite: look closely
            for one in plan:
                index = first_non_finite(one.gradients)
                if index is not None:
                    raise InputError(
                        f"the gradient of {self._name(one.parameters[index])} is not finite;"
                        " nothing was changed. Lower lr or the temperature, or clip gradients"
                    )
        return size

    def _move(self, moves: list[tuple[Update, Bucket]], size: float) -> None:
        if not self._checked_resolution:
            for update, bucket in moves:
                warn_of_underflow(update, bucket)
        if self._check_finite and not self._stays_in_range(moves, size):
            self._move_guarded(moves)
            return
        for update, bucket in moves:
            self._apply(update, bucket)

    def _stays_in_range(self, moves: list[tuple[Update, Bucket]], size: float) -> bool:
        """Tell, without looking at the parameters, that no coordinate can overflow in this step."""
        before = self._largest_velocity
        if before is None:
            before = total_norm([state["velocity"] for state in self.state.values() if "velocity" in state])
        in_range, after = stays_in_range(moves, size * self._stretch(), before)
        # Parameters without a gradient keep the velocities that they had.
        if sum(len(bucket.velocities) for _, bucket in moves) < len(self.state):
            after = max(before, after)
        self._largest_velocity = after if in_range else None
        return in_range

    def _move_guarded(self, moves: list[tuple[Update, Bucket]]) -> None:
        """Move, and take everything back if a coordinate is not finite afterwards."""
        tensors = [tensor for _, bucket in moves for tensor in (*bucket.parameters, *bucket.velocities)]
        before = [tensor.clone() for tensor in tensors]
        for update, bucket in moves:
            self._apply(update, bucket)
        if first_non_finite(tensors) is None:
            return
        culprit = next(
            bucket.parameters[index]
            for _, bucket in moves
            for part in (bucket.parameters, bucket.velocities)
            if (index := first_non_finite(part)) is not None
        )
        torch._foreach_copy_(tensors, before)
        raise InputError(
            f"the step would take {self._name(culprit)} out of the range of {culprit.dtype};"
            " nothing was changed. Lower lr or the temperature, or clip gradients"
        )

    def _remember(self) -> Callable[[], None]:
        """Note what preparing a step may change, and how to take it back."""
        num_known = len(self.state)
        temperatures = [group["temperature"] for group in self.param_groups]
        generators = self._generator_states()

        def undo() -> None:
            for group, temperature in zip(self.param_groups, temperatures, strict=True):
                group["temperature"] = temperature
            for parameter in list(self.state)[num_known:]:  # started in this step
                del self.state[parameter]
            self._known_buckets = {}
            self._largest_velocity = None
            self._set_generators(generators)

        return undo

    def _generator(self, device: torch.device) -> torch.Generator:
        key = str(device)
        if key not in self._generators:
            self._generators[key] = torch.Generator(device).manual_seed(self._seed)
        return self._generators[key]

    def _generator_states(self) -> dict[str, Tensor]:
        return {device: generator.get_state() for device, generator in self._generators.items()}

    def _set_generators(self, states: dict[str, Tensor]) -> None:
        self._generators = {}
        for device, state in states.items():
            self._generator(torch.device(device)).set_state(state.cpu())

    def _apply(self, update: Update, bucket: Bucket) -> None:
        generator, num_draws = None, len(update.noise_scales)
        if num_draws:
            generator = self._generator(bucket.parameters[0].device)
            if bucket.room is None or bucket.room.num_draws != num_draws:
                bucket.room = NoiseRoom(bucket.parameters, num_draws)
        move(
            update,
            bucket.parameters,
            bucket.velocities,
            bucket.gradients,
            generator,
            push=self._pusher(),
            room=bucket.room,
        )


def _checked_seed(seed: int) -> int:
    try:
        return operator.index(seed)
    except TypeError as error:
        raise InputError(f"seed must be an integer, got {seed!r}") from error


def _check_number(name: str, value: Any) -> None:
    if not finite_or_nan(value) >= 0:
        raise InputError(f"{name} must be a finite number of at least 0, got {value!r}")
