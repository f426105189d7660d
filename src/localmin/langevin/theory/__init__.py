"""Closed forms and exact references for Langevin dynamics near minima and over saddles (numpy and scipy)."""

from localmin.langevin.theory.exit_times import eyring_kramers, low_friction_factor, saddle_rate
from localmin.langevin.theory.first_passage import (
    euler_chain_first_passage_1d,
    hitting_barrier_shift,
    mean_first_passage_1d,
    ou_exit_time,
)
from localmin.langevin.theory.rates import (
    best_step_size,
    convergence_rate,
    semigroup_bound,
    settling_time,
    steps_per_efold,
)
from localmin.langevin.theory.recurrence import (
    enter_and_stay_time,
    recurrence_time_bound,
    settling_time_bound,
    skew_prefactor,
)
from localmin.langevin.theory.schemes import Scheme, spectral_radius, underdamped_schemes
from localmin.langevin.theory.skew_design import critical_skew_strength, optimal_skew, skew_rate_bounds
from localmin.langevin.theory.spectra import Dynamics
from localmin.langevin.theory.spectral_gap import spectral_gap_1d, spectral_gap_2d, spectral_gap_underdamped
from localmin.langevin.theory.stability import max_stable_step
from localmin.langevin.theory.stationary import (
    stationary_covariance,
    transient_covariance,
    w2_gaussian,
    w2_to_equilibrium,
)

__all__ = [
    "Dynamics",
    "Scheme",
    "best_step_size",
    "convergence_rate",
    "critical_skew_strength",
    "enter_and_stay_time",
    "euler_chain_first_passage_1d",
    "eyring_kramers",
    "hitting_barrier_shift",
    "low_friction_factor",
    "max_stable_step",
    "mean_first_passage_1d",
    "optimal_skew",
    "ou_exit_time",
    "recurrence_time_bound",
    "saddle_rate",
    "semigroup_bound",
    "settling_time",
    "settling_time_bound",
    "skew_prefactor",
    "skew_rate_bounds",
    "spectral_gap_1d",
    "spectral_gap_2d",
    "spectral_gap_underdamped",
    "spectral_radius",
    "stationary_covariance",
    "steps_per_efold",
    "transient_covariance",
    "underdamped_schemes",
    "w2_gaussian",
    "w2_to_equilibrium",
]
