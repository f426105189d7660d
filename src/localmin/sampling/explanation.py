"""Why one example is drawn as it is: its features, their ranks, the policy's factors, its neighbours."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from localmin.errors import InputError
from localmin.sampling.feature_table import FeatureTable
from localmin.sampling.features import FEATURES
from localmin.sampling.policy import Policy, PolicySpace, class_prior
from localmin.sampling.stored import StoredRun, load_result
from localmin.tasks.kinds import KINDS
from localmin.tasks.schemas import read_versioned

__all__ = ["Explanation", "Neighbour", "explain"]

_NUM_NEIGHBOURS = 5


@dataclass(frozen=True)
class Neighbour:
    """An example at nearly the same place among the features.

    Args:
        index: In the training part.
        label: As given.
        prediction: Of the feature network.
        draws: Expected draws per epoch.
        distance: Between the places, in ranks from 0 to 1.
    """

    index: int
    label: str
    prediction: str
    draws: float
    distance: float


@dataclass(frozen=True)
class Explanation:
    """Say how the weight of one example came about: ``draws = factor * prior * scale``.

    Args:
        index: In the training part.
        row: Row in the data it was taken from, where known.
        label: As given.
        prediction: Of the feature network at its last look.
        features: Loss, renormed entropy, gradient bound.
        ranks: Share of the training examples that lie below, by feature.
        places: Where the policy's nodes are read: a rank for each feature, or that of their mixture.
        nodes: The two nodes around each place and the share of the upper one: ``name, value, name, value,
            share``; empty for the map of form e.
        factor: What the form gives at these places, in [0, 1].
        prior: Factor of the class prior; 1 without one.
        draws: Expected draws per epoch; 1 is uniform.
        recommended: Whether the policy was recommended; otherwise this is what it would have done.
        draws_low: 5 % quantile over policies that fit the trials too, where known.
        draws_high: 95 % quantile.
        held_out_credit: Mean credit (share that agree with the label) of networks that did not see it.
        surely_bad: The verdict of `gather_evidence`.
        neighbours: The nearest examples among the placed features.
    """

    index: int
    row: int | None
    label: str
    prediction: str
    features: dict[str, float]
    ranks: dict[str, float]
    places: dict[str, float]
    nodes: dict[str, tuple[str, float, str, float, float]]
    factor: float
    prior: float
    draws: float
    recommended: bool
    draws_low: float | None
    draws_high: float | None
    held_out_credit: float | None
    surely_bad: bool | None
    neighbours: tuple[Neighbour, ...]

    def to_dict(self) -> dict[str, Any]:
        """List the values, for JSON."""
        return asdict(self)


def explain(run: str | Path, index: int) -> Explanation:
    """Explain the probability of one training example of a finished search.

    Args:
        run: The run folder.
        index: Of the example in the training part, from 0: the column ``index`` of ``dropped.csv``.

    Returns:
        The explanation.

    Raises:
        InputError: If there is no such example.
    """
    stored = load_result(run)
    arrays, labels = stored.arrays, stored.arrays["labels"]
    n = len(labels)
    if not 0 <= index < n:
        raise InputError(f"{run} has training examples 0 to {n - 1}, there is no example {index}")
    about = _shown_seed(stored)
    kind = KINDS[about["task"].get("kind", {}).get("name", "classification")]
    candidate = Policy.load(stored.path / "candidate.json")
    table = FeatureTable(FEATURES, arrays["features"], arrays["gradient"], arrays["predictions"], "")
    groups = kind.groups(labels)
    num_groups = kind.num_groups(about["task"]["num_classes"])
    space = PolicySpace.fit(candidate.form, table, groups, num_classes=num_groups, kind=candidate.kind)
    z = candidate.parameter_vector
    places = space.rank_feature(z)
    weights = arrays["candidate_weights"]
    draws = weights * (n / weights.sum())
    prior = class_prior(groups, space.class_counts, candidate.form.prior_exponent(z))
    names, values = about["task"]["class_names"], table.values[index]
    below = (table.values < values).double().mean(0)
    return Explanation(
        index=index,
        row=_row(stored, index),
        label=kind.show_label(labels[index], names),
        prediction=kind.show_prediction(table.predictions[index], names),
        features=dict(zip(FEATURES, values.tolist(), strict=True)),
        ranks=dict(zip(FEATURES, below.tolist(), strict=True)),
        places=dict(zip(_axes(candidate), places[index].tolist(), strict=True)),
        nodes=_nodes(candidate, places[index]),
        factor=float(candidate.form.feature_weights(z, places[index : index + 1])),
        prior=float(prior[index]),
        draws=float(draws[index]),
        recommended=about["recommendation"] == "searched",
        draws_low=_value(arrays, "draws_low", index),
        draws_high=_value(arrays, "draws_high", index),
        held_out_credit=_value(arrays, "held_out_credit", index),
        surely_bad=None if "surely_bad" not in arrays else bool(arrays["surely_bad"][index]),
        neighbours=tuple(
            Neighbour(
                i,
                kind.show_label(labels[i], names),
                kind.show_prediction(table.predictions[i], names),
                float(draws[i]),
                distance,
            )
            for i, distance in _nearest(space.places, index)
        ),
    )


def _shown_seed(stored: StoredRun) -> dict[str, Any]:
    shown = stored.summary["policy_seed"]
    found: dict[str, Any] = next(one for one in stored.summary["per_seed"] if one["seed"] == shown)
    return found


def _row(stored: StoredRun, index: int) -> int | None:
    path = stored.path / "split.json"
    indices = (read_versioned(path, "split").get("indices") or {}).get("train") if path.exists() else None
    return None if indices is None else int(indices[index])


def _axes(policy: Policy) -> tuple[str, ...]:
    return ("mixture",) if policy.form.has_angle else policy.form.features


def _nodes(policy: Policy, places: Float[Tensor, " f"]) -> dict[str, tuple[str, float, str, float, float]]:
    if policy.form.name == "e":
        return {}
    found, parameters = {}, list(policy.parameters.items())[1 if policy.form.has_angle else 0 :]
    for axis, count, place in zip(_axes(policy), policy.form.nodes, places.tolist(), strict=True):
        left = min(int(place * (count - 1)), count - 2)
        (first, low), (second, high) = parameters[left : left + 2]
        found[axis] = (first, low, second, high, place * (count - 1) - left)
        parameters = parameters[count:]
    return found


def _nearest(places: Float[Tensor, "n f"], index: int) -> list[tuple[int, float]]:
    distances = torch.linalg.vector_norm(places - places[index], dim=1)
    distances[index] = math.inf
    count = min(_NUM_NEIGHBOURS, len(places) - 1)
    # Stable, so that ties are broken in the same way everywhere.
    order = distances.argsort(stable=True)[:count]
    return [(int(i), float(distances[i])) for i in order]


def _value(arrays: dict[str, Tensor], name: str, index: int) -> float | None:
    if name not in arrays or bool(arrays[name][index].isnan()):
        return None
    return float(arrays[name][index])
