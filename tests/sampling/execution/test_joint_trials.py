from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from localmin.errors import InputError
from localmin.sampling import SearchSettings, search
from localmin.sampling.execution import InProcess, TrialRequest
from localmin.sampling.execution.joint_trials import JointProbe, probe
from localmin.sampling.trial import TrialOutcome, TrialPlan, cross_fit_folds, run_trial
from localmin.tasks import Task

MakeTask = Callable[..., Task]

CPU = torch.device("cpu")
SMALL = SearchSettings(cuts=(1.2, 0.8, 0.7, 0.5), steps=2, rounds=1, top=2)


def test_scores_are_those_of_trials_one_by_one(make_task: MakeTask) -> None:
    task = make_task(noise=0.3, recipe={"lr": 0.02})
    plan = TrialPlan(cross_fit_folds(task.train.labels, share=0.5, num_folds=2, seed=0), 4, seed=1)
    weights = {f"t{k}": torch.linspace(0.1 * k, 1, 160).double() for k in range(1, 6)}
    weights["rejected"] = torch.zeros(160).double()
    weights["last"] = torch.ones(160).double()
    drawn: list[int] = []
    executor = InProcess(max_together=3)
    executor.use(task, device=CPU, on_draws=drawn.append)
    for name, weight in weights.items():
        executor.submit(TrialRequest(name, weight, plan))
    groups = []
    found: dict[str, TrialOutcome] = {}
    while batch := executor.collect():
        groups.append([name for name, _ in batch])
        found |= dict(batch)
    assert groups == [["t1", "t2", "t3"], ["t4", "t5"], ["rejected"], ["last"]]
    for name, weight in weights.items():
        alone = run_trial(task, weight, plan)
        assert (found[name].status, found[name].num_draws) == (alone.status, alone.num_draws)
        assert torch.equal(found[name].looks, alone.looks)
        # float32 adds in another order: an item at the border may fall on the other side
        assert int((found[name].hits != alone.hits).sum()) <= 2
    assert sum(drawn) == sum(outcome.num_draws for outcome in found.values())


def test_trials_that_diverge_end_at_their_fold(make_task: MakeTask) -> None:
    task = make_task()
    plan = TrialPlan(
        cross_fit_folds(task.train.labels, share=0.5, num_folds=2, seed=0), 4, seed=0, lr_scale=1e30
    )
    executor = InProcess(max_together=2)
    executor.use(task, device=CPU)
    for name in "ab":
        executor.submit(TrialRequest(name, torch.ones(160).double(), plan))
    alone = run_trial(task, torch.ones(160).double(), plan)
    for _, outcome in executor.collect():
        assert (
            (outcome.status, outcome.num_draws)
            == (alone.status, alone.num_draws)
            == ("diverged", outcome.num_draws)
        )


def test_the_probe_measures_or_says_why_not(make_task: MakeTask) -> None:
    found = probe(make_task(), 4, device=CPU)
    assert found.seconds_alone is not None
    assert found.seconds_together is not None
    assert found.together == (found.seconds_together / found.seconds_alone < 0.9)
    assert found.count == (4 if found.together else 1)
    assert "of the time it takes alone" in found.reason
    assert probe(make_task(dropout=0.2), 4, device=CPU).reason.startswith("drop-out")

    class Looking(nn.Module):
        """Decide by a number, which torch.func cannot."""

        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(8, 4)

        def forward(self, inputs: Tensor) -> Tensor:
            logits: Tensor = self.layer(inputs if float(inputs.sum()) > 0 else -inputs)
            return logits

    refused = probe(replace(make_task(), model=Looking), 4, device=CPU)
    assert not refused.together
    assert refused.reason.startswith("torch.func cannot batch the network")


@pytest.mark.parametrize("together", [True, False])
def test_the_probe_decides_once_and_the_result_says_so(
    make_task: MakeTask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, together: bool
) -> None:
    calls = 0

    def measured(task: Task, count: int, *, device: torch.device) -> JointProbe:
        nonlocal calls
        calls += 1
        return JointProbe(together, count if together else 1, 1.0, 0.5, "made up")

    # The package shows the function of that name, not the module.
    monkeypatch.setattr(sys.modules["localmin.sampling.search"], "probe", measured)
    task = make_task(noise=0.3)
    found = search(task, settings=SMALL, together=4, out=tmp_path)
    assert (
        search(task, settings=SMALL, together=4, out=tmp_path).to_dict()["trials"]
        == found.to_dict()["trials"]
    )
    assert calls == 1
    how = "4 networks at once" if together else "networks one by one"
    assert f"trials trained {how}: made up" in found.notes
    alone = search(task, settings=SMALL)
    # the cuts are the same samplers, whatever rounding does to what is proposed later
    for one, other in zip(found.trials[:4], alone.trials[:4], strict=True):
        assert one.score == pytest.approx(other.score, abs=0.01)


def test_together_is_for_this_process(make_task: MakeTask) -> None:
    with pytest.raises(InputError, match="together in this process"):
        search(make_task(), settings=SMALL, together=2, workers=2)
    with pytest.raises(InputError, match="at least 1 network"):
        search(make_task(), settings=SMALL, together=0)
