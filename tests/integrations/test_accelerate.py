"""Accelerate, the real one, on two gloo ranks: alive, complete, resumable; and the trap it guards against."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

from localmin import WeightedSampler
from localmin.errors import InputError

pytest.importorskip("accelerate", reason="needs Accelerate")

CHECKS = """
from accelerate.utils import DataLoaderConfiguration
from localmin.errors import InputError
from localmin.sampling import WeightedBatchSampler

report["seen"] = list(seen)
report["live"] = loader.loader.batch_sampler.batch_sampler.sampler is sampler

def loader_over(weights, num_workers=0, **options):
    sampler = WeightedSampler(weights, num_samples=60, seed=5).for_accelerate()
    workers = {"num_workers": num_workers, "persistent_workers": num_workers > 0}
    return prepare_loader(accelerator, DataLoader(data, batch_size=8, sampler=sampler, **workers, **options))

# Three epochs with new weights after each; a state in the middle of the second.
accelerator._custom_objects.clear()
whole, rest = [], []
watched = loader_over(weights)
for epoch in range(3):
    for step, (_, _, indices) in enumerate(watched):
        whole.append(indices.tolist())
        if epoch == 1 and step == 1:
            accelerator.save_state("middle")
    mine = torch.arange(64.0).roll(epoch) if accelerator.is_main_process else None
    watched.sampler.set_weights(mine, broadcast=True)

# A new process: other weights, other workers; the state knows better.
accelerator._custom_objects.clear()
resumed = loader_over(torch.ones(64), num_workers=2)
accelerator.load_state("middle")
rest.append([indices.tolist() for _, _, indices in resumed])
mine = torch.arange(64.0).roll(1) if accelerator.is_main_process else None
resumed.sampler.set_weights(mine, broadcast=True)
rest.append([indices.tolist() for _, _, indices in resumed])
report |= {"whole": whole, "rest": rest}

# The last incomplete batch may be dropped; batches may be samplers' own.
dropping = loader_over(weights, drop_last=True)
report["dropping"] = [indices.tolist() for _, _, indices in dropping]
labels = torch.arange(64) % 4
ready_made = WeightedBatchSampler(weights, labels, 8, num_batches=6).for_accelerate()
batches = prepare_loader(accelerator, DataLoader(data, batch_sampler=ready_made))
report["batches"] = [indices.tolist() for _, _, indices in batches]

refusals = {}
for name, wrong in {"dealing": WeightedSampler(weights), "foreign": None}.items():
    try:
        prepare_loader(accelerator, DataLoader(data, batch_size=8, sampler=wrong))
    except InputError as error:
        refusals[name] = str(error)
# Somebody puts another sampler in, behind our back.
watched.loader.batch_sampler.batch_sampler.sampler = torch.utils.data.SequentialSampler(data)
try:
    next(iter(watched))
except InputError as error:
    refusals["replaced"] = str(error)
report["refusals"] = refusals
"""


def weights_of_the_page() -> Tensor:
    return torch.rand(64, generator=torch.Generator().manual_seed(1))


def batches_of(order: list[int], rank: int) -> list[list[int]]:
    """Deal batches of 8 out to two processes, the last ones filled up from the beginning."""
    filled = order + order[: math.ceil(len(order) / 16) * 16 - len(order)]
    return [filled[start : start + 8] for start in range(rank * 8, len(filled), 16)]


def test_two_ranks_see_all_that_is_due_and_resume(run_on_ranks: Callable[..., list[dict[str, Any]]]) -> None:
    reports = run_on_ranks("sampler_accelerate.md", CHECKS)
    page = WeightedSampler(weights_of_the_page(), num_samples=60, seed=0)
    orders = [list(page) for _ in range(3)]
    changing = WeightedSampler(weights_of_the_page(), num_samples=60, seed=5)
    changed = []
    for epoch in range(3):
        changed.append(list(changing))
        changing.set_weights(torch.arange(64.0).roll(epoch))
    for rank, report in enumerate(reports):
        assert report["live"]
        assert report["seen"] == [
            index for order in orders for batch in batches_of(order, rank) for index in batch
        ]
        assert report["whole"] == [batch for order in changed for batch in batches_of(order, rank)]
        # Two of four steps were taken: 32 of 60 indices. Accelerate fills up with the first it is given.
        left = changed[1][32:] + changed[1][32:36]
        assert report["rest"][0] == [left[rank * 8 : rank * 8 + 8], left[16 + rank * 8 : 24 + rank * 8]]
        assert report["rest"][1] == batches_of(changed[2], rank)
        assert report["dropping"] == batches_of(changed[0][:48], rank)
        refusals = report["refusals"]
        assert f"your WeightedSampler is rank {rank} of 2" in refusals["dealing"]
        assert "sampler.for_accelerate()" in refusals["dealing"]
        assert "expected one with a sampler of localmin" in refusals["foreign"]
        assert "does not read your WeightedSampler" in refusals["replaced"]
        assert "SequentialSampler" in refusals["replaced"]
    ready_made = [
        batch for pair in zip(*(report["batches"] for report in reports), strict=True) for batch in pair
    ]
    labels = torch.arange(64) % 4
    assert len(ready_made) == 6
    assert all(labels[batch].bincount().tolist() == [2, 2, 2, 2] for batch in ready_made)


def test_one_process_resumes_where_the_state_says() -> None:
    from accelerate import Accelerator

    from localmin.integrations.accelerate import prepare_loader

    accelerator = Accelerator(cpu=True)
    data = TensorDataset(torch.arange(20))
    order = list(WeightedSampler(torch.ones(20)))
    loader = prepare_loader(
        accelerator, DataLoader(data, batch_size=6, sampler=WeightedSampler(torch.ones(20)))
    )
    assert len(loader) == 4
    seen: list[int] = []
    for (batch,) in loader:
        seen += batch.tolist()
        if len(seen) == 12:
            break
    state = loader.state_dict()
    assert state["cursor"] == 12
    again = prepare_loader(
        accelerator, DataLoader(data, batch_size=3, sampler=WeightedSampler(torch.ones(20)))
    )
    again.load_state_dict(state)
    assert seen + [int(index) for (batch,) in again for index in batch] == order
    assert again.state_dict()["epoch"] == 1


def test_dispatching_from_one_process_is_refused() -> None:
    from accelerate import Accelerator
    from accelerate.utils import DataLoaderConfiguration

    from localmin.integrations.accelerate import prepare_loader

    accelerator = Accelerator(cpu=True, dataloader_config=DataLoaderConfiguration(dispatch_batches=True))
    loader = DataLoader(
        TensorDataset(torch.arange(20)), batch_size=4, sampler=WeightedSampler(torch.ones(20))
    )
    with pytest.raises(InputError, match="dispatch_batches: expected False, got True"):
        prepare_loader(accelerator, loader)
