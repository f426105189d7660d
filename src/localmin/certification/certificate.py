"""The verdict on a point of any objective, with evidence that a few lines can check again."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from localmin.errors import InputError, ShapeError
from localmin.objective import Objective
from localmin.tasks.schemas import read_versioned, write_versioned
from localmin.tasks.storage import read_tensors, write_tensors

__all__ = ["WITH_WAY_DOWN", "Certificate", "Method", "Recheck", "Verdict", "best_step"]

Verdict = Literal[
    "not-critical",
    "strict-saddle",
    "non-strict-saddle",
    "local-minimum",
    "global-minimum",
    "second-order-point",
    "undecided",
]

Method = Literal["gradient", "value", "convexity", "deep-linear", "piecewise", "lanczos", "dense", "none"]

_LARGEST_STEP = 1.0
_NUM_STEPS = 30
WITH_WAY_DOWN = ("strict-saddle", "not-critical", "non-strict-saddle")


@dataclass(frozen=True)
class Recheck:
    """What one gradient, one Hessian-vector product and a few values say about a certificate.

    Args:
        holds: Whether everything that was evaluated agrees with the certificate. For "strict-saddle" and
            "not-critical" that proves the verdict again; for a minimum it can only fail to refute it.
        reason: What was compared, or what does not agree.
        value: Value of the objective.
        gradient_norm: Norm of its gradient.
        curvature: ``vᵀ H v`` along the witness, of unit length; None without a witness.
        decrease: Decrease of the objective found along the witness in either direction; None without one.
        step: Signed length of the step with that decrease.
    """

    holds: bool
    reason: str
    value: float
    gradient_norm: float
    curvature: float | None
    decrease: float | None
    step: float | None


@dataclass(frozen=True, eq=False)
class Certificate:
    """A verdict on one point of one objective.

    Args:
        verdict: "not-critical": the gradient is above the tolerance. "strict-saddle": nearly critical, with a
            direction of negative curvature, so certainly no minimum. "local-minimum": nearly critical, the
            smallest eigenvalue is bounded away from zero from below, and Newton's step contracts.
            "second-order-point": nearly critical, no curvature below ``-curvature_tolerance - margin``,
            which a degenerate saddle can look like too. "global-minimum" and "non-strict-saddle" (no
            negative curvature, yet a way down): only where a theorem says so, see ``method``. "undecided":
            none of these was shown.
        reason: What was shown or why nothing was, in words.
        method: "gradient"; "value": the declared lower bound of the objective is attained; "convexity";
            "deep-linear": the complete classification of deep linear networks; "piecewise": one-sided
            derivatives on a kink; "dense" or "lanczos": the spectrum; "none".
        witness: Unit vector, shape ``(n,)``, float64 on the CPU: the negative gradient direction for
            "not-critical", otherwise the direction of smallest curvature found; None if none was looked for.
        curvature: ``vᵀ H v`` along the witness, from a product of its own; None without one.
        margin: Curvature that rounding and, with held-out data, the choice of examples can produce. A
            negative curvature counts beyond it.
        lower_bound: The smallest eigenvalue is at least this, with the failure probability stated; minus
            infinity where nothing was shown.
        failure_probability: Probability, over the random starts, that ``lower_bound`` does not hold; in exact
            arithmetic, rounding is in the margin. Zero for a dense Hessian.
        blind_spot: Part of the spread of the spectrum below which this budget sees nothing.
        largest_curvature: Largest curvature found; None if none was looked for.
        newton_distance: Length of the Newton step, an estimate of the distance to the minimum; None unless
            the verdict may be "local-minimum".
        value: Value of the objective.
        gradient_norm: Norm of its gradient.
        gradient_tolerance: Norm up to which a point counts as critical.
        curvature_tolerance: Negative curvature that "second-order-point" allows.
        kinks: Piecewise operations of the model and the loss by name, such as "relu". With any, the verdict
            is about the smooth piece that contains the point.
        kink_distance: Smallest distance of their arguments from a kink, relative to their size; infinity
            without any, NaN where an operation could not be examined.
        num_hvps: Hessian-vector products spent.
        num_steps: Lanczos steps from all starts together; 0 if there were none.
        num_starts: Independent random starts.
        num_parameters: Length ``n`` of the parameter vector.
        num_examples: Examples over which the loss is averaged. The verdict says nothing about other data.
        dtype: Dtype in which the objective was evaluated.
        seed: Seed of the starts; None where a generator was given.
        versions: Versions of Python and the packages that decide results.
        not_shown: What the certificate leaves open, in words.
        products: How Hessian-vector products were computed, "exact" or "finite-difference".
        data_margin: Part of ``margin`` that comes from the choice of examples; 0 without held-out data.
        held_out_curvature: ``vᵀ H v`` along the witness over the held-out data; None without.
        descent_step: Length of the step along the witness that leads down, where no curvature tells it.
        gap: Bound on the value minus the global minimum, where a theorem gives one.
    """

    verdict: Verdict
    reason: str
    method: Method
    witness: Float[Tensor, " n"] | None
    curvature: float | None
    margin: float
    lower_bound: float
    failure_probability: float
    blind_spot: float | None
    largest_curvature: float | None
    newton_distance: float | None
    value: float
    gradient_norm: float
    gradient_tolerance: float
    curvature_tolerance: float
    kinks: tuple[str, ...]
    kink_distance: float
    num_hvps: int
    num_steps: int
    num_starts: int
    num_parameters: int
    num_examples: int
    dtype: str
    seed: int | None
    versions: Mapping[str, str]
    not_shown: str = ""
    products: Literal["exact", "finite-difference", "auto"] = "exact"
    data_margin: float = 0.0
    held_out_curvature: float | None = None
    descent_step: float | None = None
    gap: float | None = None

    def recheck(self, objective: Objective) -> Recheck:
        """Evaluate the objective again and compare, without the eigensolver.

        Args:
            objective: The certified objective, standing at the certified point.

        Returns:
            Fresh figures, and whether they agree.

        Raises:
            ShapeError: If the objective has another number of parameters.

        Cost:
            One gradient, one Hessian-vector product, up to sixty values.
        """
        if objective.num_parameters != self.num_parameters:
            raise ShapeError(
                f"the certificate is about {self.num_parameters} parameters, the objective has "
                f"{objective.num_parameters}"
            )
        value, gradient = objective.value(), objective.gradient()
        norm = float(gradient.double().norm())
        if self.witness is None:
            curvature = decrease = step = None
        else:
            # On a kink the Hessian of one piece says nothing about the others.
            is_smooth = self.method != "piecewise"
            curvature = (
                float(self.witness @ objective.hvp(self.witness).double().cpu()) if is_smooth else None
            )
            decrease, step = best_step(objective, self.witness, value, self.descent_step)
        reason = self._contradiction(objective, value, norm, curvature, decrease)
        return Recheck(not reason, reason or self._agreement(), value, norm, curvature, decrease, step)

    def _contradiction(
        self,
        objective: Objective,
        value: float,
        gradient_norm: float,
        curvature: float | None,
        decrease: float | None,
    ) -> str:
        rounding = 1e4 * torch.finfo(objective.dtype).eps
        # NaN never compares as equal, so the comparisons are written to fail on it.
        if not abs(value - self.value) <= rounding * max(1.0, abs(self.value)):
            return f"the value is {value:.6g}, not {self.value:.6g} as certified: another point or other data"
        is_critical = gradient_norm <= self.gradient_tolerance
        has_gradient = self.method not in ("value", "piecewise")
        if has_gradient and is_critical == (self.verdict == "not-critical"):
            return f"the gradient norm {gradient_norm:.3g} is on the other side of the tolerance"
        if self.verdict == "undecided":
            return "the certificate decides nothing"
        if curvature is not None and self.verdict == "strict-saddle" and not curvature < -self.margin:
            return f"the curvature along the witness is {curvature:.3g}, not below -{self.margin:.3g}"
        leads_down = decrease is not None and decrease > 0.0
        if self.verdict in WITH_WAY_DOWN and not leads_down:
            return "no decrease was found along the witness"
        rounding_of_curvature = max(self.margin, rounding * abs(self.largest_curvature or 0.0))
        if curvature is not None and curvature < self.lower_bound - rounding_of_curvature:
            return (
                f"the curvature along the witness is {curvature:.3g}, below the bound {self.lower_bound:.3g}"
            )
        return ""

    def _agreement(self) -> str:
        if self.verdict in WITH_WAY_DOWN:
            return (
                "value, gradient and decrease along the witness were evaluated again: the verdict is proved"
            )
        return (
            "value, gradient and curvature along the witness agree; the bound for all other directions was "
            "not computed again: certify with another seed does that"
        )

    def to_dict(self) -> dict[str, Any]:
        """Convert to plain values, the witness as a list of numbers.

        Returns:
            A dictionary that `from_dict` reads back exactly. Infinities and NaN are stored as text.
        """
        plain = {name: _plain(value) for name, value in vars(self).items()}
        plain["witness"] = None if self.witness is None else self.witness.tolist()
        return plain

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> "Certificate":
        """Read what `to_dict` wrote.

        Args:
            plain: The dictionary.

        Returns:
            An equal certificate.

        Raises:
            InputError: If fields are missing or not known.
        """
        names = set(cls.__dataclass_fields__)
        if set(plain) != names:
            raise InputError(
                f"this is no certificate: missing {sorted(names - set(plain))}, "
                f"not known {sorted(set(plain) - names)}"
            )
        fields = {name: _from_plain(name, value) for name, value in plain.items()}
        return cls(**fields)

    def save(self, folder: str | Path) -> Path:
        """Write ``certificate.json`` and, if there is a witness, ``witness.safetensors`` into a folder.

        Args:
            folder: Created if it does not exist.

        Returns:
            Path of the JSON file.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        plain = self.to_dict()
        plain["witness"] = None if self.witness is None else "witness.safetensors"
        if self.witness is not None:
            write_tensors(folder / "witness.safetensors", {"witness": self.witness})
        path = folder / "certificate.json"
        write_versioned(path, "certificate", plain)
        return path

    @classmethod
    def load(cls, folder: str | Path) -> "Certificate":
        """Read what `save` wrote.

        Args:
            folder: The folder.

        Returns:
            An equal certificate.

        Raises:
            InputError: If the folder holds no certificate, a damaged one or one of a newer localmin.
        """
        path = Path(folder) / "certificate.json"
        if not path.is_file():
            raise InputError(f"expected a folder with certificate.json, got {folder}")
        plain = read_versioned(path, "certificate")
        if plain.get("witness") is not None:
            plain["witness"] = read_tensors(Path(folder) / "witness.safetensors")["witness"].tolist()
        return cls.from_dict(plain)


def best_step(
    objective: Objective, direction: Tensor, value: float, recorded: float | None
) -> tuple[float, float]:
    """Find a step along a line, in either direction, with a clear decrease.

    Args:
        objective: Stands at the point.
        direction: Unit vector.
        value: Value at the point.
        recorded: Step that is tried first; None without one.

    Returns:
        The decrease, negative if there is none, and the signed step.
    """
    point = objective.point.double()
    unit = direction.to(point)
    best, best_step = -math.inf, 0.0
    if recorded is not None:
        best, best_step = value - objective.value_at(point + recorded * unit), recorded
        if best > 0.0:
            return best, best_step
    for exponent in range(_NUM_STEPS):
        for step in (_LARGEST_STEP * 2.0**-exponent, -_LARGEST_STEP * 2.0**-exponent):
            decrease = value - objective.value_at(point + step * unit)
            if decrease > best:
                best, best_step = decrease, step
        # Shorter steps cannot do better by more than a fraction once one is well above rounding.
        if best > 1e3 * torch.finfo(objective.dtype).eps * max(1.0, abs(value)):
            break
    return best, best_step


def _plain(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return repr(value)
    if isinstance(value, Mapping):
        return dict(value)
    return list(value) if isinstance(value, tuple) else value


def _from_plain(name: str, value: Any) -> Any:
    if name == "witness":
        return None if value is None else torch.tensor(value, dtype=torch.float64)
    if name == "kinks":
        return tuple(value)
    if value in ("inf", "-inf", "nan") and name != "reason":
        return float(value)
    return value
