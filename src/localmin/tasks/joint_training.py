"""Several networks of one kind trained at once: parameters stacked, one forward pass for all.

Worth it where a step is short of work rather than of arithmetic: small networks on a GPU. Numbers are those
of `train_model` up to rounding, since batched matrix products add in another order.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap
from torch.nn.modules.dropout import _DropoutNd

from localmin.tasks.examples import Examples
from localmin.tasks.memory import naming_shortage
from localmin.tasks.recipe import Recipe, learning_rate_factor
from localmin.tasks.task import Task
from localmin.tasks.training import SHORTAGE_REMEDY, EpochDraw, Observer, Start, count_steps, mix_seed

__all__ = ["JointTraining", "why_not_together"]


def why_not_together(task: Task, recipe: Recipe) -> str | None:
    """Tell what keeps networks of a task from being trained at once.

    Args:
        task: Gives the network.
        recipe: Gives the optimiser.

    Returns:
        The reason in words, or None if nothing is known to.
    """
    model = task.build_model(0)
    if any(isinstance(module, _DropoutNd) and module.p > 0 for module in model.modules()):
        return "drop-out would draw other numbers than in a training of its own"
    if any(True for _ in model.buffers()):
        return "the network keeps running statistics (batch norm)"
    if not isinstance(recipe.optimizer, str):
        return "the optimiser is the user's own and may join what must stay apart"
    return None


class JointTraining:
    """The state of several trainings that differ in their draws alone.

    Args:
        task: Gives the network, the loss and the normalisation.
        examples: What the draws point into.
        draws: One per network; all give equally many examples.
        seed: Of order and augmentation, shared.
        model_seed: Of the initial weights, shared.
        epochs: Of each training.
        lr_scale: Multiplies the learning rate.
        start: Weights to begin from instead.
        device: Where to train.
    """

    def __init__(
        self,
        task: Task,
        examples: Examples,
        draws: Sequence[EpochDraw],
        *,
        seed: int,
        model_seed: int,
        epochs: int,
        lr_scale: float = 1.0,
        start: Start | None = None,
        device: torch.device | str = "cpu",
    ) -> None:
        self.task, self.examples, self.draws, self.recipe = task, examples, draws, task.recipe
        self.seed, self.epochs, self.device = seed, epochs, torch.device(device)
        self.model = task.build_model(model_seed).to(self.device)
        if start is not None:
            self.model.load_state_dict(start.model)
        self.stacked, _ = stack_module_state([self.model] * len(draws))
        self.optimizer = self.recipe.make_optimizer(self.stacked.values())
        self.peaks = [group["lr"] * lr_scale for group in self.optimizer.param_groups]
        self.scale_batches = not examples.inputs.is_floating_point()
        inputs = examples.inputs if self.scale_batches else task.prepare(examples.inputs)
        self.inputs, self.labels = inputs.to(self.device), examples.labels.to(self.device)
        self.num_draws = [0] * len(draws)
        self.diverged = [False] * len(draws)

    def run(
        self, observers: Sequence[Observer], *, on_epoch: Callable[[int, int], None] | None = None
    ) -> None:
        """Train; each network is shown to its observer at the end of each epoch.

        Args:
            observers: One per network; they see no steps.
            on_epoch: Called with (epochs done, epochs in all), once per network.

        Raises:
            OutOfMemoryError: If memory runs out.
        """
        batches = f"{len(self.draws)} networks at once with batches of {self.recipe.batch_size}"
        with naming_shortage(f"while training {batches}", SHORTAGE_REMEDY):
            self._run(observers, on_epoch)

    def _run(self, observers: Sequence[Observer], on_epoch: Callable[[int, int], None] | None) -> None:
        for epoch in range(1, self.epochs + 1):
            if all(self.diverged):
                return
            losses = self.epoch(epoch)
            for place, observer in enumerate(observers):
                if self.diverged[place]:
                    continue
                self.diverged[place] = not math.isfinite(losses[place])
                if not self.diverged[place]:
                    observer.on_epoch(epoch, self.network(place))
                if on_epoch is not None:
                    on_epoch(epoch, self.epochs)

    def epoch(self, epoch: int) -> list[float]:
        """Go through one epoch.

        Args:
            epoch: From 1.

        Returns:
            Mean training loss of each network.
        """
        generators = [torch.Generator().manual_seed(mix_seed(self.seed, epoch)) for _ in self.draws]
        orders = torch.stack([draw(g) for draw, g in zip(self.draws, generators, strict=True)])
        count, size = orders.shape[1], self.recipe.batch_size
        steps = count_steps(count, size)
        total = torch.zeros(len(self.draws), device=self.device)
        self.model.train()
        for step in range(steps):
            chosen = orders[:, step * size : (step + 1) * size if step < steps - 1 else count]
            self._set_learning_rate((epoch - 1) * steps + step, steps)
            losses = self._losses(chosen.to(self.device), generators)
            self.optimizer.zero_grad(set_to_none=True)
            # Each loss depends on the parameters of one network: the gradient of the sum is all of theirs.
            losses.sum().backward()  # type: ignore[no-untyped-call]
            self.optimizer.step()
            total += losses.detach() * chosen.shape[1]
        for place, is_over in enumerate(self.diverged):
            self.num_draws[place] += 0 if is_over else count
        return list((total / count).tolist())

    def network(self, place: int) -> nn.Module:
        """Show one of the networks; it is the same module with other weights at the next call."""
        with torch.no_grad():
            for name, parameter in self.model.named_parameters():
                parameter.copy_(self.stacked[name][place])
        return self.model

    def _losses(self, chosen: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
        inputs, labels = self.inputs[chosen], self.labels[chosen]
        if self.scale_batches:
            inputs = torch.stack([self.task.prepare(part) for part in inputs])
        if self.recipe.augmentation != "none":
            pairs = zip(inputs, generators, strict=True)
            inputs = torch.stack([self.recipe.augment(part, generator) for part, generator in pairs])
        outputs = vmap(lambda weights, batch: functional_call(self.model, weights, (batch,)))(
            self.stacked, inputs
        )
        flat, targets = outputs.flatten(0, 1), labels.flatten(0, 1)
        if self.task.has_plain_cross_entropy:
            smoothing = self.recipe.label_smoothing
            each = nn.functional.cross_entropy(flat, targets, reduction="none", label_smoothing=smoothing)
        else:
            each = self.task.example_loss(flat, targets)
        return each.view(len(self.draws), -1).mean(1)

    def _set_learning_rate(self, step: int, steps_per_epoch: int) -> None:
        factor = learning_rate_factor(
            self.recipe, step, num_steps=self.epochs * steps_per_epoch, steps_per_epoch=steps_per_epoch
        )
        for group, peak in zip(self.optimizer.param_groups, self.peaks, strict=True):
            group["lr"] = peak * factor
