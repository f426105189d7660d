"""A second opinion: what a simple model says of each example that it left out of its fit.

A small network that is trained for a while on noisy labels ranks hard examples badly: it is unsure of right
and wrong labels alike, and after a short training of all of them. A linear model on fixed features, or counts
of a text, see the whole set at once and average noise away, and their prediction for an example *left out of
the fit* is known in closed form for all examples together. Its loss is averaged with the network's.

The features of the linear model use no label: responses to whitened random patches for images, random waves
for vectors.
"""

from localmin.sampling.second_opinion.ngrams import NgramModel
from localmin.sampling.second_opinion.opinion import (
    LeftOutNgrams,
    LeftOutRidge,
    Opinion,
    average_tables,
    has_opinion,
    plan_opinion,
)
from localmin.sampling.second_opinion.patches import Patches, patch_features
from localmin.sampling.second_opinion.ridge import leave_one_out_predictions
from localmin.sampling.second_opinion.waves import Waves, wave_features

__all__ = [
    "LeftOutNgrams",
    "LeftOutRidge",
    "NgramModel",
    "Opinion",
    "Patches",
    "Waves",
    "average_tables",
    "has_opinion",
    "leave_one_out_predictions",
    "patch_features",
    "plan_opinion",
    "wave_features",
]
