from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from localmin.errors import DataError, InputError, RunFolderError
from localmin.sampling import SearchResult, SearchSettings, load_result, preset_settings, search
from localmin.sampling.feature_run import run_features
from localmin.sampling.settings import PRESETS
from localmin.sampling.summary import summarize
from localmin.sampling.trial import run_trial
from localmin.tasks import Task
from localmin.tasks.checkpoint import CheckpointFile
from localmin.tasks.run_folder import RunFolder
from localmin.tasks.task import cross_entropy

MakeTask = Callable[..., Task]

SMALL = SearchSettings(cuts=(1.2, 0.7, 0.5), steps=2, refresh_cuts=2, top=2)
SMALLEST = replace(SMALL, cuts=(1.2, 0.6), steps=1, refresh_cuts=1)
QUICK = replace(PRESETS["quick"], cuts=(1.2, 0.7, 0.5))
PAPER = replace(PRESETS["paper"], cuts=(1.2, 0.7, 0.5), steps=1, engine="tpe")


def noisy(make_task: MakeTask, **changes: Any) -> Task:
    return make_task(**({"noise": 0.3, "sizes": (160, 100, 60)} | changes))


def contents(result: SearchResult) -> dict[str, Any]:
    """Everything a result holds but the time it took."""
    described = result.to_dict()
    del described["cost"]["seconds"]
    arrays = {
        "weights": result.weights.tolist(),
        "candidate_weights": result.candidate_weights.tolist(),
        "features": result.features.values.tolist(),
        "model": {name: value.tolist() for name, value in result.model.state_dict().items()},
        "posterior": result.posterior_means,
        "policies": (result.policy.to_dict(), result.candidate.to_dict()),
        "csv": result.drop_report.to_csv(),
    }
    return {"result": described, **arrays}


def files(folder: Path) -> dict[str, bytes]:
    """The files of a run as bytes, without times, the journal and stages."""
    kept = {}
    for path in folder.iterdir():
        if path.is_file() and path.name not in (".lock", "trials.log"):
            content = path.read_bytes()
            if path.name == "result.json":
                summary = json.loads(content)
                del summary["cost"]["seconds"], summary["per_seed"][0]["cost"]["seconds"]
                content = json.dumps(summary).encode()
            kept[path.name] = content
    return kept


def test_a_search_runs_through_and_its_parts_fit(make_task: MakeTask) -> None:
    task = noisy(make_task)
    result = search(task, seed=3, settings=SMALL)
    assert result.trials[0].kind == "uniform"
    assert result.trials[0].z == tuple(result.policy.form.uniform().tolist())
    assert [trial.number for trial in result.trials] == list(range(SMALL.num_trials))
    assert [trial.kind for trial in result.trials] == (
        ["uniform", "cut", "cut", "search", "search", "cut", "cut", "search", "search"]
    )
    assert [trial.round for trial in result.trials] == [1] * 5 + [2] * 4
    assert set(result.arms) == {"uniform", "searched", "oracle"}
    # equal steps in all arms
    assert {arm.num_steps for arm in result.arms.values()} == {4 * 10}
    assert all(len(arm.losses) == 4 for arm in result.arms.values())
    assert result.recommendation == ("searched" if result.guard.accepted else "uniform")
    assert len(result.posterior_means) == len(result.trials)
    # the policy gives the weights back, from its ten numbers and the features
    again = result.candidate.weights(result.features, task.train.labels, num_classes=4)
    torch.testing.assert_close(again, result.candidate_weights)
    # the test score is that of the model that comes along
    predictions = result.model(task.prepare(task.test.inputs)).argmax(1)
    arm = result.arms["searched" if result.guard.accepted else "uniform"]
    assert float((predictions == task.test.labels).double().mean()) == pytest.approx(arm.test)
    json.dumps(result.to_dict(), allow_nan=False)


@pytest.mark.parametrize("settings", [SMALL, QUICK, PAPER], ids=["standard", "quick", "paper"])
def test_the_cost_is_the_number_of_draws(make_task: MakeTask, settings: SearchSettings) -> None:
    drawn = 0

    def counting(logits: Tensor, labels: Tensor) -> Tensor:
        nonlocal drawn
        drawn += len(labels)
        return cross_entropy(logits, labels)

    result = search(noisy(make_task, loss=counting), seed=0, settings=settings)
    trained = {name for name in result.arms if name != "searched" or result.guard.accepted}
    expected = result.cost.search_epochs + result.cost.guard_epochs + 4 * len(trained)
    assert drawn == pytest.approx(expected * 160)
    trials = sum(trial.epochs for trial in result.trials)
    assert result.cost.search_epochs >= trials
    assert result.cost.ratio == result.cost.search_epochs / 4


def test_equal_seeds_give_equal_results_and_the_callers_randomness_stays(make_task: MakeTask) -> None:
    task = noisy(make_task, dropout=0.2)
    torch.manual_seed(5)
    before = torch.random.get_rng_state(), str(np.random.get_state()), random.getstate()  # noqa: NPY002
    first = contents(search(task, seed=1, settings=QUICK))
    after = torch.random.get_rng_state(), str(np.random.get_state()), random.getstate()  # noqa: NPY002
    assert torch.equal(before[0], after[0])
    assert before[1:] == after[1:]
    torch.manual_seed(6)
    assert contents(search(task, seed=1, settings=QUICK)) == first
    assert contents(search(task, seed=2, settings=QUICK)) != first


class Killed(BaseException):
    """What a kill looks like from inside: no handler of ordinary errors sees it."""


@pytest.mark.parametrize("settings", [SMALLEST, PAPER], ids=["standard", "paper"])
@pytest.mark.parametrize("late", [False, True], ids=["before", "after"])
def test_a_search_killed_at_every_stage_ends_as_if_it_had_not_been(
    make_task: MakeTask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: SearchSettings, late: bool
) -> None:
    task = noisy(make_task)
    whole = search(task, seed=0, settings=settings, out=tmp_path / "whole")
    in_memory = search(task, seed=0, settings=settings)
    assert contents(in_memory) == contents(whole)
    real_stored, real_keep = RunFolder.stored, RunFolder.keep
    stages: list[str] = []

    def once_a_life(name: str) -> None:
        if name not in stages:
            stages.append(name)
            raise Killed

    def stored(self: RunFolder, name: str) -> Any:
        found = real_stored(self, name)
        if found is None and not late:
            once_a_life(name)
        return found

    def keep(self: RunFolder, name: str, stage: Any) -> Any:
        if late:  # all the work is done, nothing of it is written
            once_a_life(name)
        return real_keep(self, name, stage)

    lives = 0
    with monkeypatch.context() as patch:
        patch.setattr(RunFolder, "stored", stored)
        patch.setattr(RunFolder, "keep", keep)
        while True:
            lives += 1
            try:
                resumed = search(task, seed=0, settings=settings, out=tmp_path / "killed")
            except Killed:
                continue
            break
    assert lives == len(stages) + 1 >= settings.num_trials + 4
    assert contents(resumed) == contents(whole)
    assert files(tmp_path / "killed") == files(tmp_path / "whole")
    # and once more, when everything is there
    assert contents(search(task, seed=0, settings=settings, out=tmp_path / "killed")) == contents(whole)


@pytest.mark.parametrize("after", [1, 3, 6, 7, 13, 19])
def test_a_search_killed_inside_a_training_ends_as_if_it_had_not_been(
    make_task: MakeTask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    class Bomb:
        """Hear of progress, and kill at the n-th advance."""

        def __init__(self, left: int) -> None:
            self.left = left

        def begin(self, planned: float, unit: str = "epochs") -> None: ...

        def stage(self, name: str) -> None: ...

        def advance(self, amount: float) -> None:
            self.left -= 1
            if self.left == 0:
                raise Killed

        def end(self) -> None: ...

    real = CheckpointFile.__init__
    monkeypatch.setattr(
        CheckpointFile, "__init__", lambda self, path, interval=0.0: real(self, path, interval=0.0)
    )
    task = noisy(make_task, dropout=0.3)
    whole = search(task, seed=0, settings=QUICK)
    with pytest.raises(Killed):
        search(task, seed=0, settings=QUICK, out=tmp_path, progress=Bomb(after))
    assert contents(search(task, seed=0, settings=QUICK, out=tmp_path)) == contents(whole)


def test_a_folder_of_another_job_is_refused_and_left_alone(make_task: MakeTask, tmp_path: Path) -> None:
    task = noisy(make_task)
    search(task, seed=0, settings=QUICK, out=tmp_path)
    before = files(tmp_path)
    others = [
        (noisy(make_task, seed=1), 0, QUICK, "data"),
        (task, 1, QUICK, "seed"),
        (task, 0, replace(QUICK, form="a"), "form"),
        (replace(task, name="other"), 0, QUICK, "name"),
        (noisy(make_task, recipe={"lr": 0.2}), 0, QUICK, "lr"),
        (replace(task, model=lambda: torch.nn.Linear(8, 4)), 0, QUICK, "network"),
        (replace(task, loss=lambda logits, labels: cross_entropy(logits, labels)), 0, QUICK, "loss"),
        (replace(task, clean_train_labels=task.train.labels), 0, QUICK, "clean labels"),
    ]
    for other, seed, settings, word in others:
        with pytest.raises(RunFolderError, match=word) as caught:
            search(other, seed=seed, settings=settings, out=tmp_path)
        assert "another job" in str(caught.value)
        assert "\n" not in str(caught.value)
    assert files(tmp_path) == before


def test_two_searches_cannot_share_a_folder(make_task: MakeTask, tmp_path: Path) -> None:
    with RunFolder(tmp_path, {"job": "search"}), pytest.raises(RunFolderError, match="another process"):
        search(noisy(make_task), settings=QUICK, out=tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(RunFolderError, match="cannot be written"):
        search(noisy(make_task), settings=QUICK, out=tmp_path / "file")


def test_a_finished_folder_can_be_read_back(make_task: MakeTask, tmp_path: Path) -> None:
    result = search(noisy(make_task), settings=QUICK, out=tmp_path)
    stored = load_result(tmp_path)
    assert stored.recommendation == result.recommendation
    assert stored.policy.to_dict() == result.policy.to_dict()
    assert torch.equal(stored.weights, result.weights)
    assert stored.model.keys() == result.model.state_dict().keys()
    assert stored.summary["per_seed"][0]["arms"] == result.to_dict()["arms"]


@pytest.mark.parametrize("settings", [SMALL, QUICK], ids=["standard", "quick"])
def test_the_class_prior_appears_with_unequal_classes_only(
    make_task: MakeTask, settings: SearchSettings
) -> None:
    equal = search(make_task(), settings=settings)
    assert not equal.policy.form.has_prior
    assert not any("prior" in note for note in equal.notes)
    assert len(equal.trials) == settings.num_trials
    task = make_task(sizes=(400, 100, 60), counts=(100, 60, 30, 12), metric="balanced-accuracy")
    tail = search(task, settings=settings)
    assert tail.policy.form.has_prior
    assert tail.policy.form.num_parameters == 10
    assert any("class prior" in note for note in tail.notes)
    assert [trial.kind for trial in tail.trials].count("class-prior") == 3
    assert tail.candidate.class_counts == (100, 60, 30, 12)
    # the same unequal classes in validation, and plain accuracy: nothing to correct
    same = make_task(sizes=(400, 100, 60), counts=(100, 60, 30, 12))
    assert not search(replace(same, validation=same.train), settings=settings).policy.form.has_prior


@pytest.mark.parametrize("preset", list(PRESETS))
def test_two_classes_are_searched_with_the_loss_alone(make_task: MakeTask, preset: str) -> None:
    task = make_task(num_classes=2, noise=0.2, sizes=(160, 100, 60))
    result = search(task, preset=preset, trials=3, engine="random")
    assert result.policy.form.name == "a"
    assert len(result.trials) == 3


def test_a_form_that_two_classes_lack_is_refused_before_anything_is_trained(
    make_task: MakeTask, tmp_path: Path
) -> None:
    def never() -> torch.nn.Module:
        raise AssertionError

    task = replace(make_task(num_classes=2), model=never)
    for form in ("d", "b", "e"):
        with pytest.raises(InputError, match="use form a"):
            search(task, form=form, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("preset", list(PRESETS))
def test_a_number_of_trials_is_kept_by_the_search_itself(make_task: MakeTask, preset: str) -> None:
    task = make_task(sizes=(160, 100, 40), recipe={"epochs": 2})
    result = search(task, preset=preset, trials=13, engine="random")
    assert len(result.trials) == 13
    assert result.trials[0].kind == "uniform"


@pytest.mark.parametrize("epochs", [4, 16])
@pytest.mark.parametrize("opens", [False, True])
def test_the_paper_preset_costs_at_most_three_trainings(
    make_task: MakeTask, monkeypatch: pytest.MonkeyPatch, epochs: int, opens: bool
) -> None:
    monkeypatch.setattr("localmin.sampling.warm_start._told_apart", lambda context, pilots: opens)
    task = noisy(make_task, recipe={"epochs": epochs})
    result = search(task, preset="paper", engine="random", guard="none")
    assert result.cost.ratio <= 3
    assert len(result.trials) == 10
    assert any("mostly noise" in note for note in result.notes) == (not opens)
    assert len({trial.epochs for trial in result.trials}) == 1


def test_a_limit_on_the_cost_holds_with_several_rounds(make_task: MakeTask) -> None:
    task = noisy(make_task, recipe={"epochs": 8})
    for limit, rounds in ((1.0, 1), (3.0, 1), (6.0, 2), (20.0, 2)):
        result = search(task, settings=replace(SMALL, max_cost=limit, steps=4))
        assert result.cost.ratio <= max(limit, 1.5)
        assert max(trial.round for trial in result.trials) == rounds
        assert result.trials[0].kind == "uniform"
        assert len(result.trials) >= 2
        assert any("left out" in note for note in result.notes) == (rounds == 1)
    assert len(result.trials) == replace(SMALL, steps=4).num_trials


def test_the_safe_rule_lets_uniform_win_when_a_trial_shows_no_gain(make_task: MakeTask) -> None:
    # Labels without any relation to the inputs: nothing can be gained.
    task = make_task(spread=30.0)
    result = search(task, settings=QUICK)
    assert result.recommendation == "uniform"
    assert result.guard.kind == "safe-rule"
    assert bool((result.weights == 1).all())
    assert result.arms["searched"].test == result.arms["uniform"].test
    assert result.policy.parameters == dict(
        zip(result.policy.form.parameter_names, result.policy.z, strict=True)
    )
    assert torch.equal(result.policy.parameter_vector, result.policy.form.uniform())


def test_trials_that_fail_leave_a_result_that_json_can_hold(
    make_task: MakeTask, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = run_trial
    calls = 0

    def flaky(*arguments: Any, **options: Any) -> Any:
        nonlocal calls
        calls += 1
        outcome = real(*arguments, **options)
        return outcome if calls % 2 else replace(outcome, status="diverged")

    monkeypatch.setattr("localmin.sampling.execution.in_process.run_trial", flaky)
    result = search(noisy(make_task), settings=SMALL)
    failed = [trial.number for trial in result.trials if trial.status == "diverged"]
    assert len(failed) == 4
    summary = json.loads(json.dumps(summarize([result], command="x"), allow_nan=False))
    means = [trial["posterior_mean"] for trial in summary["per_seed"][0]["trials"]]
    assert [number for number, mean in enumerate(means) if mean is None] == failed


def test_when_every_trial_fails_uniform_is_recommended(
    make_task: MakeTask, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = run_trial
    monkeypatch.setattr(
        "localmin.sampling.execution.in_process.run_trial",
        lambda *a, **k: replace(real(*a, **k), status="diverged"),
    )
    for settings in (SMALL, QUICK):
        result = search(noisy(make_task), settings=settings)
        assert result.recommendation == "uniform"
        assert torch.equal(result.candidate.parameter_vector, result.candidate.form.uniform())
        json.dumps(result.to_dict(), allow_nan=False)


def test_a_training_that_diverges_is_one_clear_error(make_task: MakeTask, tmp_path: Path) -> None:
    task = noisy(make_task, recipe={"lr": 1e30})
    for out in (None, tmp_path):
        with pytest.raises(DataError, match=r"uniform training diverged in epoch 1 of \d+; lower"):
            search(task, settings=SMALL, out=out)
    assert not (tmp_path / "result.json").exists()


def test_a_refresh_that_diverges_ends_the_rounds(
    make_task: MakeTask, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = run_features

    def flaky(*arguments: Any, **options: Any) -> Any:
        if options["weights"] is not None:
            raise DataError("the training for the features diverged")
        return real(*arguments, **options)

    monkeypatch.setattr("localmin.sampling.rounds.run_features", flaky)
    result = search(noisy(make_task), settings=SMALL)
    assert {trial.round for trial in result.trials} == {1}
    assert any("round 2 was left out" in note for note in result.notes)


def test_complete_settings_and_changes_exclude_each_other(make_task: MakeTask) -> None:
    with pytest.raises(InputError, match="trials, form"):
        search(make_task(), settings=QUICK, trials=4, form="a")
    with pytest.raises(InputError, match="unknown setting colour"):
        search(make_task(), colour="red")
    with pytest.raises(InputError, match="unknown preset"):
        search(make_task(), preset="slow")


@pytest.mark.parametrize(
    "changes",
    [
        {"form": "e", "transform": "cgf"},
        {"form": "a", "engine": "optuna-gp"},
        {"form": "b", "feature_source": "checkpoint", "engine": "tpe"},
        {"feature_source": "step-mean"},
        {"proxy": "warm-start"},
        {"guard": "four-fifths", "fold_share": 0.75},
    ],
    ids=str,
)
def test_every_setting_is_heard(make_task: MakeTask, changes: dict[str, Any]) -> None:
    task = noisy(make_task)
    plain = search(task, settings=SMALL)
    result = search(task, settings=replace(SMALL, **changes))
    assert [t.score for t in result.trials] != [t.score for t in plain.trials]
    assert result.policy.form.name == changes.get("form", "e" if "proxy" in changes else "d")
    assert result.policy.kind == changes.get("transform", "cdf")
    if "feature_source" in changes:
        # the second round draws by weight, where steps do not show every example
        expected = {"checkpoint": "one pass", "step-mean": "mean over the ends of epochs"}
        assert expected[changes["feature_source"]] in result.features.source
    if "guard" in changes:
        assert result.guard.kind == "four-fifths"


def test_odd_numbers_of_examples_are_no_trouble(make_task: MakeTask) -> None:
    for count in (161, 163):
        assert len(search(make_task(sizes=(count, 40, 40)), settings=SMALL).trials) == SMALL.num_trials


def test_progress_adds_up_to_what_was_planned(make_task: MakeTask) -> None:
    class Meter:
        def __init__(self) -> None:
            self.planned, self.done, self.ended = 0.0, 0.0, 0
            self.stages: list[str] = []

        def begin(self, planned: float, unit: str = "epochs") -> None:
            self.planned = planned

        def stage(self, name: str) -> None:
            self.stages.append(name)

        def advance(self, amount: float) -> None:
            self.done += amount

        def end(self) -> None:
            self.ended += 1

    for settings in (SMALL, QUICK):
        meter = Meter()
        search(noisy(make_task), settings=settings, progress=meter)
        # no more than planned; less by the arm that a refusal saves
        assert meter.planned - 4.01 <= meter.done <= meter.planned + 1e-9
        assert meter.ended == 1
        assert meter.stages[0] == "training the uniform arm"


@pytest.mark.slow
def test_standard_and_quick_close_the_gap_on_noisy_digits() -> None:
    from localmin.tasks import digits

    for preset, least in (("standard", 0.5), ("quick", 0.4)):
        gaps = [search(digits(noise=0.4, seed=seed), seed=seed, preset=preset).gap_closed for seed in (0, 1)]
        assert min(gap for gap in gaps if gap is not None) >= least
    assert preset_settings("standard").num_trials == 20
