"""Where trials run: in this process, in processes of this machine, or somewhere a plug-in knows."""

from localmin.sampling.execution.in_process import InProcess
from localmin.sampling.execution.process_pool import ProcessPool
from localmin.sampling.execution.protocol import TrialExecutor, TrialRequest
from localmin.sampling.execution.shared_stages import Database, SharedStages
from localmin.sampling.execution.stages import Stages, TrialStage

__all__ = [
    "Database",
    "InProcess",
    "ProcessPool",
    "SharedStages",
    "Stages",
    "TrialExecutor",
    "TrialRequest",
    "TrialStage",
]
