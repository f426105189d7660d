from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from localmin.sampling.execution import InProcess, Stages, TrialRequest, TrialStage
from localmin.sampling.trial import TrialOutcome, TrialPlan, cross_fit_folds
from localmin.tasks import Task
from localmin.tasks.run_folder import RunFolder, Stage

MakeTask = Callable[..., Task]


class Counting(InProcess):
    """Count trials, and fail at one of them."""

    def __init__(self, fail_at: int = 0) -> None:
        super().__init__()
        self.names: list[str] = []
        self.fail_at = fail_at

    def collect(self, timeout: float | None = None) -> list[tuple[str, TrialOutcome]]:
        if len(self.names) + 1 == self.fail_at:
            raise KeyboardInterrupt
        found = super().collect(timeout)
        self.names += [name for name, _ in found]
        return found


def wanted(task: Task) -> list[TrialStage]:
    plan = TrialPlan(cross_fit_folds(task.train.labels, share=0.5, num_folds=1, seed=0), 1, seed=0)
    ones = torch.ones(160).double()

    def draws(outcomes: list[TrialOutcome]) -> Stage:
        return {"draws": [outcome.num_draws for outcome in outcomes]}, {}

    return [
        TrialStage("one", (TrialRequest("one", ones, plan),), draws),
        TrialStage("none", (), lambda outcomes: ({"known": len(outcomes)}, {})),
        TrialStage("two", (TrialRequest("x", ones, plan), TrialRequest("y", ones, plan)), draws),
    ]


EXPECTED: list[Stage] = [({"draws": [80]}, {}), ({"known": 0}, {}), ({"draws": [80, 80]}, {})]


def test_stages_come_in_the_order_asked_for(make_task: MakeTask) -> None:
    task, executor = make_task(), Counting()
    executor.use(task, device=torch.device("cpu"))
    stages = Stages(RunFolder(None, {}), executor)
    assert stages.trials(wanted(task)) == EXPECTED
    assert executor.names == ["one", "x", "y"]
    assert stages.trials([]) == []


def test_what_was_done_is_not_done_again(make_task: MakeTask, tmp_path: Path) -> None:
    task = make_task()
    with RunFolder(tmp_path, {}) as folder:
        executor = Counting(fail_at=3)
        executor.use(task, device=torch.device("cpu"))
        with pytest.raises(KeyboardInterrupt):
            Stages(folder, executor).trials(wanted(task))
        assert executor.names == ["one", "x"]
        again = Counting()
        again.use(task, device=torch.device("cpu"))
        assert Stages(folder, again).trials(wanted(task)) == EXPECTED
        assert again.names == ["x", "y"]
        assert Stages(folder, Counting(fail_at=1)).trials(wanted(task)) == EXPECTED
