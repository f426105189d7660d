"""Draw some examples more often than others with an ordinary DataLoader, stop, and continue.

Run: python examples/weighted_dataloader.py
"""

import torch
from torch.utils.data import DataLoader, TensorDataset

import localmin
from localmin.sampling import WeightedBatchSampler

data = TensorDataset(torch.arange(1_000))
weights = torch.ones(1_000)
weights[:100] = 0.0  # never
weights[900:] = 2.0  # twice as often as the rest

sampler = localmin.WeightedSampler(weights, num_samples=1_000, seed=0)
loader = DataLoader(data, batch_size=50, sampler=sampler)
epoch = torch.cat([batch for (batch,) in loader])
counts = epoch.bincount(minlength=1_000)

# Each is drawn as often as it should, rounded down or up: 1,000 draws share 1,000 units of weight.
assert counts[:100].sum() == 0
assert counts[100:900].eq(1).all()
assert counts[900:].eq(2).all()
print("every count is as expected")

# Stop after 300 examples, and continue in what could be another process.
sampler = localmin.WeightedSampler(weights, num_samples=1_000, seed=0)
seen: list[int] = []
for (batch,) in DataLoader(data, batch_size=50, sampler=sampler):
    seen += batch.tolist()
    if len(seen) == 300:
        break
state = sampler.state_dict(num_consumed=len(seen))
resumed = localmin.WeightedSampler(weights, num_samples=1_000)
resumed.load_state_dict(state)
assert seen + list(resumed) == epoch.tolist()
print("the rest of the epoch is the identical rest")

# The same share of three classes in every batch, whatever their sizes.
labels = torch.tensor([0] * 900 + [1] * 90 + [2] * 10)
for (batch,) in DataLoader(data, batch_sampler=WeightedBatchSampler(None, labels, batch_size=12)):
    assert labels[batch].bincount().tolist() == [4, 4, 4]
print("every batch has four of each class")
