"""Several questions about one network, answered in one run: which data, where it ended, how small it gets."""

from localmin.workflow.ending import Ending, find_ending
from localmin.workflow.shrinking import Rung, Shrinking, shrink
from localmin.workflow.whole_run import WholeRun, run_everything

__all__ = ["Ending", "Rung", "Shrinking", "WholeRun", "find_ending", "run_everything", "shrink"]
