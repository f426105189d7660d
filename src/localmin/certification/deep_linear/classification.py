"""What `classify_deep_linear` found, and how to check it again."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from localmin.certification.deep_linear.data import read_problem
from localmin.certification.deep_linear.derivatives import gradient_of, loss_of, second_derivative_of

__all__ = ["DeepLinearClassification", "DeepLinearRecheck", "DeepLinearVerdict"]

DeepLinearVerdict = Literal[
    "not-critical", "global-minimum", "strict-saddle", "non-strict-saddle", "undecided"
]

_STEPS = tuple(2.0**-k for k in range(0, 40, 2))


@dataclass(frozen=True)
class DeepLinearRecheck:
    """What a fresh evaluation at the given weights says about a classification.

    Args:
        holds: Whether the evidence for the verdict is still there.
        loss: Half the sum of squares.
        gradient_norm: Norm of its gradient.
        curvature: Second derivative along the witness; None without a witness.
        decrease: Largest decrease of the loss found along the witness in either direction; None without.
    """

    holds: bool
    loss: float
    gradient_norm: float
    curvature: float | None
    decrease: float | None


@dataclass(frozen=True, eq=False)
class DeepLinearClassification:
    """The kind of point, with evidence.

    Args:
        verdict: "not-critical", "global-minimum", "strict-saddle" (negative curvature), "non-strict-saddle"
            (positive semi-definite Hessian, yet no local minimum), or "undecided" when the tolerances
            contradict each other, as they may far from a critical point.
        reason: The step that decided, in words.
        selected: Singular components of the whitened target that the product uses, counted from 1; among
            equal singular values the first ones. Empty where the point is not critical.
        rank: Rank of the product of all weights; None where it was not needed.
        pivot: Layers ``(i, j)`` that move together, counted from 1; None unless they decided.
        witness: Directions ``Δ_1, ..., Δ_N`` in the shapes of the weights, float64. "not-critical": the
            negative gradient. "strict-saddle": a direction of negative curvature, as the theorem gives it for
            an exchange of components (not of unit length), of unit length for a pivot. "non-strict-saddle":
            a displacement to a point with smaller loss, or None if the search found none.
        curvature: Second derivative ``D²L[witness, witness]``, evaluated at the given weights; not halved,
            not divided by the squared length. None without a witness.
        predicted_curvature: What the theorem says it is at an exact critical point; None unless strict.
        loss: Half the sum of squares.
        loss_gap: Loss minus the global minimum.
        gradient_norm: Norm of the gradient in the given coordinates.
        tolerance: Ranks and couplings up to this, relative, count as zero.
        gradient_tolerance: Normalised gradient that counts as zero.
        gap_tolerance: Normalised gap that counts as zero.
        num_examples: Rows of the data.
    """

    verdict: DeepLinearVerdict
    reason: str
    selected: tuple[int, ...]
    rank: int | None
    pivot: tuple[int, int] | None
    witness: tuple[Float[Tensor, "_ _"], ...] | None
    curvature: float | None
    predicted_curvature: float | None
    loss: float
    loss_gap: float
    gradient_norm: float
    tolerance: float
    gradient_tolerance: float
    gap_tolerance: float
    num_examples: int

    def recheck(
        self,
        weights: Sequence[Float[Tensor, "_ _"]],
        x: Float[Tensor, "n inputs"],
        y: Float[Tensor, "n outputs"],
    ) -> DeepLinearRecheck:
        """Evaluate loss, gradient and the loss along the witness again, knowing nothing of the proof.

        Args:
            weights: The classified weights.
            x: The inputs.
            y: The targets.

        Returns:
            The figures. ``holds`` asks for the recorded loss (all verdicts), a slope (not critical),
            negative curvature and a decrease (strict), a decrease (non-strict with a witness), and nothing
            more for a global minimum, whose proof is the loss itself.

        Raises:
            ShapeError: If shapes do not fit.
            InputError: If an entry is not finite.

        Cost:
            Up to forty evaluations of the loss.
        """
        checked, inputs, targets = read_problem(weights, x, y)
        loss = loss_of(checked, inputs, targets)
        gradient = gradient_of(checked, inputs, targets)
        gradient_norm = float(torch.stack([part.square().sum() for part in gradient]).sum().sqrt())
        scale = 0.5 * float(targets.square().sum())
        holds = abs(loss - self.loss) <= 1e-9 * max(abs(self.loss), scale)
        if self.witness is None:
            return DeepLinearRecheck(holds and self.verdict != "undecided", loss, gradient_norm, None, None)
        witness = [part.to(inputs) for part in self.witness]
        curvature = second_derivative_of(checked, inputs, targets, witness)
        decrease = max(
            loss - loss_of(_moved(checked, witness, sign * step), inputs, targets)
            for step in _STEPS
            for sign in (1.0, -1.0)
        )
        if self.verdict == "strict-saddle":
            holds = holds and curvature < 0.0
        return DeepLinearRecheck(holds and decrease > 0.0, loss, gradient_norm, curvature, decrease)

    def to_dict(self) -> dict[str, Any]:
        """Convert to plain values that JSON can hold, the witness as nested lists.

        Returns:
            A dictionary that `from_dict` reads back exactly.
        """
        plain = {**vars(self), "selected": list(self.selected)}
        plain["pivot"] = None if self.pivot is None else list(self.pivot)
        plain["witness"] = None if self.witness is None else [part.tolist() for part in self.witness]
        plain["witness_shapes"] = (
            None if self.witness is None else [list(part.shape) for part in self.witness]
        )
        return plain

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> "DeepLinearClassification":
        """Read what `to_dict` wrote.

        Args:
            plain: The dictionary.

        Returns:
            An equal classification, its witness on the CPU.
        """
        fields = {name: value for name, value in plain.items() if name != "witness_shapes"}
        fields["selected"] = tuple(plain["selected"])
        fields["pivot"] = None if plain["pivot"] is None else tuple(plain["pivot"])
        if plain["witness"] is not None:
            fields["witness"] = tuple(
                torch.tensor(part, dtype=torch.float64).reshape(shape)
                for part, shape in zip(plain["witness"], plain["witness_shapes"], strict=True)
            )
        return cls(**fields)


def _moved(weights: Sequence[Tensor], direction: Sequence[Tensor], step: float) -> list[Tensor]:
    return [weight + step * change for weight, change in zip(weights, direction, strict=True)]
