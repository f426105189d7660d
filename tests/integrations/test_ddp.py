"""DistributedDataParallel on two gloo ranks: the page's script, and what each rank saw."""

from collections.abc import Callable
from typing import Any

import torch

from localmin import WeightedSampler

CHECKS = """
torch.distributed.barrier()
loaded = torch.load("checkpoint.pt", weights_only=True)["sampler"]
report["checkpoint_epoch"] = loaded["epoch"]

# The next epoch, interrupted behind two workers that ask ahead, and continued by a new sampler and loader.
sampler.set_weights(losses + 0.1, broadcast=True)
workers = {"num_workers": 2, "prefetch_factor": 4, "persistent_workers": True}
ahead = DataLoader(data, batch_size=8, sampler=sampler, **workers)
seen = []
for _, _, indices in ahead:
    seen += indices.tolist()
    if len(seen) == 16:
        break
state = sampler.state_dict(num_consumed=16, include_weights=True)
resumed = WeightedSampler(torch.ones(64))
resumed.load_state_dict(state)
seen += [int(index) for _, _, indices in DataLoader(data, batch_size=5, sampler=resumed) for index in indices]
report |= {"seen": seen, "weights": state["weights"].tolist(), "mine": (losses + 0.1).tolist()}
dist.destroy_process_group()
"""


def test_two_ranks_share_changing_weights_and_resume(
    run_on_ranks: Callable[..., list[dict[str, Any]]],
) -> None:
    reports = run_on_ranks("sampler_ddp.md", CHECKS)
    weights = torch.tensor(reports[0]["weights"], dtype=torch.float64)
    assert reports[0]["weights"] == reports[1]["weights"]
    assert torch.allclose(weights, torch.tensor(reports[0]["mine"], dtype=torch.float64))
    assert [report["checkpoint_epoch"] for report in reports] == [3, 3]
    for rank, report in enumerate(reports):
        share = WeightedSampler(weights, num_replicas=2, rank=rank)
        share.set_epoch(3)
        assert report["seen"] == list(share)
