"""The claims about L2-regularised deep networks (Jacot, Golikov, Hongler, Gabriel 2022), as experiments."""

from localmin.experiments.claim import Claim
from localmin.experiments.regularized_networks.attraction_repulsion import check_attraction_repulsion
from localmin.experiments.regularized_networks.covariance import check_covariance
from localmin.experiments.regularized_networks.far_fewer import check_far_fewer
from localmin.experiments.regularized_networks.representations import check_representations
from localmin.experiments.regularized_networks.sparsity import check_sparsity
from localmin.experiments.regularized_networks.tight import check_tight

__all__ = ["CLAIMS"]

CLAIMS: tuple[Claim, ...] = (
    Claim(
        "l2-representations",
        "The loss can be written in the layers' representations.",
        check_representations,
    ),
    Claim(
        "l2-attraction-repulsion",
        "Each representation solves an attraction and repulsion problem and interpolates between input and "
        "output, keeping as little information as needed.",
        check_attraction_repulsion,
    ),
    Claim(
        "l2-covariance",
        "For homogeneous activations the loss can be written in covariances, partially convex on a cone.",
        check_covariance,
    ),
    Claim(
        "l2-sparsity", "Every local minimum is reached with at most N(N+1) neurons a layer.", check_sparsity
    ),
    Claim("l2-tight", "A minimum that needs N^2/4 neurons exists.", check_tight),
    Claim("l2-far-fewer", "Ordinary problems need far fewer than N^2 neurons.", check_far_fewer),
)
