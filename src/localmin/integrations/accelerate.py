"""Accelerate: deal a weighted sampler's batches out once, and keep the sampler's place in saved states."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch.utils.data import DataLoader

from localmin.errors import InputError, MissingDependencyError
from localmin.integrations.live_sampler import batch_entries, require_all_seen, require_live, samplers_of
from localmin.sampling.epoch_sampler import AbstractEpochSampler

try:
    from accelerate import Accelerator
    from accelerate.data_loader import DataLoaderDispatcher
except ImportError as error:
    raise MissingDependencyError(
        "localmin.integrations.accelerate needs Accelerate: pip install 'localmin[accelerate]'"
    ) from error

__all__ = ["PreparedLoader", "prepare_loader"]

_REMEDY = (
    "build DataLoader(..., sampler=sampler.for_accelerate()) and hand it to prepare_loader, not to "
    "accelerator.prepare as well"
)


def prepare_loader(accelerator: Accelerator, loader: DataLoader[Any]) -> PreparedLoader:
    """Prepare a loader over one of our samplers, in place of ``accelerator.prepare(loader)``.

    Args:
        accelerator: The accelerator.
        loader: A `torch.utils.data.DataLoader` whose sampler is one of ours and gives the global order:
            ``sampler.for_accelerate()``. Accelerate gives each process its share of the batches.

    Returns:
        What to iterate over. Its place is saved by ``accelerator.save_state`` and taken up by
        ``accelerator.load_state``: the next iteration then gives the rest of the epoch, and nothing is to be
        skipped.

    Raises:
        InputError: If the loader's sampler is none of ours, or deals its entries out itself.
    """
    ours = [link for link in samplers_of(loader) if isinstance(link, AbstractEpochSampler)]
    if not ours:
        raise InputError(
            "loader: expected one with a sampler of localmin, its samplers are "
            f"{', '.join(type(link).__name__ for link in samplers_of(loader)) or 'none'}; {_REMEDY}"
        )
    prepared = PreparedLoader(accelerator, accelerator.prepare(loader), ours[0])
    accelerator.register_for_checkpointing(prepared)
    return prepared


class PreparedLoader:
    """A loader that Accelerate prepared, watched: the sampler is alive, and all that was due was seen.

    Made by `prepare_loader`.

    Attributes:
        sampler: The sampler: call its ``set_weights`` between epochs.
        loader: Accelerate's own loader.
    """

    def __init__(
        self, accelerator: Accelerator, loader: Any, sampler: AbstractEpochSampler[Any, Any]
    ) -> None:
        if isinstance(loader, DataLoaderDispatcher):
            raise InputError(
                "dispatch_batches: expected False, got True; only the main process would read the sampler"
            )
        self.sampler, self.loader = sampler, loader
        self._num_shards = int(accelerator.num_processes)
        self._num_consumed = 0
        self._check()

    def __len__(self) -> int:
        """Count the batches of a whole epoch on this process."""
        return len(self.loader)

    def __iter__(self) -> Iterator[Any]:
        """Give this process's batches of the next epoch, or what is left of a resumed one."""
        self._check()
        # Accelerate counts epochs by itself, from 0 also after a resumption, and tells the sampler.
        self.loader.iteration = self.sampler.epoch
        self._num_consumed = 0
        step = self._entries_a_step()
        for number, batch in enumerate(self.loader):
            if number == 0:
                self._check()
            # Counted before the batch is out: whoever saves a state in the loop has consumed it by then.
            self._num_consumed = min(self._num_consumed + step, self.sampler.num_due)
            yield batch
        num_due = self.sampler.num_due
        if any(getattr(link, "drop_last", False) for link in samplers_of(self.loader)):
            num_due -= num_due % step
        require_all_seen(self._num_consumed, num_due, "Accelerate", _REMEDY)

    def state_dict(self) -> dict[str, Any]:
        """Give what ``accelerator.save_state`` keeps.

        Returns:
            The sampler's state where training stands; a batch counts once it has been given out.
        """
        return self.sampler.checkpoint(self._num_consumed)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue where a state was saved.

        Args:
            state: What `state_dict` gave.
        """
        self.sampler.load_state_dict(state)
        self._num_consumed = 0

    def _check(self) -> None:
        require_live(self.loader, self.sampler, "Accelerate", _REMEDY, num_shards=self._num_shards)

    def _entries_a_step(self) -> int:
        """Count the entries of the sampler that all processes together consume in a step."""
        splits = any(getattr(link, "split_batches", False) for link in samplers_of(self.loader))
        return batch_entries(self.loader, self.sampler) * (1 if splits else self._num_shards)
