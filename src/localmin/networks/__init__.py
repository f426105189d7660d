"""Networks as data: weights that can be read, checked, compared and turned back into modules."""

from localmin.networks.deep_linear import DeepLinear
from localmin.networks.relu import ReLUNetwork

__all__ = ["DeepLinear", "ReLUNetwork"]
