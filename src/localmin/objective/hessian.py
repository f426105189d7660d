"""The Hessian of an objective as a symmetric linear operator that is never formed, unless asked for."""

from jaxtyping import Float
from torch import Tensor

from localmin.objective.curvature_operator import AbstractCurvatureOperator

__all__ = ["HessianOperator"]


class HessianOperator(AbstractCurvatureOperator):
    """Multiply by ``∇²f`` at the point of an objective, and count the products.

    Args:
        objective: The objective; the operator belongs to its point.
        on_product: Told the number of products so far, after each.

    Example:
        >>> import torch
        >>> from localmin.objective import Objective
        >>> saddle = Objective.from_function(lambda p: p[0] ** 2 - 3.0 * p[0] * p[1], torch.zeros(2))
        >>> hessian = HessianOperator(saddle)
        >>> hessian.shape, hessian.dense().tolist()
        ((2, 2), [[2.0, -3.0], [-3.0, 0.0]])
        >>> hessian.num_products
        2
    """

    def _multiply_rows(self, vectors: Float[Tensor, "*k n"]) -> Float[Tensor, "*k n"]:
        return self._objective.hvp(vectors)
