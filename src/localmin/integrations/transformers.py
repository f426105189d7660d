"""Hugging Face Trainer: a `sampler` argument, checks at the first step, resumption with changing weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from localmin.errors import InputError, MissingDependencyError
from localmin.integrations.live_sampler import require_all_seen, require_live
from localmin.integrations.sampler_files import read_state, write_state
from localmin.sampling.epoch_sampler import AbstractEpochSampler

try:
    from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments
except ImportError as error:
    raise MissingDependencyError(
        "localmin.integrations.transformers needs Transformers: pip install 'localmin[transformers]'"
    ) from error

__all__ = ["WeightedSamplerMixin", "WeightedTrainer"]

_REMEDY = (
    "pass sampler=WeightedSampler(...).for_accelerate() to WeightedTrainer, and do not override "
    "get_train_dataloader with a loader of another sampler"
)


class WeightedSamplerMixin:
    """Give a `transformers.Trainer`, or a subclass of it, a ``sampler`` for its training loader.

    Write ``class MyTrainer(WeightedSamplerMixin, SFTTrainer): ...``, or take `WeightedTrainer`. The Trainer
    gives each process its share of the batches, so the sampler must give the global order:
    ``sampler.for_accelerate()``. Change its weights between epochs with ``set_weights``, best in a callback's
    ``on_epoch_end``. Each checkpoint holds the sampler's state; on resumption the Trainer skips what it has
    trained on, so ``ignore_data_skip`` must be False.

    Args:
        sampler: `localmin.WeightedSampler` or another of our samplers of indices.

    Raises:
        InputError: While training, if the Trainer reads another sampler, if it is dealt out twice, or if an
            epoch that was not cut short left entries out.
    """

    def __init__(self, *args: Any, sampler: AbstractEpochSampler[int, Any], **kwargs: Any) -> None:
        if not isinstance(sampler, AbstractEpochSampler) or hasattr(sampler, "batch_size"):
            raise InputError(
                f"sampler: expected a sampler of indices from localmin, got {type(sampler).__name__}; "
                "the Trainer makes its batches itself"
            )
        self.weighted_sampler = sampler
        super().__init__(*args, **kwargs)
        self.add_callback(_SamplerWatch(self))  # type: ignore[attr-defined]

    def _get_train_sampler(self, train_dataset: Any = None) -> AbstractEpochSampler[int, Any]:
        return self.weighted_sampler

    def _load_from_checkpoint(self, resume_from_checkpoint: str, *args: Any, **kwargs: Any) -> None:
        super()._load_from_checkpoint(resume_from_checkpoint, *args, **kwargs)  # type: ignore[misc]
        if self.args.ignore_data_skip:  # type: ignore[attr-defined]
            raise InputError(
                "ignore_data_skip: expected False; the sampler's epochs are continued, not begun anew"
            )
        state = read_state(Path(resume_from_checkpoint))
        # The Trainer itself skips what it has trained on, from the epoch's beginning. The state names that
        # epoch: with several processes, Accelerate does not hand set_epoch on through the wrapper that skips.
        self.weighted_sampler.load_state_dict(state | {"cursor": 0})


class WeightedTrainer(WeightedSamplerMixin, Trainer):  # type: ignore[misc]
    """`transformers.Trainer` with a ``sampler``; see `WeightedSamplerMixin`."""


class _SamplerWatch(TrainerCallback):  # type: ignore[misc]
    """Checks the first step and the end of each epoch, stores the sampler's state in checkpoints."""

    def __init__(self, trainer: Any) -> None:
        self.trainer = trainer
        self.is_checked = False
        self.num_batches = 0

    @property
    def sampler(self) -> AbstractEpochSampler[int, Any]:
        """The sampler that is watched."""
        sampler: AbstractEpochSampler[int, Any] = self.trainer.weighted_sampler
        return sampler

    def on_epoch_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        # A resumed epoch begins with what was trained on before.
        part = (state.epoch or 0.0) % 1.0
        self.is_checked, self.num_batches = False, round(part * self._batches_due(args))

    def on_step_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        if not self.is_checked:
            loader, shards = kwargs["train_dataloader"], self.trainer.accelerator.num_processes
            require_live(loader, self.sampler, "Trainer", _REMEDY, num_shards=shards)
            self.is_checked = True

    def on_substep_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self.num_batches += 1

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self.num_batches += 1

    def on_epoch_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        if not control.should_training_stop and args.max_steps <= 0:
            require_all_seen(self.num_batches, self._batches_due(args), "Trainer (counting batches)", _REMEDY)

    def _batches_due(self, args: TrainingArguments) -> int:
        """Count the batches of an epoch on each process."""
        step = int(args.train_batch_size) * int(self.trainer.accelerator.num_processes)
        num = len(self.sampler)
        return num // step if args.dataloader_drop_last else -(-num // step)

    def on_save(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        if state.is_world_process_zero:
            # The epoch and its weights are enough: the Trainer counts the batches.
            write_state(Path(args.output_dir) / f"checkpoint-{state.global_step}", self.sampler.checkpoint(0))
