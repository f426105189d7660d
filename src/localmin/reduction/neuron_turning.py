"""Turning the neurons of a two-layer ReLU network inside the faces they lie on."""

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from scipy.optimize import minimize
from torch import Tensor

__all__ = ["turn_neurons"]

Array = NDArray[np.float64]

_ON_FACE_RELATIVE = 1e-9
_MAX_STEPS = 300


def turn_neurons(
    inputs: Float[Tensor, "n d"],
    targets: Float[Tensor, "n c"],
    penalty: float,
    directions: Float[Tensor, "k d"],
    outgoing: Float[Tensor, "k c"],
) -> tuple[Float[Tensor, "k2 d"], Float[Tensor, "k2 c"]]:
    """Lower ``(1/n) ||relu(X U) V - Y||² + penalty (||U||² + ||V||²)`` from a given network.

    A neuron that is exactly zero on some points stays zero there: each moves in the intersection of these
    hyperplanes only, where the loss is smooth. Without that, the kinks would stop the descent.

    Args:
        inputs: ``X``, shape ``(n, d)``, float64.
        targets: ``Y``, shape ``(n, c)``, float64.
        penalty: Above 0.
        directions: Unit neurons, shape ``(k, d)``.
        outgoing: Their outgoing vectors, shape ``(k, c)``; zero rows are dropped.

    Returns:
        Unit neurons and outgoing vectors with a loss that is not larger.

    Source:
        Derived here; L-BFGS of scipy inside the faces.

    Cost:
        At most 300 steps of ``O(n k (d + c))``.
    """
    used = outgoing.norm(dim=1) > 0
    directions, outgoing = directions[used], outgoing[used]
    if len(directions) == 0:
        return directions, outgoing
    x, y = inputs.numpy(), targets.numpy()
    roots = outgoing.norm(dim=1, keepdim=True).sqrt()
    problem = _Faces(x, y, penalty, directions.numpy())
    start = np.concatenate([(directions * roots).numpy().ravel(), (outgoing / roots).numpy().ravel()])
    found = minimize(
        problem.value_and_gradient,
        start,
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": _MAX_STEPS, "ftol": 1e-16, "gtol": 1e-13, "maxcor": 30},
    )
    if not found.fun < problem.value_and_gradient(start)[0]:
        return directions, outgoing
    weights, vectors = problem.split(found.x)
    lengths = np.linalg.norm(weights, axis=1, keepdims=True)
    alive = lengths[:, 0] > 1e-12 * max(float(lengths.max()), 1e-300)
    unit = weights[alive] / lengths[alive]
    return torch.from_numpy(unit), torch.from_numpy(vectors[alive] * lengths[alive])


class _Faces:
    """The loss as a function of weights that are projected onto the faces of their neurons."""

    def __init__(self, x: Array, y: Array, penalty: float, directions: Array) -> None:
        self.x, self.y, self.penalty = x, y, penalty
        values = x @ directions.T
        self.open = np.abs(values) > _ON_FACE_RELATIVE * np.linalg.norm(x, axis=1)[:, None]
        self.projectors = np.stack([_projector(x[~self.open[:, j]]) for j in range(len(directions))])

    def split(self, vector: Array) -> tuple[Array, Array]:
        size = self.projectors.shape[0] * self.x.shape[1]
        weights = vector[:size].reshape(self.projectors.shape[0], -1)
        projected: Array = np.einsum("jab,jb->ja", self.projectors, weights)
        return projected, vector[size:].reshape(self.projectors.shape[0], -1)

    def value_and_gradient(self, vector: Array) -> tuple[float, Array]:
        weights, vectors = self.split(vector)
        values = self.x @ weights.T
        features = np.where(self.open, np.maximum(values, 0.0), 0.0)
        error = features @ vectors - self.y
        value = (error**2).sum() / len(self.x) + self.penalty * ((weights**2).sum() + (vectors**2).sum())
        scaled = 2.0 / len(self.x) * error
        back = (scaled @ vectors.T) * ((values > 0) & self.open)
        turn = back.T @ self.x + 2 * self.penalty * weights
        turn = np.einsum("jab,jb->ja", self.projectors, turn)
        stretch = features.T @ scaled + 2 * self.penalty * vectors
        return float(value), np.concatenate([turn.ravel(), stretch.ravel()])


def _projector(normals: Array) -> Array:
    identity = np.eye(normals.shape[1])
    if len(normals) == 0:
        return identity
    _, values, right = np.linalg.svd(normals, full_matrices=False)
    rank = int((values > 1e-9 * max(float(values[0]), 1e-300)).sum())
    projector: Array = identity - right[:rank].T @ right[:rank]
    return projector
