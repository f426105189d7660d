"""The Hugging Face Trainer, the real one, on two gloo ranks: alive, complete, resumable."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from localmin import WeightedSampler

pytest.importorskip("transformers", reason="needs Transformers")

CHECKS = """
import transformers
from transformers import TrainerCallback
from localmin.errors import InputError, LocalminError
from localmin.integrations.transformers import WeightedSamplerMixin

report["seen"] = list(seen)

class ChangesWeights(TrainerCallback):
    def on_epoch_end(self, args, state, control, **kwargs):
        mine = torch.arange(64.0).roll(round(state.epoch) - 1) if state.is_world_process_zero else None
        self.trainer.weighted_sampler.set_weights(mine, broadcast=True)

def fit(weights, resume=None, kind=WeightedTrainer, seed=5, sampler=None, **options):
    seen.clear()
    settings = dict(
        output_dir="checks", num_train_epochs=3, per_device_train_batch_size=8, save_steps=3,
        report_to="none", use_cpu=True, disable_tqdm=True, remove_unused_columns=False,
    )
    trainer = kind(
        model=Model(), args=TrainingArguments(**settings | options), train_dataset=data,
        sampler=sampler or WeightedSampler(weights, num_samples=60, seed=seed).for_accelerate(),
    )
    changes = ChangesWeights()
    changes.trainer = trainer
    trainer.add_callback(changes)
    trainer.train(resume_from_checkpoint=resume)
    return list(seen)

report["whole"] = fit(weights)
# Four steps an epoch; step 6 is in the middle of the second.
report["rest"] = fit(torch.ones(64), "checks/checkpoint-6", dataloader_num_workers=2)
fit(weights, output_dir="by_epoch", save_strategy="epoch")
report["rest_of_epochs"] = fit(torch.ones(64), "by_epoch/checkpoint-8")
report["accumulated"] = fit(weights, gradient_accumulation_steps=2)

class Replacing(WeightedSamplerMixin, transformers.Trainer):
    def _get_train_sampler(self, train_dataset=None):
        return torch.utils.data.RandomSampler(self.train_dataset)

wrong = {
    "replaced": lambda: fit(weights, kind=Replacing),
    "dealing": lambda: fit(weights, sampler=WeightedSampler(weights)),
    "skipping": lambda: fit(weights, "checks/checkpoint-6", ignore_data_skip=True),
    "foreign": lambda: fit(weights, sampler=torch.utils.data.SequentialSampler(data)),
}
refusals = {}
for name, attempt in wrong.items():
    try:
        attempt()
    except LocalminError as error:
        refusals[name] = str(error)
report["refusals"] = refusals
"""


def weights_of_the_page() -> Tensor:
    return torch.rand(64, generator=torch.Generator().manual_seed(1))


def share_of(order: list[int], rank: int) -> list[int]:
    """List what one of two processes sees of batches of 8, the last ones filled up from the beginning."""
    filled = order + order[: math.ceil(len(order) / 16) * 16 - len(order)]
    return [index for start in range(rank * 8, len(filled), 16) for index in filled[start : start + 8]]


def test_two_ranks_see_all_that_is_due_and_resume(run_on_ranks: Callable[..., list[dict[str, Any]]]) -> None:
    reports = run_on_ranks("sampler_hf_trainer.md", CHECKS)
    page = WeightedSampler(weights_of_the_page(), num_samples=60, seed=0)
    orders = [list(page) for _ in range(3)]
    changing = WeightedSampler(weights_of_the_page(), num_samples=60, seed=5)
    changed = []
    for epoch in range(3):
        changed.append(list(changing))
        changing.set_weights(torch.arange(64.0).roll(epoch))
    for rank, report in enumerate(reports):
        assert report["seen"] == [index for order in orders for index in share_of(order, rank)]
        whole = [index for order in changed for index in share_of(order, rank)]
        assert report["whole"] == report["accumulated"] == whole
        assert report["rest"] == whole[6 * 8 :]
        assert report["rest_of_epochs"] == whole[8 * 8 :]
        refusals = report["refusals"]
        assert "Trainer does not read your WeightedSampler" in refusals["replaced"]
        assert "RandomSampler" in refusals["replaced"]
        assert f"your WeightedSampler is rank {rank} of 2" in refusals["dealing"]
        assert "ignore_data_skip: expected False" in refusals["skipping"]
        assert "got SequentialSampler" in refusals["foreign"]
