"""The loss of a model over data as a function of its parameters, with exact curvature."""

from localmin.objective.hessian import HessianOperator
from localmin.objective.objective import Objective

__all__ = ["HessianOperator", "Objective"]
