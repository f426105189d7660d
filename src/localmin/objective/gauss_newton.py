"""The Gauss-Newton matrix of an objective: the Hessian without the curvature of the model."""

from jaxtyping import Float
from torch import Tensor

from localmin.objective.curvature_operator import AbstractCurvatureOperator

__all__ = ["GaussNewtonOperator"]


class GaussNewtonOperator(AbstractCurvatureOperator):
    """Multiply by ``(1/N) Σ_i J_iᵀ (∇²_z loss_i) J_i + weight_decay I``, with ``J_i`` the model's Jacobian.

    It is positive semi-definite for every loss that is convex in the output, so it shows no saddle; the
    Hessian less this matrix is the part that can. For cross-entropy it is the Fisher information
    matrix. It equals the Hessian where the model is linear in the parameters or all residuals vanish.

    Args:
        objective: The objective; the operator belongs to its point.
        on_product: Told the number of products so far, after each.

    Source:
        Schraudolph 2002; the product by differentiating a vector-Jacobian product is textbook.

    Cost:
        One product: a forward sweep and about three backward sweeps; no graph is kept between products.

    Example:
        >>> import torch
        >>> from localmin.objective import Objective
        >>> square = torch.nn.functional.mse_loss
        >>> model = torch.nn.Linear(1, 1, bias=False, dtype=torch.float64)
        >>> x = torch.tensor([[1.0], [2.0]], dtype=torch.float64)
        >>> GaussNewtonOperator(Objective(model, square, (x, x))).dense().tolist()
        [[5.0]]
    """

    def _multiply_rows(self, vectors: Float[Tensor, "*k n"]) -> Float[Tensor, "*k n"]:
        return self._objective.gauss_newton_products(vectors)
