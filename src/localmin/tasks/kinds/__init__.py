"""Kinds of tasks: classification, regression, language modelling, behind one protocol."""

from localmin.tasks.kinds.classification import Classification, classification_score
from localmin.tasks.kinds.kind import TaskKind
from localmin.tasks.kinds.language_model import LanguageModel, corrupt_sequences
from localmin.tasks.kinds.regression import Regression

__all__ = [
    "KINDS",
    "Classification",
    "LanguageModel",
    "Regression",
    "TaskKind",
    "classification_score",
    "corrupt_sequences",
]

KINDS: dict[str, TaskKind] = {kind.name: kind for kind in (Classification(), Regression(), LanguageModel())}
