"""Langevin dynamics for finding and leaving local minima: optimisers, kernels, experiments, theory."""

from localmin.langevin import theory
from localmin.langevin.basins import SameBasin, line_barrier
from localmin.langevin.diagnostics import (
    basin_labels,
    configurational_temperature,
    count_escapes,
    effective_sample_size,
    kinetic_temperature,
    mala_acceptance,
    split_r_hat,
)
from localmin.langevin.escape import (
    PassageResult,
    exit_time,
    first_passage_time,
    recurrence_time,
    transition_time,
)
from localmin.langevin.friction import (
    critical_friction,
    estimate_curvature,
    friction_from_momentum,
    momentum_from_friction,
)
from localmin.langevin.kernels import (
    Kernel,
    KernelInfo,
    KernelState,
    NonReversibleKernel,
    OverdampedKernel,
    UnderdampedKernel,
    registered_kernels,
)
from localmin.langevin.optimizers import LangevinDynamics, NonReversibleLangevin, UnderdampedLangevin
from localmin.langevin.potentials import DoubleWell, Potential, Quadratic, SheetDoubleWell
from localmin.langevin.release import Descent, ReleaseCheck, ReleaseResult, release_from_minimum
from localmin.langevin.release_study import Release, ReleaseStudy, compare_releases
from localmin.langevin.schedules import Constant, Cyclical, Exponential, Logarithmic, Polynomial
from localmin.langevin.skew import (
    CoupledChains,
    DenseSkew,
    LeftRightSkew,
    LowRankSkew,
    PairwiseRotation,
    SkewOperator,
    dense_optimal_skew,
    random_pairing,
)
from localmin.langevin.skew_drift import RepairedRotation

__all__ = [
    "Constant",
    "CoupledChains",
    "Cyclical",
    "DenseSkew",
    "Descent",
    "DoubleWell",
    "Exponential",
    "Kernel",
    "KernelInfo",
    "KernelState",
    "LangevinDynamics",
    "LeftRightSkew",
    "Logarithmic",
    "LowRankSkew",
    "NonReversibleKernel",
    "NonReversibleLangevin",
    "OverdampedKernel",
    "PairwiseRotation",
    "PassageResult",
    "Polynomial",
    "Potential",
    "Quadratic",
    "Release",
    "ReleaseCheck",
    "ReleaseResult",
    "ReleaseStudy",
    "RepairedRotation",
    "SameBasin",
    "SheetDoubleWell",
    "SkewOperator",
    "UnderdampedKernel",
    "UnderdampedLangevin",
    "basin_labels",
    "compare_releases",
    "configurational_temperature",
    "count_escapes",
    "critical_friction",
    "dense_optimal_skew",
    "effective_sample_size",
    "estimate_curvature",
    "exit_time",
    "first_passage_time",
    "friction_from_momentum",
    "kinetic_temperature",
    "line_barrier",
    "mala_acceptance",
    "momentum_from_friction",
    "random_pairing",
    "recurrence_time",
    "registered_kernels",
    "release_from_minimum",
    "split_r_hat",
    "theory",
    "transition_time",
]
