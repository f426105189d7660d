"""Linear algebra, tolerances and random draws that know no networks and touch no files."""

from localmin.numerics.extreme_eigenpairs import Eigenpair, ExtremeEigenpairs, extreme_eigenpairs
from localmin.numerics.lanczos import KrylovSpace, MatrixVectorProduct, RitzPair, lanczos
from localmin.numerics.lanczos_bounds import (
    lanczos_failure_probability,
    lanczos_relative_error,
    smallest_eigenvalue_lower_bound,
)
from localmin.numerics.parameter_vectors import flatten_tensors, split_vector
from localmin.numerics.random_draws import as_generator, normal_vector
from localmin.numerics.rank import null_space_basis, numerical_rank
from localmin.numerics.tolerances import rank_tolerance_relative, rounding_margin_absolute

__all__ = [
    "Eigenpair",
    "ExtremeEigenpairs",
    "KrylovSpace",
    "MatrixVectorProduct",
    "RitzPair",
    "as_generator",
    "extreme_eigenpairs",
    "flatten_tensors",
    "lanczos",
    "lanczos_failure_probability",
    "lanczos_relative_error",
    "normal_vector",
    "null_space_basis",
    "numerical_rank",
    "rank_tolerance_relative",
    "rounding_margin_absolute",
    "smallest_eigenvalue_lower_bound",
    "split_vector",
]
