"""What a user might take instead of a searched sampler: peers, on the same data, network and steps."""

from localmin.experiments.swift_sampler.peers.arm_run import ArmRun, train_arm
from localmin.experiments.swift_sampler.peers.co_teaching import train_co_teaching
from localmin.experiments.swift_sampler.peers.confident_learning import (
    confident_learning_weights,
    cross_validated_probabilities,
)
from localmin.experiments.swift_sampler.peers.loss_cuts import mixture_weights, trimming_weights
from localmin.experiments.swift_sampler.peers.resampling import (
    resampling_weights,
    smote_examples,
    train_smote,
)
from localmin.experiments.swift_sampler.peers.super_loss import SuperLoss

__all__ = [
    "ArmRun",
    "SuperLoss",
    "confident_learning_weights",
    "cross_validated_probabilities",
    "mixture_weights",
    "resampling_weights",
    "smote_examples",
    "train_arm",
    "train_co_teaching",
    "train_smote",
    "trimming_weights",
]
