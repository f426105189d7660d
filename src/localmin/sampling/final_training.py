"""The final trainings: uniform, searched and oracle, with equal steps and the same way of drawing."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from localmin.sampling.context import SearchContext
from localmin.sampling.result import Arm, ArmName
from localmin.sampling.weighted_draw import epoch_draw
from localmin.tasks.prediction import score_parts
from localmin.tasks.run_folder import Stage
from localmin.tasks.training import train_model

__all__ = ["final_arm", "oracle_weights"]


def final_arm(
    context: SearchContext, name: ArmName, weights: Float[Tensor, " n"] | None
) -> tuple[Arm, nn.Module]:
    """Train in full from fresh weights and score on the test set, once.

    All arms share initial weights, seeds, number of draws per epoch and optimiser steps.

    Args:
        context: Of the search.
        name: Of the arm.
        weights: Relative drawing weights, shape ``(n,)``; None is uniform.

    Returns:
        The scores, and the model in evaluation mode.
    """
    task = context.task

    def compute() -> Stage:
        context.meter.progress.stage(f"training the {name} arm")
        stage = f"arm-{name}"
        trained = train_model(
            task,
            task.train,
            epoch_draw(weights, len(task.train)),
            seed=context.stream(8, 1),
            model_seed=context.model_seed,
            device=context.device,
            checkpoint=context.folder.checkpoint(stage),
            on_epoch=context.meter.whole_epoch,
        )
        scores = score_parts(trained.model, task)
        content = {
            "scores": scores,
            "losses": list(trained.losses),
            "num_steps": trained.num_steps,
            "diverged": trained.diverged,
        }
        return content, dict(trained.model.state_dict())

    content, tensors = context.stages.once(f"arm-{name}", compute, is_shared=False)
    model = task.build_model(context.model_seed)
    model.load_state_dict(tensors)
    arm = Arm(
        name,
        content["scores"]["test"],
        content["scores"]["validation"],
        tuple(math.nan if loss is None else loss for loss in content["losses"]),
        content["num_steps"],
        content["diverged"],
    )
    return arm, model.eval()


def oracle_weights(context: SearchContext) -> Float[Tensor, " n"] | None:
    """Give weights that draw the examples with a right label only; None where that is not known."""
    wrong = context.task.wrong_labels
    if wrong is None or not bool(wrong.any()) or bool(wrong.all()):
        return None
    return torch.as_tensor((~wrong).double())
