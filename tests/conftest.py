"""Settings for all tests."""

import torch

# Small networks run several times faster on one thread, and the tests share the machine among processes.
torch.set_num_threads(1)
