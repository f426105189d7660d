"""Use a policy that was found before: on the same data, on other data, on another network."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from localmin.errors import InputError
from localmin.sampling.feature_run import run_features
from localmin.sampling.feature_table import FeatureTable
from localmin.sampling.following import FollowingSampler
from localmin.sampling.policy import Policy
from localmin.sampling.progress import EpochMeter, SearchProgress, Silent
from localmin.sampling.second_opinion import average_tables, has_opinion, plan_opinion
from localmin.sampling.weight_table import effective_sample_size, validate_weights
from localmin.sampling.weighted_draw import epoch_draw
from localmin.tasks.prediction import score_parts
from localmin.tasks.recipe import OptimizerFactory
from localmin.tasks.run_folder import RunFolder, Stage, task_identity
from localmin.tasks.storage import finite, read_tensors
from localmin.tasks.task import Task
from localmin.tasks.training import mix_seed, train_model

__all__ = ["TRANSFERS", "TrainResult", "Transfer", "carried_weights", "train", "train_run"]

Transfer = Literal["recompute", "tables", "probabilities"]
TRANSFERS: tuple[Transfer, ...] = ("recompute", "tables", "probabilities")

_FEATURE_SHARE = 0.5


@dataclass(frozen=True, eq=False)
class TrainResult:
    """What a training under a policy leaves.

    Args:
        model: In evaluation mode.
        losses: Mean training loss per epoch, nats.
        weights: Drawing weights that were used, shape ``(n,)``; None for uniform.
        scores: By part: ``"test"``, ``"validation"``.
        feature_epochs: Cost of computing features for the policy.
        training_epochs: Cost of the training itself.
        num_steps: Optimiser steps.
        diverged: Whether the loss became NaN or infinite; the training stopped there.
    """

    model: nn.Module
    losses: tuple[float, ...]
    weights: Float[Tensor, " n"] | None
    scores: dict[str, float]
    feature_epochs: float
    training_epochs: float
    num_steps: int
    diverged: bool = False

    def to_dict(self) -> dict[str, Any]:
        """List everything but the arrays, in JSON types; what is not finite becomes None."""
        return {
            "losses": finite(list(self.losses)),
            "scores": self.scores,
            "feature_epochs": self.feature_epochs,
            "training_epochs": self.training_epochs,
            "num_steps": self.num_steps,
            "diverged": self.diverged,
            "effective_examples": None if self.weights is None else effective_sample_size(self.weights),
        }


def train(
    task: Task,
    *,
    policy: Policy | str | Path | None = None,
    optimizer: str | OptimizerFactory | None = None,
    transfer: Transfer = "recompute",
    weights: Float[Tensor, " n"] | None = None,
    follow: bool = False,
    seed: int = 0,
    out: str | Path | None = None,
    device: torch.device | str = "cpu",
    progress: SearchProgress | None = None,
) -> tuple[nn.Module, dict[str, Any]]:
    """Train the task's network, drawing examples by a policy, by given weights, or uniformly.

    Args:
        task: Data, network and recipe; need not be those the policy was found on.
        policy: A policy, or the path of one.
        optimizer: ``"sgd"``, ``"adam"``, ``"adamw"`` or a factory; None is the recipe's.
        transfer: ``"recompute"`` carries the ten numbers and computes features and their places anew;
            ``"tables"`` carries the saved knots too; ``"probabilities"`` needs ``weights`` instead.
        weights: Relative drawing weights, shape ``(n,)``, instead of a policy.
        follow: Place examples anew after each epoch by this very training, see `FollowingSampler`.
        seed: Of everything random.
        out: Run folder; a training that was killed goes on there.
        device: Where to train.
        progress: Hears how far it is.

    Returns:
        The model in evaluation mode, and its history: losses, scores, costs.

    Example:
        >>> from localmin.tasks import digits
        >>> model, history = train(digits(seed=0, epochs=2), seed=0)
        >>> history["num_steps"]
        32
    """
    result = train_run(
        task, policy=policy, optimizer=optimizer, transfer=transfer, weights=weights, follow=follow,
        seed=seed, out=out, device=device, progress=progress,
    )  # fmt: skip
    return result.model, result.to_dict()


def train_run(
    task: Task,
    *,
    policy: Policy | str | Path | None = None,
    optimizer: str | OptimizerFactory | None = None,
    transfer: Transfer = "recompute",
    weights: Float[Tensor, " n"] | None = None,
    follow: bool = False,
    seed: int = 0,
    out: str | Path | None = None,
    device: torch.device | str = "cpu",
    progress: SearchProgress | None = None,
) -> TrainResult:
    """Train as `train` does and keep everything in one result.

    Args:
        task: As in `train`.
        policy: As in `train`.
        optimizer: As in `train`.
        transfer: As in `train`.
        weights: As in `train`.
        follow: As in `train`.
        seed: As in `train`.
        out: As in `train`.
        device: As in `train`.
        progress: As in `train`.

    Returns:
        Model, losses, weights, scores, costs.

    Raises:
        InputError: If policy and weights are both given or do not fit the task, or the sampler's support is
            smaller than a batch.
    """
    # Everything that can be refused is refused before the folder is made.
    if policy is not None and weights is not None:
        raise InputError("give a policy or weights, not both")
    if transfer not in TRANSFERS:
        raise InputError(f"unknown transfer {transfer!r}; choose one of {', '.join(TRANSFERS)}")
    if transfer == "probabilities" and weights is None:
        raise InputError(
            "transfer 'probabilities' carries over the weights of a search, not a policy: give its run folder"
        )
    if follow and (policy is None or transfer != "recompute"):
        raise InputError("to follow the training needs a policy and transfer recompute: its features are new")
    if weights is not None:
        weights = validate_weights(weights)
        if len(weights) != len(task.train):
            raise InputError(f"{len(weights)} weights for {len(task.train)} training examples")
    if optimizer is not None:
        task = task.with_recipe(replace(task.recipe, optimizer=optimizer))
    if isinstance(policy, str | Path):
        policy = Policy.load(policy)
    if policy is not None:
        policy.form.check_classes(task.num_classes)
    progress = progress or Silent()
    identity = {
        "job": "train",
        "task": task_identity(task),
        "seed": seed,
        "transfer": transfer,
        "policy": None if policy is None else _digest(json.dumps(policy.to_dict()).encode()),
        "weights": None if weights is None else _digest(weights.numpy().tobytes()),
        "follow": follow,
    }
    with RunFolder(None if out is None else Path(out), identity) as folder:
        return _train(task, policy, transfer, weights, follow, seed, folder, torch.device(device), progress)


def _train(
    task: Task,
    policy: Policy | None,
    transfer: Transfer,
    weights: Float[Tensor, " n"] | None,
    follow: bool,
    seed: int,
    folder: RunFolder,
    device: torch.device,
    progress: SearchProgress,
) -> TrainResult:
    meter = EpochMeter(progress, len(task.train))
    feature_epochs = max(1, round(_FEATURE_SHARE * task.epochs)) if policy is not None else 0
    spent, opinion = 0.0, None
    progress.begin(task.epochs + feature_epochs)
    try:
        if policy is not None:
            progress.stage("features")
            placed = _place(task, policy, transfer, feature_epochs, seed, folder, device, meter)
            weights, spent, opinion = placed.weights, placed.epochs, placed.opinion
        if weights is not None:
            check_support(weights, task.recipe.batch_size)
        progress.stage("training")
        following: FollowingSampler | None = None
        if follow:
            assert policy is not None  # checked by the caller
            assert weights is not None  # computed from the policy
            following = FollowingSampler(task, policy, weights, task.epochs, opinion=opinion)

        def compute() -> Stage:
            trained = train_model(
                task,
                task.train,
                following or epoch_draw(weights, len(task.train)),
                observer=following,
                seed=mix_seed(seed, 8, 1),
                model_seed=mix_seed(seed, 0, 1),
                device=device,
                checkpoint=folder.checkpoint("training"),
                on_epoch=meter.whole_epoch,
            )
            scores = score_parts(trained.model, task)
            content = {
                "losses": list(trained.losses),
                "scores": scores,
                "num_steps": trained.num_steps,
                "diverged": trained.diverged,
                "epochs": trained.num_draws / len(task.train),
            }
            return content, dict(trained.model.state_dict())

        content, tensors = folder.once("training", compute)
    finally:
        progress.end()
    model = task.build_model(0)
    model.load_state_dict(tensors)
    return TrainResult(
        model.eval(),
        tuple(math.nan if loss is None else loss for loss in content["losses"]),
        weights,
        content["scores"],
        spent,
        content["epochs"],
        content["num_steps"],
        content["diverged"],
    )


@dataclass(frozen=True, eq=False)
class _Placed:
    """Where a policy places the examples: weights, what the features cost, and the second opinion in them."""

    weights: Float[Tensor, " n"]
    epochs: float
    opinion: FeatureTable | None


def _place(
    task: Task,
    policy: Policy,
    transfer: Transfer,
    epochs: int,
    seed: int,
    folder: RunFolder,
    device: torch.device,
    meter: EpochMeter,
) -> _Placed:
    """Compute features as the policy's search did, and from them weights."""

    def compute() -> Stage:
        table, _ = run_features(
            task,
            source="epoch-mean",
            epochs=epochs,
            seed=mix_seed(seed, 1, 2),
            model_seed=mix_seed(seed, 0, 1),
            device=device,
            checkpoint=folder.checkpoint("features"),
            on_epoch=meter.whole_epoch,
        )
        content: dict[str, Any] = {"epochs": float(epochs), "opinion": None}
        tensors: dict[str, Tensor] = {}
        plan = plan_opinion(task) if has_opinion(policy.origin) else None
        if plan is not None:
            said = plan.table(task, seed=mix_seed(seed, 0, 7))
            table = average_tables(table, said)
            content["epochs"] += plan.epochs
            content["opinion"] = {"names": list(said.names), "source": said.source}
            tensors = {f"opinion.{key}": value for key, value in said.to_tensors().items()}
        tensors["weights"] = policy.weights(
            table, task.train_groups, num_classes=task.num_groups, refit=transfer == "recompute"
        )
        return content, tensors

    content, arrays = folder.once("features", compute)
    stored, opinion = content["opinion"], None
    if stored is not None:
        parts = {key.removeprefix("opinion."): value for key, value in arrays.items()}
        opinion = FeatureTable.from_tensors(parts, tuple(stored["names"]), stored["source"])
    return _Placed(arrays["weights"], content["epochs"], opinion)


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


def check_support(weights: Float[Tensor, " n"], batch_size: int) -> None:
    """Refuse samplers that draw from fewer examples than a batch holds.

    Args:
        weights: Relative drawing weights.
        batch_size: Of the recipe.

    Raises:
        InputError: If the support or the effective number of examples is smaller than a batch.
    """
    support = int((weights > 0).sum())
    effective = effective_sample_size(weights)
    if min(support, effective) < batch_size:
        raise InputError(
            f"the policy draws from {support} examples ({effective:.0f} effective), fewer than a batch of "
            f"{batch_size}; give a smaller --batch-size, more data, or another policy"
        )


def carried_weights(run: Path, task: Task) -> Float[Tensor, " n"]:
    """Read the probabilities that a search gave each example, for a training on the same examples.

    Args:
        run: Run folder of a search.
        task: Must have the same training labels in the same order.

    Returns:
        Relative weights, shape ``(n,)``.

    Raises:
        InputError: If the examples are others.
    """
    arrays = read_tensors(run / "features.safetensors")
    if "weights" not in arrays or "labels" not in arrays:
        raise InputError(f"{run} is not the run folder of a search: features.safetensors has no weights")
    if not torch.equal(arrays["labels"], task.train.labels.cpu()):
        raise InputError(
            f"the training examples are not those of {run}: probabilities belong to examples; use the same "
            "data, seed, noise and limit, or --transfer recompute"
        )
    return arrays["weights"]
