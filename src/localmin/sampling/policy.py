"""A policy: ten numbers and the tables that place features, small enough to mail."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from localmin.errors import InputError
from localmin.sampling.feature_table import FeatureTable
from localmin.sampling.forms import NUM_PARAMETERS, Form, get_form
from localmin.sampling.transforms import TRANSFORMS, Transform, TransformKind, fit_transform, mid_rank
from localmin.tasks.schemas import current, versioned
from localmin.tasks.storage import read_json, write_text

__all__ = ["Policy", "PolicySpace"]

_KIND = "localmin policy"


@dataclass(frozen=True, eq=False)
class PolicySpace:
    """All policies of one form over one table of features: ``z -> weights``.

    Args:
        form: Function class with ten numbers.
        kind: Transform of the features.
        transforms: One per feature of the form.
        places: Placed features, shape ``(n, f)``, in [0, 1].
        gradient: Gradient bounds, shape ``(n,)``; the masses of the mixture's rank under cgf.
        labels: Shape ``(n,)``.
        class_counts: Examples per class of the whole training set, shape ``(C,)``.
    """

    form: Form
    kind: TransformKind
    transforms: tuple[Transform, ...]
    places: Float[Tensor, "n f"]
    gradient: Float[Tensor, " n"]
    labels: Int64[Tensor, " n"]
    class_counts: Int64[Tensor, " c"]

    @classmethod
    def fit(
        cls,
        form: Form,
        table: FeatureTable,
        labels: Int64[Tensor, " n"],
        *,
        num_classes: int,
        kind: TransformKind = "cdf",
    ) -> PolicySpace:
        """Fit the transforms of a form to a table.

        Args:
            form: Reads some of the table's columns.
            table: Features of n examples.
            labels: Shape ``(n,)``.
            num_classes: C; 1 where the examples have no classes.
            kind: ``"cdf"`` or ``"cgf"``.

        Returns:
            The space of policies over those examples.

        Raises:
            InputError: If the form needs the renormed entropy and there are two classes.
        """
        _check_classes(form, num_classes)
        columns = [table.column(name) for name in form.features]
        fitted = tuple(fit_transform(column, kind=kind, gradient=table.gradient) for column in columns)
        mass = table.gradient if kind == "cgf" and float(table.gradient.sum()) > 0 else None
        places = torch.stack([mid_rank(column, mass) for column in columns], dim=1)
        counts = labels.bincount(minlength=num_classes)
        return cls(form, kind, fitted, places, table.gradient, labels, counts)

    def __len__(self) -> int:
        return len(self.places)

    def rank_feature(self, z: Float[Tensor, " k"]) -> Float[Tensor, "n f"]:
        """Give what the form's nodes stand over: the placed features, or the rank of their mixture."""
        if not self.form.has_angle:
            return self.places
        mass = self.gradient if self.kind == "cgf" and float(self.gradient.sum()) > 0 else None
        return mid_rank(self.form.combine(z, self.places), mass)[:, None]

    def cut(self, keep: float, *, prior: float = 0.0) -> Float[Tensor, " k"]:
        """Give the numbers that keep about the share ``keep`` of the examples, those of the lowest loss.

        Under cgf equal widths hold equal gradient mass, not equal numbers of examples: the cut is placed
        where the share of *examples* below it is ``keep``, so that a design means the same for both.

        Args:
            keep: Above 1 nothing is dropped.
            prior: Value of the class-prior number.

        Returns:
            ``z``, shape ``(10,)``.
        """
        if self.kind == "cgf" and keep <= 1:
            keep = float(self.rank_feature(self.form.uniform())[:, 0].quantile(keep))
        return self.form.cut(keep, prior=prior)

    def weights(self, z: Float[Tensor, " k"]) -> Float[Tensor, " n"]:
        """Evaluate a policy.

        Args:
            z: The ten numbers, in [0, 1].

        Returns:
            Relative drawing weights, float64, shape ``(n,)``, not negative.
        """
        tau = self.form.feature_weights(z, self.rank_feature(z))
        return tau * class_prior(self.labels, self.class_counts, self.form.prior_exponent(z))

    def thinned(self, indices: Int64[Tensor, " m"]) -> PolicySpace:
        """Keep some examples, for a quick look at the whole: places and class counts stay those of all."""
        return replace(
            self,
            places=self.places[indices],
            gradient=self.gradient[indices],
            labels=self.labels[indices],
        )

    def policy(self, z: Float[Tensor, " k"], *, origin: dict[str, Any] | None = None) -> Policy:
        """Freeze ``z`` and the knots into a policy that can be saved."""
        z = self.form.canonical(z)
        mixture = None
        if self.form.has_angle:
            mixture = fit_transform(self.form.combine(z, self.places), kind=self.kind, gradient=self.gradient)
        counts = tuple(self.class_counts.tolist())
        return Policy(self.form, tuple(z.tolist()), self.kind, self.transforms, mixture, counts, origin or {})


@dataclass(frozen=True, eq=False)
class Policy:
    """A data sampler as a function of an example's features.

    Args:
        form: Function class.
        z: The ten numbers, each in [0, 1].
        kind: Transform of the features.
        transforms: With the knots of the data it was found on, one per feature.
        mixture: Places the mixture of form d; None for the other forms.
        class_counts: Examples per class where it was found.
        origin: Where it came from: task, seed, feature source. JSON types only.

    Raises:
        InputError: If there are not ten numbers in [0, 1], or they draw nothing.

    Example:
        >>> from localmin.sampling.forms import get_form
        >>> Policy(get_form("a"), (1.0,) * 10, "cdf", ()).parameters["node 3"]
        1.0
    """

    form: Form
    z: tuple[float, ...]
    kind: TransformKind
    transforms: tuple[Transform, ...]
    mixture: Transform | None = None
    class_counts: tuple[int, ...] = ()
    origin: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if len(self.z) != NUM_PARAMETERS or not all(0 <= value <= 1 for value in self.z):
            raise InputError(f"a policy has {NUM_PARAMETERS} numbers in [0, 1], got {list(self.z)}")
        if not self.form.is_valid(self.parameter_vector):
            raise InputError("all nodes of a factor of the policy are 0: it would draw nothing")

    @property
    def parameter_vector(self) -> Float[Tensor, " k"]:
        """The ten numbers as a float64 tensor."""
        return torch.tensor(self.z, dtype=torch.float64)

    @property
    def parameters(self) -> dict[str, float]:
        """The ten numbers by name."""
        return dict(zip(self.form.parameter_names, self.z, strict=True))

    def weights(
        self, table: FeatureTable, labels: Int64[Tensor, " n"], *, num_classes: int, refit: bool = True
    ) -> Float[Tensor, " n"]:
        """Compute drawing weights for examples, those it was found on or others.

        Args:
            table: Features of the examples.
            labels: Shape ``(n,)``.
            num_classes: Of the task at hand.
            refit: Place features among the examples at hand (the ten numbers are transferred);
                False uses the saved knots (the numbers and the tables are transferred).

        Returns:
            Relative weights, float64, shape ``(n,)``.

        Raises:
            InputError: If the saved class counts are needed and do not fit, or the form reads the renormed
                entropy and there are two classes.
        """
        _check_classes(self.form, num_classes)
        z = self.parameter_vector
        if refit:
            return PolicySpace.fit(self.form, table, labels, num_classes=num_classes, kind=self.kind).weights(
                z
            )
        columns = [table.column(name) for name in self.form.features]
        places = torch.stack(
            [fitted(column) for fitted, column in zip(self.transforms, columns, strict=True)], dim=1
        )
        if self.mixture is not None:
            places = self.mixture(self.form.combine(z, places))[:, None]
        tau = self.form.feature_weights(z, places)
        exponent = self.form.prior_exponent(z)
        if exponent and len(self.class_counts) != num_classes:
            raise InputError(
                f"the policy was found on {len(self.class_counts)} classes and has a class prior; "
                f"the data have {num_classes}: apply it with features and prior recomputed"
            )
        return tau * class_prior(labels, torch.tensor(self.class_counts), exponent)

    def save(self, path: str | Path) -> None:
        """Write the policy as JSON, atomically."""
        write_text(Path(path), json.dumps(self.to_dict(), indent=1, allow_nan=False) + "\n")

    @classmethod
    def load(cls, path: str | Path) -> Policy:
        """Read a policy.

        Args:
            path: Of a file written by `save`.

        Returns:
            The policy.

        Raises:
            InputError: If the file is not a policy, or one of a newer version.
        """
        return cls.from_dict(read_json(Path(path)), name=str(path))

    def describe(self) -> dict[str, Any]:
        """List the numbers and their names without the tables, in JSON types."""
        return {
            "form": self.form.name,
            "class_prior": self.form.has_prior,
            "z": list(self.z),
            "parameters": self.parameters,
            "features": list(self.form.features),
            "transform": self.kind,
            "origin": self.origin,
        }

    def to_dict(self) -> dict[str, Any]:
        """List everything in JSON types."""
        content = {
            "kind": _KIND,
            **self.describe(),
            "transforms": [fitted.to_dict() for fitted in self.transforms],
            "mixture": None if self.mixture is None else self.mixture.to_dict(),
            "class_counts": list(self.class_counts),
        }
        return versioned("policy", content)

    @classmethod
    def from_dict(cls, stored: Any, *, name: str = "policy") -> Policy:
        """Rebuild from `to_dict`.

        Args:
            stored: What `to_dict` gave.
            name: For error messages.

        Returns:
            The policy.

        Raises:
            InputError: If it is not a policy, or one of a newer version.
        """
        if not isinstance(stored, dict) or stored.get("kind") != _KIND:
            raise InputError(f"{name} is not a policy; `localmin search` writes one as policy.json")
        content = current(stored, "policy", name=name)
        try:
            return cls._rebuilt(content)
        except InputError as error:
            raise InputError(f"{name} is damaged: {error}; search again or take a backup") from None
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise InputError(f"{name} is damaged: {error!r}; search again or take a backup") from None

    @classmethod
    def _rebuilt(cls, stored: dict[str, Any]) -> Policy:
        form = get_form(stored["form"], class_prior=stored["class_prior"] is True)
        policy = cls(
            form,
            tuple(float(value) for value in stored["z"]),
            stored["transform"],
            tuple(Transform.from_dict(item) for item in stored["transforms"]),
            None if stored["mixture"] is None else Transform.from_dict(stored["mixture"]),
            tuple(int(count) for count in stored["class_counts"]),
            dict(stored["origin"]),
        )
        if not isinstance(stored["class_prior"], bool):
            raise InputError("it does not say whether it has a class prior")
        if policy.kind not in TRANSFORMS or len(policy.transforms) != len(form.features):
            raise InputError(f"form {form.name} needs the transforms of {', '.join(form.features)}")
        if form.has_angle != (policy.mixture is not None):
            raise InputError(f"a mixture goes with form d and no other, the form is {form.name}")
        if any(count < 0 for count in policy.class_counts) or (
            form.has_prior and not any(policy.class_counts)
        ):
            raise InputError(f"the class counts are {list(policy.class_counts)}")
        return policy


def _check_classes(form: Form, num_classes: int) -> None:
    # One group of labels says nothing about features: a language model has an entropy, a regression none.
    if num_classes > 1:
        form.check_classes(num_classes)


def class_prior(
    labels: Int64[Tensor, " n"], class_counts: Int64[Tensor, " c"], exponent: float
) -> Float[Tensor, " n"]:
    """Compute ``(n_y / n_max)^(-exponent)`` for each label; 1 where the exponent is 0.

    Args:
        labels: Shape ``(n,)``.
        class_counts: Shape ``(C,)``.
        exponent: Not negative; 1 draws all classes equally often.

    Returns:
        Shape ``(n,)``, float64, at least 1.

    Example:
        >>> class_prior(torch.tensor([0, 1]), torch.tensor([8, 2]), 1.0).tolist()
        [1.0, 4.0]
    """
    if exponent == 0:
        return torch.ones(len(labels), dtype=torch.float64)
    share = class_counts.double() / class_counts.max()
    return share.clamp_min(1e-12).pow(-exponent)[labels]
