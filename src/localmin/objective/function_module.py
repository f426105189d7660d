"""A plain function of a tensor, or of named tensors, in the shape of a model of one example."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from localmin.errors import InputError

__all__ = ["FunctionModule"]


class FunctionModule(nn.Module):
    """Evaluate a function of the module's parameters; the example is ignored.

    Args:
        function: Maps what ``point`` is to a scalar.
        point: A tensor, which becomes the parameter "point", or named tensors, which keep their names.

    Raises:
        InputError: If a name is empty, or is both a tensor and the start of a longer name.
    """

    def __init__(self, function: Callable[[Any], Tensor], point: Tensor | Mapping[str, Tensor]) -> None:
        super().__init__()
        self.function = function
        self._is_named = isinstance(point, Mapping)
        named = {"point": point} if isinstance(point, Tensor) else dict(point)
        self._names = tuple(named)
        for name, tensor in named.items():
            owner: nn.Module = self
            *path, last = name.split(".")
            for part in path:
                if not part or isinstance(getattr(owner, part, None), Tensor):
                    raise InputError(f"expected names such as '0.weight', got {name!r}")
                if part not in dict(owner.named_children()):
                    owner.add_module(part, nn.Module())
                owner = owner.get_submodule(part)
            if not last or hasattr(owner, last):
                raise InputError(f"expected names such as '0.weight', got {name!r}")
            owner.register_parameter(last, nn.Parameter(tensor.detach().clone()))

    def forward(self, x: Tensor) -> Tensor:
        """Evaluate the function for each example, all alike."""
        tensors = {name: self._look_up(name) for name in self._names}
        value = self.function(tensors if self._is_named else tensors["point"])
        if value.numel() != 1:
            raise InputError(f"expected the function to give a scalar, got shape {tuple(value.shape)}")
        return value.reshape(1).expand(len(x))

    def _look_up(self, name: str) -> Tensor:
        # Not get_parameter: while derivatives are taken, tensors stand where the parameters were.
        *path, last = name.split(".")
        return torch.as_tensor(getattr(self.get_submodule(".".join(path)), last))
