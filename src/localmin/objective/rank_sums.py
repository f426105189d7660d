"""Sums over the ranks of torch.distributed, each of which holds a part of the data."""

import math
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor

from localmin.errors import InputError

__all__ = ["RankSums"]


@dataclass(frozen=True)
class RankSums:
    """Add over all ranks, or over this process alone.

    Args:
        is_distributed: Whether there are other ranks to ask; all of them must then ask the same.
        device: Where numbers are put to travel.

    Raises:
        InputError: If ranks are wanted and torch.distributed is not initialised.
    """

    is_distributed: bool
    device: torch.device

    def __post_init__(self) -> None:
        if self.is_distributed and not (dist.is_available() and dist.is_initialized()):
            raise InputError(
                "distributed=True needs torch.distributed: launch with torchrun and call "
                "torch.distributed.init_process_group first"
            )

    def sum(self, tensor: Tensor) -> Tensor:
        """Add a tensor over all ranks; the argument itself may be overwritten."""
        if self.is_distributed:
            tensor = tensor.contiguous()
            dist.all_reduce(tensor)
        return tensor

    def sum_numbers(self, *numbers: float) -> tuple[float, ...]:
        """Add numbers over all ranks, in float64."""
        if not self.is_distributed:
            return numbers
        return tuple(self.sum(torch.tensor(numbers, dtype=torch.float64, device=self.device)).tolist())

    def smallest(self, number: float) -> float:
        """Find the smallest number over all ranks; NaN if any is NaN."""
        if not self.is_distributed:
            return number
        is_nan = self.sum_numbers(float(math.isnan(number)))[0] > 0.0
        found = torch.tensor(0.0 if is_nan else number, dtype=torch.float64, device=self.device)
        dist.all_reduce(found, op=dist.ReduceOp.MIN)
        return math.nan if is_nan else float(found)

    def from_first(self, tensor: Tensor) -> Tensor:
        """Take a tensor from rank 0, so that all ranks have the same."""
        if self.is_distributed:
            tensor = tensor.contiguous()
            dist.broadcast(tensor, src=0)
        return tensor
