"""Deep linear networks with square loss, where the kind of every point has a complete algebraic answer."""

from localmin.certification.deep_linear.classification import (
    DeepLinearClassification,
    DeepLinearRecheck,
    DeepLinearVerdict,
)
from localmin.certification.deep_linear.classify import classify_deep_linear
from localmin.certification.deep_linear.construction import ConstructedPoint, construct_critical_point
from localmin.certification.deep_linear.derivatives import half_squared_loss, second_derivative
from localmin.certification.deep_linear.descent import DescentCurve, descent_chart, descent_curve
from localmin.certification.deep_linear.fibre_escape import DeepLinearEscape, escape_deep_linear
from localmin.certification.deep_linear.global_bounds import (
    CriticalValue,
    critical_values,
    global_minimum_loss,
    optimality_gap,
)
from localmin.certification.deep_linear.random_paths import RandomPathMean, random_path_mean

__all__ = [
    "ConstructedPoint",
    "CriticalValue",
    "DeepLinearClassification",
    "DeepLinearEscape",
    "DeepLinearRecheck",
    "DeepLinearVerdict",
    "DescentCurve",
    "RandomPathMean",
    "classify_deep_linear",
    "construct_critical_point",
    "critical_values",
    "descent_chart",
    "descent_curve",
    "escape_deep_linear",
    "global_minimum_loss",
    "half_squared_loss",
    "optimality_gap",
    "random_path_mean",
    "second_derivative",
]
