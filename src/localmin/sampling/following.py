"""A sampler whose features follow the training it steers."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from localmin.sampling.feature_run import EpochMean
from localmin.sampling.feature_table import FeatureTable
from localmin.sampling.policy import Policy
from localmin.sampling.second_opinion import average_tables
from localmin.sampling.weight_table import effective_sample_size
from localmin.sampling.weighted_draw import epoch_draw
from localmin.tasks.task import Task

__all__ = ["FollowingSampler"]

_FIRST_LOOK = 3
_BEGIN_SHARE = 0.25


class FollowingSampler:
    """Draw by a policy, and place every example anew after each epoch by what the network now says of it.

    The ten numbers stay. Features are the means over the ends of epochs of *this* run, from the third on;
    once a quarter of the training has passed they replace those the training began with. The network sees
    few of the dropped examples, so it judges them more and more like a network that never saw them.

    It is an epoch draw and an observer at once: `train_model(..., draw=s, observer=s)`.

    Args:
        task: Its training part is drawn.
        policy: The ten numbers.
        weights: To begin with, shape ``(n,)``.
        epochs: Of the training.
        opinion: Averaged with every look, as it was in the features the policy was found on; None is not.

    Cost:
        A forward pass over the training examples after every epoch.
    """

    watches_steps = False

    def __init__(
        self,
        task: Task,
        policy: Policy,
        weights: Float[Tensor, " n"],
        epochs: int,
        *,
        opinion: FeatureTable | None = None,
    ) -> None:
        self.task, self.policy, self.weights, self.opinion = task, policy, weights, opinion
        self.begin = max(_FIRST_LOOK, round(_BEGIN_SHARE * epochs))
        self.epochs = epochs
        self._features = EpochMean(task, task.train, first_epoch=min(_FIRST_LOOK, epochs))

    def __call__(self, generator: torch.Generator) -> Tensor:
        """Draw an epoch by the weights of the moment."""
        return epoch_draw(self.weights, len(self.task.train))(generator)

    def on_step(self, epoch: int, indices: Tensor, logits: Tensor, labels: Tensor) -> None:
        """Do nothing: looks happen between epochs."""

    def on_epoch(self, epoch: int, model: nn.Module) -> None:
        """Look at all examples, and weigh them anew once it is time."""
        if epoch == self.epochs:
            return
        self._features.on_epoch(epoch, model)
        if epoch < self.begin:
            return
        table = self._features.looks.table("the training itself")
        if self.opinion is not None:
            table = average_tables(table, self.opinion)
        found = self.policy.weights(table, self.task.train_groups, num_classes=self.task.num_groups)
        # Where features collapse onto few values a policy may miss nearly all of them: keep the last weights.
        if bool(found.any()) and effective_sample_size(found) >= self.task.recipe.batch_size:
            self.weights = found

    def state(self) -> dict[str, Tensor]:
        """List the running sums and the weights of the moment."""
        return {**self._features.state(), "weights": self.weights}

    def restore(self, state: dict[str, Tensor]) -> None:
        """Take up an interrupted run."""
        self._features.restore(state)
        self.weights = state["weights"]
