"""The function behind the weights: equality, normal form, distance and stability of ReLU networks."""

from localmin.realization.alignment import Alignment, align, loss_along_path
from localmin.realization.comparison import (
    Comparison,
    DataGap,
    KinkDifference,
    compare_networks,
    kink_differences,
)
from localmin.realization.deep_symmetries import (
    DeepNormalForm,
    DeepNormalFormReport,
    LayerMatch,
    NeuronMatch,
    deep_normal_form,
    match_neurons,
    symmetry_normal_form,
)
from localmin.realization.equality import FunctionEquality, same_function
from localmin.realization.half_space import (
    HalfSpaceForm,
    HalfSpaceStability,
    half_space_form,
    half_space_stability,
)
from localmin.realization.invariants import Invariants, invariants
from localmin.realization.inverse_stability import SHARP_CONSTANT, InverseStability, inverse_stability
from localmin.realization.minima import (
    AlmostOptimality,
    MinimumTransfer,
    ParameterMinimum,
    almost_optimality,
    parameter_minimum_example,
    transfer_minimum,
    transfer_radius,
)
from localmin.realization.nearest import NearestParametrization, nearest_parametrization
from localmin.realization.normal_form import NormalForm, NormalFormReport, normal_form
from localmin.realization.parametrizations import all_parametrizations
from localmin.realization.pathologies import (
    Pathology,
    complete_unbalancedness,
    exploding_gradient,
    opposite_directions_one,
    opposite_directions_two,
    redundant_directions,
    sharp_pair,
)
from localmin.realization.pattern_minima import PatternMinimum, pattern_minimum, polish_in_pattern
from localmin.realization.penalties import (
    balance_penalty,
    half_space_penalty,
    opposite_penalty,
    parallel_penalty,
    project_module,
)
from localmin.realization.restricted_space import (
    RestrictedSpaceMembership,
    balance,
    lift,
    lift_inputs,
    restricted_space_membership,
)
from localmin.realization.seminorm import SeminormDistance, seminorm, seminorm_distance, seminorm_work
from localmin.realization.sup_distance import SupDistance, sup_distance

__all__ = [
    "SHARP_CONSTANT",
    "Alignment",
    "AlmostOptimality",
    "Comparison",
    "DataGap",
    "DeepNormalForm",
    "DeepNormalFormReport",
    "FunctionEquality",
    "HalfSpaceForm",
    "HalfSpaceStability",
    "Invariants",
    "InverseStability",
    "KinkDifference",
    "LayerMatch",
    "MinimumTransfer",
    "NearestParametrization",
    "NeuronMatch",
    "NormalForm",
    "NormalFormReport",
    "ParameterMinimum",
    "Pathology",
    "PatternMinimum",
    "RestrictedSpaceMembership",
    "SeminormDistance",
    "SupDistance",
    "align",
    "all_parametrizations",
    "almost_optimality",
    "balance",
    "balance_penalty",
    "compare_networks",
    "complete_unbalancedness",
    "deep_normal_form",
    "exploding_gradient",
    "half_space_form",
    "half_space_penalty",
    "half_space_stability",
    "invariants",
    "inverse_stability",
    "kink_differences",
    "lift",
    "lift_inputs",
    "loss_along_path",
    "match_neurons",
    "nearest_parametrization",
    "normal_form",
    "opposite_directions_one",
    "opposite_directions_two",
    "opposite_penalty",
    "parallel_penalty",
    "parameter_minimum_example",
    "pattern_minimum",
    "polish_in_pattern",
    "project_module",
    "redundant_directions",
    "restricted_space_membership",
    "same_function",
    "seminorm",
    "seminorm_distance",
    "seminorm_work",
    "sharp_pair",
    "sup_distance",
    "symmetry_normal_form",
    "transfer_minimum",
    "transfer_radius",
]
