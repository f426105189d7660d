"""Linear algebra, tolerances and random draws that know no networks and touch no files."""

from localmin.numerics.extreme_eigenpairs import Eigenpair, ExtremeEigenpairs, extreme_eigenpairs
from localmin.numerics.lanczos import KrylovSpace, MatrixVectorProduct, RitzPair, lanczos
from localmin.numerics.lanczos_bounds import (
    lanczos_failure_probability,
    lanczos_relative_error,
    smallest_eigenvalue_lower_bound,
)
from localmin.numerics.parameter_vectors import flatten_tensors, split_vector
from localmin.numerics.random_draws import as_generator, normal_vector, random_signs
from localmin.numerics.rank import null_space_basis, numerical_rank
from localmin.numerics.spectral_density import SpectralAverage, SpectralDensity, spectral_density
from localmin.numerics.tolerances import rank_tolerance_relative, rounding_margin_absolute
from localmin.numerics.trace import TraceEstimate, estimate_trace

__all__ = [
    "Eigenpair",
    "ExtremeEigenpairs",
    "KrylovSpace",
    "MatrixVectorProduct",
    "RitzPair",
    "SpectralAverage",
    "SpectralDensity",
    "TraceEstimate",
    "as_generator",
    "estimate_trace",
    "extreme_eigenpairs",
    "flatten_tensors",
    "lanczos",
    "lanczos_failure_probability",
    "lanczos_relative_error",
    "normal_vector",
    "null_space_basis",
    "numerical_rank",
    "random_signs",
    "rank_tolerance_relative",
    "rounding_margin_absolute",
    "smallest_eigenvalue_lower_bound",
    "spectral_density",
    "split_vector",
]
