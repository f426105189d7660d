"""Lightning: keep a weighted sampler alive in a `Trainer`, and its place in every checkpoint.

Lightning wraps any sampler it does not know into one that deals its entries out again, and says nothing.
"""

from __future__ import annotations

from typing import Any

from localmin.errors import MissingDependencyError
from localmin.integrations.live_sampler import batch_entries, require_all_seen, require_live
from localmin.sampling.epoch_sampler import AbstractEpochSampler

try:
    from lightning.pytorch import Callback, LightningModule, Trainer
except ImportError as error:
    raise MissingDependencyError(
        "localmin.integrations.lightning needs Lightning: pip install 'localmin[lightning]'"
    ) from error

__all__ = ["WeightedSamplerCallback"]

_REMEDY = (
    "build Trainer(..., use_distributed_sampler=False), pass DataLoader(..., sampler=sampler), and leave the "
    "sampler's num_replicas and rank to torch.distributed"
)


class WeightedSamplerCallback(Callback):  # type: ignore[misc]
    """Check a sampler at the first step of every epoch, count what training consumed, save and resume.

    The trainer needs ``use_distributed_sampler=False``. A checkpoint, also one in mid-epoch, holds the
    sampler's state with its weights; ``trainer.fit(..., ckpt_path=...)`` continues with the identical
    rest. Between epochs another number of devices may continue.

    Args:
        sampler: The sampler of the training loader: `localmin.WeightedSampler`, or another of ours.

    Raises:
        InputError: While training, if Lightning reads another sampler, if it deals this one out again, or
            if an epoch that was not cut short left entries out.

    Example:
        >>> from localmin import WeightedSampler
        >>> callback = WeightedSamplerCallback(WeightedSampler([1.0, 2.0]))
        >>> callback.state_dict()["sampler"]["epoch"]
        0
    """

    def __init__(self, sampler: AbstractEpochSampler[Any, Any]) -> None:
        self.sampler = sampler
        self._num_consumed = 0
        self._is_checked = False

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Forget an earlier run."""
        self._num_consumed, self._is_checked = 0, False

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Count from zero."""
        self._num_consumed, self._is_checked = 0, False

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Check, at the first step, that Lightning reads this sampler."""
        if self._is_checked:
            return
        place = (trainer.world_size, trainer.global_rank)
        require_live(trainer.train_dataloader, self.sampler, "Lightning", _REMEDY, replica=place)
        self._is_checked = True

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Count what training has consumed."""
        size = batch_entries(trainer.train_dataloader, self.sampler)
        self._num_consumed = min(self._num_consumed + size, self.sampler.num_due)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Check that an epoch which was not cut short saw all that was due."""
        is_cut = trainer.should_stop or trainer.limit_train_batches != 1.0
        if is_cut or trainer.global_step == trainer.max_steps or trainer.fast_dev_run:
            return
        num_due = self.sampler.num_due
        if trainer.train_dataloader.drop_last:
            num_due -= num_due % batch_entries(trainer.train_dataloader, self.sampler)
        require_all_seen(self._num_consumed, num_due, "Lightning", _REMEDY)

    def state_dict(self) -> dict[str, Any]:
        """Give what a checkpoint keeps.

        Returns:
            The sampler's state where training stands, with its weights where they fit into memory.
        """
        return {"sampler": self.sampler.checkpoint(self._num_consumed)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue where a checkpoint was written.

        Args:
            state_dict: What `state_dict` gave.
        """
        self.sampler.load_state_dict(state_dict["sampler"])
        self._num_consumed, self._is_checked = 0, False
