"""Draw some examples more often than others with an ordinary DataLoader.

Run: python examples/weighted_dataloader.py
"""

import torch
from torch.utils.data import DataLoader, TensorDataset

import localmin

data = TensorDataset(torch.arange(1_000))
weights = torch.ones(1_000)
weights[:100] = 0.0  # never
weights[900:] = 2.0  # twice as often as the rest

sampler = localmin.WeightedSampler(weights, num_samples=1_000, seed=0)
loader = DataLoader(data, batch_size=50, sampler=sampler)
counts = torch.cat([batch for (batch,) in loader]).bincount(minlength=1_000)

# Each is drawn as often as it should, rounded down or up: 1,000 draws share 1,000 units of weight.
assert counts[:100].sum() == 0
assert counts[100:900].eq(1).all()
assert counts[900:].eq(2).all()
print("every count is as expected")
