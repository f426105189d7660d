"""One training on several processes that torchrun started: each takes its share of every batch.

Rank 0 leads: it alone reads data, searches, scores and writes. Whenever it trains, it tells the others, which
build the same network and go through the same steps; gradients are summed before each update, so all hold the
same weights. Nothing else is divided, so nothing else can differ.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import timedelta
from types import MethodType
from typing import Any

import torch
import torch.distributed as dist
import torch.distributed.nn.functional as differentiable
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from localmin.errors import InputError
from localmin.tasks.parcel import pack, unpack

__all__ = ["Ranks", "current_ranks", "data_parallel", "is_launched"]

# The leader may think, score and write for long between two trainings.
_PATIENCE = timedelta(days=7)


@dataclass(eq=False)
class Ranks:
    """The processes of one training.

    Args:
        rank: Of this process; 0 leads.
        size: Number of processes.
        control: Group for messages on the CPU.
        is_training: Whether the others are in the middle of a training.
    """

    rank: int
    size: int
    control: Any
    is_training: bool = False
    _sent: dict[Any, int] = field(default_factory=dict)
    _held: dict[int, Any] = field(default_factory=dict)

    @property
    def leads(self) -> bool:
        """Whether this process is the one that searches."""
        return self.rank == 0

    def share(self, batch: Tensor) -> Tensor:
        """Take this rank's part of a batch; all of it where there is not one example for each rank."""
        return batch if self.repeats(len(batch)) else torch.tensor_split(batch, self.size)[self.rank]

    def repeats(self, count: int) -> bool:
        """Tell whether a batch is so small that every rank goes through all of it."""
        return count < self.size

    def sum_gradients(self, model: nn.Module) -> None:
        """Add the gradients of all ranks up, in place."""
        gradients = [p.grad for p in model.parameters() if p.grad is not None]
        for dtype in {gradient.dtype for gradient in gradients}:
            alike = [gradient for gradient in gradients if gradient.dtype == dtype]
            flat = torch.cat([gradient.reshape(-1) for gradient in alike])
            dist.all_reduce(flat)
            parts = torch.split(flat, [gradient.numel() for gradient in alike])
            for gradient, summed in zip(alike, parts, strict=True):
                gradient.copy_(summed.view_as(gradient))

    def sum(self, value: Tensor) -> Tensor:
        """Add a value of all ranks up."""
        total = value.clone()
        dist.all_reduce(total)
        return total

    def gather(self, part: Tensor, count: int) -> Tensor:
        """Put the rows that the ranks hold of a batch together; every rank gets all.

        Args:
            part: This rank's rows.
            count: Rows of the batch.

        Returns:
            All rows in the order of the batch.
        """
        if self.repeats(count):
            return part
        longest = -(-count // self.size)
        # Parts differ by one row at most, and a gather wants equal ones.
        padded = torch.cat([part, part.new_zeros(longest - len(part), *part.shape[1:])])
        parts = [torch.empty_like(padded) for _ in range(self.size)]
        dist.all_gather(parts, padded)
        sizes = [len(rows) for rows in torch.tensor_split(torch.arange(count), self.size)]
        return torch.cat([rows[:size] for rows, size in zip(parts, sizes, strict=True)])

    def tell(self, content: Any, *, once: Sequence[Any] = ()) -> None:
        """Send an object from the leader to all.

        Args:
            content: To be sent.
            once: Large parts that need sending the first time only; they arrive beside the content.
        """
        new = [part for part in once if part not in self._sent]
        for part in new:
            self._sent[part] = len(self._sent)
        parcels = [(self._sent[part], pack(part)) for part in new]
        parcel = pack(content)
        message = (
            [(key, p.payload, list(p.tensors)) for key, p in parcels],
            [self._sent[part] for part in once],
            parcel.payload,
            list(parcel.tensors),
        )
        dist.broadcast_object_list([message], src=0, group=self.control)

    def hear(self) -> tuple[Any, list[Any]]:
        """Receive what the leader sent: the content and the parts that come beside it."""
        box: list[Any] = [None]
        dist.broadcast_object_list(box, src=0, group=self.control)
        new, keys, payload, tensors = box[0]
        for key, part, its_tensors in new:
            self._held[key] = unpack(part, its_tensors)
        return unpack(payload, tensors), [self._held[key] for key in keys]

    @contextmanager
    def batch_norm_over_all(self, model: nn.Module) -> Iterator[None]:
        """Let batch norm see the whole batch, as in one process, while a network is trained."""
        layers = [module for module in model.modules() if isinstance(module, _BatchNorm)]
        for layer in layers:
            layer.forward = MethodType(_batch_norm, layer)  # type: ignore[method-assign]
        try:
            yield
        finally:
            for layer in layers:
                del layer.forward


_ranks: ContextVar[Ranks | None] = ContextVar("ranks", default=None)


def current_ranks() -> Ranks | None:
    """Give the processes that share the trainings of this one; None if it trains alone."""
    return _ranks.get()


def is_launched() -> bool:
    """Tell whether torchrun started this process as one of several."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1 and "RANK" in os.environ


@contextmanager
def data_parallel(*, device: torch.device | str = "cpu") -> Iterator[bool]:
    """Divide every training in this block among the processes that torchrun started.

    On rank 0 the block runs as usual. On the others entering the block means to help, until rank 0 has left
    its own; then they get False and should do nothing. In a process that was not started by torchrun the
    block runs as usual, alone.

    Args:
        device: ``"cpu"`` (gloo) or ``"cuda"`` (nccl; each process takes the GPU of its local rank).

    Yields:
        Whether this process leads.

    Raises:
        InputError: If a process group of another kind is there already.

    Example:
        >>> with data_parallel() as leads:
        ...     leads
        True
    """
    if not is_launched():
        yield True
        return
    kind = torch.device(device).type
    if kind == "cuda":
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    if dist.is_initialized():
        raise InputError("torch.distributed is in use already; open data_parallel before that")
    dist.init_process_group("nccl" if kind == "cuda" else "gloo", timeout=_PATIENCE)
    control = dist.new_group(backend="gloo", timeout=_PATIENCE)
    ranks = Ranks(dist.get_rank(), dist.get_world_size(), control)
    token = _ranks.set(ranks)
    try:
        if ranks.leads:
            try:
                yield True
            finally:
                # In the middle of a training the others do not listen; torchrun ends them when this one ends.
                if not ranks.is_training:
                    ranks.tell(None)
        else:
            _follow(ranks)
            yield False
    finally:
        _ranks.reset(token)
        dist.destroy_process_group()


def _follow(ranks: Ranks) -> None:
    """Take part in the leader's trainings until it has no more."""
    from localmin.tasks.training import join_training

    while True:
        order, parts = ranks.hear()
        if order is None:
            return
        join_training(order, *parts)


def _batch_norm(layer: Any, inputs: Tensor) -> Tensor:
    """Normalise with mean and variance over the examples of all ranks, as torch does over those of one."""
    if not layer.training:
        normal: Callable[..., Tensor] = type(layer).forward
        return normal(layer, inputs)
    axes = [0, *range(2, inputs.ndim)]
    shape = [1, -1] + [1] * (inputs.ndim - 2)
    count = inputs.new_tensor([inputs.numel() / inputs.shape[1]])
    sums = _sum_over_ranks(torch.cat([inputs.sum(axes), count]))
    mean = sums[:-1] / sums[-1].detach()
    centred = inputs - mean.view(shape)
    variance = _sum_over_ranks(centred.square().sum(axes)) / sums[-1].detach()
    if layer.track_running_stats:
        _track(layer, mean.detach(), variance.detach(), sums[-1].detach())
    scaled: Tensor = centred * torch.rsqrt(variance + layer.eps).view(shape)
    if layer.affine:
        scaled = scaled * layer.weight.view(shape) + layer.bias.view(shape)
    return scaled


def _sum_over_ranks(value: Tensor) -> Tensor:
    total: Tensor = differentiable.all_reduce(value)  # type: ignore[no-untyped-call]
    return total


def _track(layer: Any, mean: Tensor, variance: Tensor, count: Tensor) -> None:
    layer.num_batches_tracked.add_(1)
    momentum = 1 / float(layer.num_batches_tracked) if layer.momentum is None else layer.momentum
    layer.running_mean.lerp_(mean, momentum)
    layer.running_var.lerp_(variance * count / (count - 1), momentum)
