"""What every step of one search needs: task, settings, seeds, folder, device, progress."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from localmin.errors import DataError, InputError
from localmin.sampling.execution import Stages
from localmin.sampling.forms import get_form
from localmin.sampling.progress import EpochMeter
from localmin.sampling.second_opinion import Opinion
from localmin.sampling.settings import SearchSettings
from localmin.sampling.trial import ScoreWeights
from localmin.tasks.run_folder import RunFolder
from localmin.tasks.task import Task
from localmin.tasks.training import mix_seed

__all__ = ["SearchContext", "shares_weights", "wanted_class_mix"]

_MIN_VALIDATION = 20
_MIN_VALIDATION_WARM_START = 100
_SIGNIFICANCE = 1e-4


@dataclass(frozen=True, eq=False)
class SearchContext:
    """Join the parts of one search; made once, read by every step.

    Args:
        task: Its data may stay on the CPU whatever the device.
        settings: Of the search.
        seed: Of everything random.
        stages: Finished ones are read, others are computed, trials wherever they run.
        device: Where networks are trained.
        meter: Hears of epochs done.
        class_prior: Whether one of the ten numbers is the exponent of a class prior.
        score_weights: Items' weights in the score.
        shares_weights: Whether the network uses the same weights at many places, see `shares_weights`.
        opinion: Averaged with the features of the network; None where there is none.
    """

    task: Task
    settings: SearchSettings
    seed: int
    stages: Stages
    device: torch.device
    meter: EpochMeter
    class_prior: bool
    score_weights: ScoreWeights
    shares_weights: bool
    opinion: Opinion | None = None

    def stream(self, *parts: int) -> int:
        """Derive the seed of an independent purpose."""
        return mix_seed(self.seed, *parts)

    def epochs(self, share: float) -> int:
        """Turn a share of a training into epochs, at least 1."""
        return max(1, round(share * self.task.epochs))

    @property
    def folder(self) -> RunFolder:
        """The run folder."""
        return self.stages.folder

    @property
    def feature_share(self) -> float:
        """Length of a feature run, in trainings."""
        return self.settings.feature_share if self.opinion is None else self.settings.opinion_feature_share

    @property
    def model_seed(self) -> int:
        """Seed of the initial weights of the feature run and of every final training."""
        return self.stream(0, 1)

    @property
    def min_effective(self) -> float:
        """Fewest effective examples of an acceptable sampler: a batch, and 6.4 % of the data."""
        return max(float(self.task.recipe.batch_size), 0.064 * len(self.task.train))


def check_task(task: Task, settings: SearchSettings) -> None:
    """Refuse tasks on which no search can work, before any time is spent.

    Args:
        task: To be searched.
        settings: Of the search.

    Raises:
        DataError: If there are too few validation examples.
        InputError: If a batch is larger than the training set, or the form needs what two classes lack.
    """
    needed = _MIN_VALIDATION_WARM_START if settings.proxy == "warm-start" else _MIN_VALIDATION
    if len(task.validation) < needed:
        raise DataError(
            f"the validation set has {len(task.validation)} examples, too few to rank samplers; "
            f"proxy {settings.proxy} needs at least {needed}: give more data or a larger --limit"
        )
    if task.recipe.batch_size > len(task.train) // 2:
        raise InputError(
            f"the batch size {task.recipe.batch_size} is more than half of the {len(task.train)} training "
            "examples, no sampler could leave any out; give a smaller --batch-size"
        )
    get_form(settings.form_for(task.num_classes)).check_classes(task.num_classes)


def shares_weights(task: Task) -> bool:
    """Tell whether the network uses the same weights at many places, so that it memorises slowly.

    Convolutions do over an image, language models over a sequence. Such a network learns too little from a
    quarter of the examples to be judged by it.

    Args:
        task: Its network is built to look at it.

    Returns:
        Whether it does.
    """
    if task.kind.name == "language-model":
        return True
    model = task.build_model(0)
    return any(isinstance(module, nn.Conv1d | nn.Conv2d | nn.Conv3d) for module in model.modules())


def wanted_class_mix(task: Task) -> Float[Tensor, " c"] | None:
    """Decide whether classes must be re-weighted, and to what.

    With balanced accuracy all classes count the same. With plain accuracy the validation set shows the
    wanted mix, unless the training set has the same mix (chi-square test of homogeneity, p >= 1e-4).

    Args:
        task: Its labels are counted.

    Returns:
        Shares of the classes, shape ``(C,)``, or None where the training set's own mix is right.
    """
    from scipy.stats import chi2_contingency

    if task.num_groups < 2:
        return None
    train = task.train_groups.bincount(minlength=task.num_groups)
    validation = task.kind.groups(task.validation.labels.cpu()).bincount(minlength=task.num_groups)
    if task.metric == "balanced-accuracy":
        return torch.full((task.num_classes,), 1 / task.num_classes, dtype=torch.float64)
    present = (train + validation) > 0
    table = torch.stack([train[present], validation[present]]).numpy()
    if table.shape[1] < 2 or chi2_contingency(table).pvalue >= _SIGNIFICANCE:
        return None
    return validation.double() / validation.sum()
