"""The loss of a model over data as a function of its parameters, with exact curvature."""

from localmin.objective.curvature_operator import AbstractCurvatureOperator
from localmin.objective.gauss_newton import GaussNewtonOperator
from localmin.objective.hessian import HessianOperator
from localmin.objective.objective import Objective

__all__ = ["AbstractCurvatureOperator", "GaussNewtonOperator", "HessianOperator", "Objective"]
