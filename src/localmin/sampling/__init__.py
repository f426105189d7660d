"""Swift Sampler: search a data sampler with ten numbers, and use it.

The path of the main job: `run_features` -> `FeatureTable` -> `PolicySpace` -> weights -> `run_trial` ->
engine -> `pick_top` -> `guard` -> `final_arm` -> `SearchResult`.
"""

from localmin.sampling.block_sampler import BlockSampler
from localmin.sampling.class_weights import class_balanced_weights
from localmin.sampling.explanation import Explanation, explain
from localmin.sampling.features import example_features
from localmin.sampling.forms import get_form
from localmin.sampling.policy import Policy, PolicySpace
from localmin.sampling.result import SearchResult
from localmin.sampling.search import search
from localmin.sampling.seeds import search_seeds
from localmin.sampling.settings import PRESETS, SearchSettings, preset_settings
from localmin.sampling.starts import with_starts
from localmin.sampling.stored import StoredRun, load_result
from localmin.sampling.transfer import train
from localmin.sampling.transforms import Transform, fit_transform
from localmin.sampling.weight_index import WeightIndex
from localmin.sampling.weighted_batch_sampler import WeightedBatchSampler
from localmin.sampling.weighted_sampler import WeightedSampler

__all__ = [
    "PRESETS",
    "BlockSampler",
    "Explanation",
    "Policy",
    "PolicySpace",
    "SearchResult",
    "SearchSettings",
    "StoredRun",
    "Transform",
    "WeightIndex",
    "WeightedBatchSampler",
    "WeightedSampler",
    "class_balanced_weights",
    "example_features",
    "explain",
    "fit_transform",
    "get_form",
    "load_result",
    "preset_settings",
    "search",
    "search_seeds",
    "train",
    "with_starts",
]
