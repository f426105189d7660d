"""Lightning, the real one, on two gloo ranks: alive, complete, resumable; and the trap it guards against."""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor

from localmin import WeightedSampler

pytest.importorskip("lightning", reason="needs Lightning")

CHECKS = """
from lightning.pytorch.callbacks import ModelCheckpoint
from localmin.errors import InputError

report["seen"] = list(seen)
report["live"] = trainer.train_dataloader.sampler is sampler

class ChangesWeights(pl.Callback):
    def on_train_epoch_end(self, trainer, module):
        mine = torch.arange(64.0).roll(trainer.current_epoch) if trainer.global_rank == 0 else None
        self.sampler.set_weights(mine, broadcast=True)

def fit(sampler, ckpt_path=None, num_workers=0, callback=True, **options):
    seen.clear()
    changes = ChangesWeights()
    changes.sampler = sampler
    workers = {"num_workers": num_workers, "persistent_workers": num_workers > 0}
    trainer = pl.Trainer(
        accelerator="cpu", devices=world, strategy="ddp", logger=False, enable_progress_bar=False,
        enable_model_summary=False, max_epochs=3,
        callbacks=[changes,
                   ModelCheckpoint("checkpoints", "{step}", every_n_train_steps=2, save_top_k=-1),
                   ModelCheckpoint("checkpoints", "{epoch}", save_on_train_epoch_end=True, save_top_k=-1),
                   *([WeightedSamplerCallback(sampler)] if callback else [])],
        **{"use_distributed_sampler": False, **options},
    )
    trainer.fit(Model(), DataLoader(data, batch_size=8, sampler=sampler, **workers), ckpt_path=ckpt_path)
    return list(seen)

report["whole"] = fit(WeightedSampler(weights, num_samples=60, seed=5))
# A new process would build the sampler with whatever weights; the checkpoint knows better.
report["rest_in_mid_epoch"] = fit(
    WeightedSampler(torch.ones(64), num_samples=60), "checkpoints/step=6.ckpt", num_workers=2
)
report["rest_of_epochs"] = fit(WeightedSampler(torch.ones(64), num_samples=60), "checkpoints/epoch=1.ckpt")

refusals = {}
for name, options in {"wrapped": {"use_distributed_sampler": True}, "global": {}}.items():
    wrong = WeightedSampler(weights, **({"num_replicas": 1, "rank": 0} if name == "global" else {}))
    try:
        fit(wrong, **options)
    except InputError as error:
        refusals[name] = str(error)
report["refusals"] = refusals
"""


def weights_of_the_page() -> Tensor:
    return torch.rand(64, generator=torch.Generator().manual_seed(1))


def shares(weights: list[Tensor], seed: int, rank: int) -> list[int]:
    """List what one of two ranks must see, epoch by epoch, with these weights."""
    sampler = WeightedSampler(weights[0], num_samples=60, seed=seed, num_replicas=2, rank=rank)
    found = list(sampler)
    for _, table in pairwise(weights):
        sampler.set_weights(table)
        found += list(sampler)
    return found


def test_two_ranks_see_all_that_is_due_and_resume(run_on_ranks: Callable[..., list[dict[str, Any]]]) -> None:
    reports = run_on_ranks("sampler_lightning.md", CHECKS)
    for rank, report in enumerate(reports):
        assert report["live"]
        assert report["seen"] == shares([weights_of_the_page()] * 3, 0, rank)
        changing = [weights_of_the_page(), torch.arange(64.0), torch.arange(64.0).roll(1)]
        whole = shares(changing, 5, rank)
        assert report["whole"] == whole
        # Four steps an epoch of 30 indices, the last step with 6: six steps are 46 indices.
        assert report["rest_in_mid_epoch"] == whole[46:]
        assert report["rest_of_epochs"] == whole[60:]
        wrapped, without_ranks = report["refusals"]["wrapped"], report["refusals"]["global"]
        assert "Lightning does not read your WeightedSampler" in wrapped
        assert "DistributedSamplerWrapper" in wrapped
        assert "use_distributed_sampler=False" in wrapped
        assert "your WeightedSampler is rank 0 of 1" in without_ranks
