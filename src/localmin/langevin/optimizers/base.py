"""What the three optimisers share: groups, checks before the step, noise, generators, saving and loading."""

from __future__ import annotations

import math
import warnings
from abc import abstractmethod
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, cast, overload

import torch
from torch import Tensor
from torch.optim import Optimizer

from localmin.errors import InputError
from localmin.langevin.updates import Update, apply_update, draw_noise

__all__ = ["AbstractLangevinOptimizer", "Bucket"]

Parameters = Iterable[Tensor] | Iterable[dict[str, Any]] | Iterable[tuple[str, Tensor]]

# Below this many elements a sum per tensor costs more than one fused norm; above it the sum uses all threads.
_LARGE_TENSOR = 65536


class Bucket(NamedTuple):
    """Tensors of one group, device and dtype that take the same update."""

    parameters: list[Tensor]
    gradients: list[Tensor]


class AbstractLangevinOptimizer(Optimizer):
    """Base of the Langevin optimisers. Not for direct use.

    Args:
        params: Parameters, named parameters or groups, as for any torch optimiser.
        defaults: Group defaults; must hold "lr" and "weight_decay".
        temperature: T >= 0, or a function of the number of steps made, which then rules all groups.
        seed: Seed of the generators, one per device, made when first needed.
        check_finite: Check gradients before each step, and refuse the step if one is not finite.
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
        self._seed = seed
        self._generators: dict[str, torch.Generator] = {}
        self._buffers: dict[tuple[str, torch.dtype, int], list[Tensor]] = {}
        self._check_finite = check_finite
        self._checked_resolution = False
        self._num_steps = 0
        super().__init__(cast(Any, params), {**defaults, "temperature": start})

    def _follow_schedule(self) -> None:
        if self._temperature_schedule is None:
            return
        temperature = float(self._temperature_schedule(self._num_steps))
        _check_number("temperature", temperature)
        for group in self.param_groups:
            group["temperature"] = temperature

    def _check_group(self, group: dict[str, Any], buckets: list[Bucket]) -> None:
        """Refuse a group before any group has moved."""

    @abstractmethod
    def _step_group(self, group: dict[str, Any], buckets: list[Bucket]) -> None:
        """Update the parameters of a group in place."""

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group, as in any torch optimiser, after checking its numbers and tensors."""
        super().add_param_group(param_group)
        group = self.param_groups[-1]
        try:
            _check_number("lr", group["lr"])
            _check_number("weight_decay", group["weight_decay"])
            _check_number("temperature", group["temperature"])
            for parameter in group["params"]:
                if not parameter.is_floating_point():
                    name = self._name(parameter)
                    raise InputError(
                        f"{name} is {parameter.dtype}: only real floating-point parameters can move"
                    )
        except InputError:
            self.param_groups.pop()
            raise

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
            InputError: If a gradient is not finite or sparse, or the closure is not usable. Parameters and
                state are then as before the call.
        """
        loss = self._evaluate(closure)
        plan = [(group, self._buckets(group)) for group in self.param_groups]
        if closure is not None and not any(buckets for _, buckets in plan):
            raise InputError("the closure left no gradient: call backward() on the loss inside it")
        if self._check_finite:
            self._refuse_non_finite([bucket for _, buckets in plan for bucket in buckets])
        plan = [(group, buckets) for group, buckets in plan if buckets]
        for group, buckets in plan:
            self._check_group(group, buckets)
        self._follow_schedule()
        for group, buckets in plan:
            if group["weight_decay"]:
                buckets = [_decayed(bucket, group["weight_decay"]) for bucket in buckets]
            self._step_group(group, buckets)
        self._num_steps += 1
        self._checked_resolution = True
        return loss

    def state_dict(self) -> dict[str, Any]:
        """Collect what a resumed run needs, the generators' states included.

        Returns:
            torch's optimiser dictionary with the additional key "langevin".
        """
        state = super().state_dict()
        generators = {device: generator.get_state() for device, generator in self._generators.items()}
        state["langevin"] = {"num_steps": self._num_steps, "seed": self._seed, "generators": generators}
        return state

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue where another optimiser stopped; the next draws are the ones it would have made.

        Args:
            state_dict: From `state_dict`. Without the key "langevin" the generators stay as they are.
        """
        super().load_state_dict({key: value for key, value in state_dict.items() if key != "langevin"})
        own = state_dict.get("langevin")
        if own is None:
            return
        self._num_steps, self._seed = int(own["num_steps"]), int(own["seed"])
        self._generators = {}
        for device, state in own["generators"].items():
            self._generator(torch.device(device)).set_state(state.cpu())

    def __getstate__(self) -> dict[str, Any]:
        # torch keeps three fields only; copies and pickles need ours too, the noise buffers excepted.
        torchs = vars(torch.optim.SGD([torch.zeros(1)], lr=0.0)).keys()
        own = {key: value for key, value in vars(self).items() if key not in torchs}
        return {**super().__getstate__(), **own, "_buffers": {}}

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

    @abstractmethod
    def _scales(self, group: dict[str, Any]) -> tuple[float, float]:
        """Compute noise per coordinate and gradient factor of one step, in the same place."""

    def _evaluate(self, closure: Callable[[], float] | None) -> float | None:
        if closure is None:
            return None
        if not callable(closure):
            raise InputError(
                f"closure must be a function that returns the loss, got {type(closure).__name__}"
            )
        with torch.enable_grad():
            return closure()

    def _buckets(self, group: dict[str, Any]) -> list[Bucket]:
        buckets: dict[Any, Bucket] = {}
        for parameter in group["params"]:
            gradient = parameter.grad
            if gradient is None:
                continue
            if gradient.is_sparse:
                raise InputError(
                    f"{self._name(parameter)} has a sparse gradient, which Langevin noise would not follow;"
                    " use sparse=False"
                )
            key = (parameter.device, parameter.dtype, self._bucket_key(parameter))
            bucket = buckets.get(key)
            if bucket is None:
                bucket = buckets[key] = Bucket([], [])
            bucket.parameters.append(parameter)
            bucket.gradients.append(gradient)
        return list(buckets.values())

    def _name(self, parameter: Tensor) -> str:
        for group_index, group in enumerate(self.param_groups):
            for index, known in enumerate(group["params"]):
                if known is parameter:
                    if "param_names" in group:
                        return f"parameter {group['param_names'][index]!r}"
                    return f"parameter {index} of group {group_index} with shape {tuple(parameter.shape)}"
        return "a parameter"

    def _refuse_non_finite(self, buckets: list[Bucket]) -> None:
        for bucket in buckets:
            if _all_finite(bucket.gradients):
                continue
            # A sum may overflow although every term is finite: look closely before refusing.
            for parameter, gradient in zip(bucket.parameters, bucket.gradients, strict=True):
                if not bool(gradient.isfinite().all()):
                    raise InputError(
                        f"the gradient of {self._name(parameter)} is not finite; nothing was changed."
                        " Lower lr or the temperature, or clip gradients"
                    )

    def _bucket_key(self, parameter: Tensor) -> object:
        """Tell apart parameters of a group that need different updates."""
        return None

    def _generator(self, device: torch.device) -> torch.Generator:
        key = str(device)
        if key not in self._generators:
            self._generators[key] = torch.Generator(device).manual_seed(self._seed)
        return self._generators[key]

    def _noises(self, update: Update, like: list[Tensor]) -> list[list[Tensor]]:
        if update.num_noises == 0:
            return []
        first, total = like[0], sum(tensor.numel() for tensor in like)
        key = (str(first.device), first.dtype, total)
        buffers = self._buffers.setdefault(key, [])
        while len(buffers) < update.num_noises:
            buffers.append(first.new_empty(total))
        return draw_noise(like, update.num_noises, self._generator(first.device), buffers)

    def _apply(
        self, update: Update, bucket: Bucket, velocities: list[Tensor], gradients: list[Tensor]
    ) -> None:
        if update.num_noises and not self._checked_resolution:
            _warn_of_underflow(update, bucket, second_order=bool(velocities))
        apply_update(
            update, bucket.parameters, velocities, gradients, self._noises(update, bucket.parameters)
        )


def _check_number(name: str, value: Any) -> None:
    number = float(value)
    if not (math.isfinite(number) and number >= 0):
        raise InputError(f"{name} must be a finite number of at least 0, got {value!r}")


def _decayed(bucket: Bucket, weight_decay: float) -> Bucket:
    gradients = torch._foreach_add(bucket.gradients, bucket.parameters, alpha=weight_decay)
    return bucket._replace(gradients=list(gradients))


def _all_finite(tensors: list[Tensor]) -> bool:
    # A sum or norm is non-finite if one of its terms is, so one number a tensor will do.
    small = [tensor for tensor in tensors if tensor.numel() < _LARGE_TENSOR or tensor.is_cuda]
    sums = [tensor.sum() for tensor in tensors if tensor.numel() >= _LARGE_TENSOR and not tensor.is_cuda]
    if small:
        sums.extend(torch._foreach_norm(small))
    total = sums[0] if len(sums) == 1 else torch.stack(sums).sum()
    return math.isfinite(total.item())


def _warn_of_underflow(update: Update, bucket: Bucket, *, second_order: bool) -> None:
    dtype = bucket.parameters[0].dtype
    if dtype not in {torch.float16, torch.bfloat16}:
        return
    where = "velocity_noise" if second_order else "position_noise"
    scale = max(one.coefficient for one in update.operations if one.name == where)
    if second_order:  # what the noise moves a position by in the same step
        scale *= max(one.coefficient for one in update.operations if one.name == "drift")
    size = max(float(p.float().square().mean().sqrt()) for p in bucket.parameters)
    information = torch.finfo(dtype)
    if scale < information.eps * size / 2 or scale < information.tiny:
        warnings.warn(
            f"the noise per step ({scale:.1e}) is below what {dtype} resolves at size {size:.1e}:"
            " it is rounded away. Keep a float32 copy of the parameters, or raise lr or the temperature",
            stacklevel=4,
        )
