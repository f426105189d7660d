"""Which parameters of a model form the vector, and where each of them stands in it."""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from localmin.errors import InputError, ShapeError
from localmin.numerics import flatten_tensors, split_vector

__all__ = ["ParameterLayout", "converted_copy", "select_parameters"]

_DTYPES = (torch.float32, torch.float64)


@dataclass(frozen=True)
class ParameterLayout:
    """Names and shapes of the parameters in a flat vector, in order.

    Args:
        names: Names as in ``model.named_parameters()``.
        shapes: One shape for each name.
    """

    names: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...]

    def split(self, vector: Float[Tensor, " n"]) -> dict[str, Tensor]:
        """Cut a vector into named tensors; the inverse of `flatten`.

        Args:
            vector: Shape ``(n,)``.

        Returns:
            A tensor for each name, in order; views of ``vector`` where its memory layout allows.

        Raises:
            ShapeError: If the size does not fit.
        """
        return dict(zip(self.names, split_vector(vector, self.shapes), strict=True))

    def flatten(self, tensors: Mapping[str, Tensor]) -> Float[Tensor, " n"]:
        """Concatenate named tensors into a vector; the inverse of `split`.

        Args:
            tensors: A tensor of the right shape for each name, in any order.

        Returns:
            Vector of shape ``(n,)``.

        Raises:
            ShapeError: If names or shapes do not fit.
        """
        if set(tensors) != set(self.names):
            missing = sorted(set(self.names) - set(tensors))
            surplus = sorted(set(tensors) - set(self.names))
            raise ShapeError(
                f"expected one tensor for each parameter; missing {missing}, not known {surplus}"
            )
        for name, shape in zip(self.names, self.shapes, strict=True):
            if tuple(tensors[name].shape) != shape:
                raise ShapeError(f"{name}: expected shape {shape}, got {tuple(tensors[name].shape)}")
        return flatten_tensors(tensors[name] for name in self.names)


def select_parameters(model: nn.Module, names: Sequence[str] | None) -> dict[str, nn.Parameter]:
    """Pick the parameters that vary, in the order of the model.

    Args:
        model: Any module.
        names: Names of the wanted parameters; None picks those that require a gradient.

    Returns:
        The parameters by name; a parameter that occurs in several places occurs once.

    Raises:
        InputError: If none is left, a name is not known, or dtypes or values cannot be used.
    """
    known = dict(model.named_parameters())
    if names is None:
        selected = {name: part for name, part in known.items() if part.requires_grad}
    else:
        unknown = sorted(set(names) - set(known))
        if unknown:
            raise InputError(f"the model has no parameters named {unknown}; it has {list(known)}")
        selected = {name: part for name, part in known.items() if name in set(names)}
    if not any(part.numel() for part in selected.values()):
        raise InputError(
            "the model has no trainable parameters; set requires_grad or name some in parameters"
        )
    first = next(iter(selected.values()))
    for name, part in selected.items():
        if part.dtype not in _DTYPES:
            raise InputError(
                f"parameter '{name}' is {part.dtype}, too coarse for curvature or not a real number; "
                "give dtype=torch.float64 to evaluate a converted copy"
            )
        if part.dtype != first.dtype or part.device != first.device:
            raise InputError(
                f"parameter '{name}' is {part.dtype} on {part.device}, others are {first.dtype} on "
                f"{first.device}; convert the model to one dtype and device"
            )
        if not bool(torch.isfinite(part).all()):
            raise InputError(
                f"parameter '{name}' has entries that are NaN or infinite; did training diverge?"
            )
    return selected


def converted_copy(module: nn.Module, dtype: torch.dtype | None) -> nn.Module:
    """Copy a module, without the wrapper of DistributedDataParallel, and convert it.

    Args:
        module: Any module; it is not changed.
        dtype: Of the copy; None keeps it.

    Returns:
        The copy.
    """
    # The wrapper synchronises gradients by hooks of its own and cannot be copied.
    inner = module.module if isinstance(module, nn.parallel.DistributedDataParallel) else module
    copied: nn.Module = copy.deepcopy(inner)
    return copied if dtype is None else copied.to(dtype=dtype)
