"""How small can a network be with the same outputs and no larger norm? Exact reduction, and why it works."""

from localmin.reduction.approximate_result import ApproximateReduction
from localmin.reduction.block import BlockReduction, reduce_block
from localmin.reduction.block_optimality import BlockCertificate, LayerCertificate, certificate
from localmin.reduction.bounds import NeuronBounds, neuron_bounds
from localmin.reduction.caratheodory import Recombination, recombine
from localmin.reduction.convolution import ConvolutionReduction, reduce_convolution
from localmin.reduction.coreset import coreset_reduction
from localmin.reduction.design import DesignProblem, DesignResult, solve_design
from localmin.reduction.exact_reduction import reduce
from localmin.reduction.examples_in_closed_form import (
    BadMinimumExample,
    BipartiteExample,
    bad_minimum_example,
    bipartite_example,
)
from localmin.reduction.forces import LayerForces, attraction_repulsion, neuron_balance
from localmin.reduction.homogeneous_network import HomogeneousNetwork
from localmin.reduction.layer_representations import LayerRepresentation, Representations, representations
from localmin.reduction.linear_network import minimal_linear_network
from localmin.reduction.neuron_search import NeuronSearch, StrongestNeurons
from localmin.reduction.neuron_selection import Selection
from localmin.reduction.pictures import layer_pictures
from localmin.reduction.projection import Projection, balance, project
from localmin.reduction.rank_decisions import ExactMode, RankDecision
from localmin.reduction.reduced_files import load_reduced
from localmin.reduction.reduction_plan import ReductionPlan, plan_reduction
from localmin.reduction.reduction_steps import ReductionSettings
from localmin.reduction.regularized_training import train_regularized
from localmin.reduction.result import Recheck, Reduction, ReductionStep, replay
from localmin.reduction.reweighting import Reweighting, reweight
from localmin.reduction.ridge_refit import approximate_reduction
from localmin.reduction.shallow import ShallowSolution, solve_shallow
from localmin.reduction.trained_reduction import TrainedReduction, plan_trained, reduce_trained
from localmin.reduction.truncated_ranks import truncated_rank_reduction
from localmin.reduction.width_sweep import Plateau, plateau

__all__ = [
    "ApproximateReduction",
    "BadMinimumExample",
    "BipartiteExample",
    "BlockCertificate",
    "BlockReduction",
    "ConvolutionReduction",
    "DesignProblem",
    "DesignResult",
    "ExactMode",
    "HomogeneousNetwork",
    "LayerCertificate",
    "LayerForces",
    "LayerRepresentation",
    "NeuronBounds",
    "NeuronSearch",
    "Plateau",
    "Projection",
    "RankDecision",
    "Recheck",
    "Recombination",
    "Reduction",
    "ReductionPlan",
    "ReductionSettings",
    "ReductionStep",
    "Representations",
    "Reweighting",
    "Selection",
    "ShallowSolution",
    "StrongestNeurons",
    "TrainedReduction",
    "approximate_reduction",
    "attraction_repulsion",
    "bad_minimum_example",
    "balance",
    "bipartite_example",
    "certificate",
    "coreset_reduction",
    "layer_pictures",
    "load_reduced",
    "minimal_linear_network",
    "neuron_balance",
    "neuron_bounds",
    "plan_reduction",
    "plan_trained",
    "plateau",
    "project",
    "recombine",
    "reduce",
    "reduce_block",
    "reduce_convolution",
    "reduce_trained",
    "replay",
    "representations",
    "reweight",
    "solve_design",
    "solve_shallow",
    "train_regularized",
    "truncated_rank_reduction",
]
