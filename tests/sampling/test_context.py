from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from localmin.errors import DataError, InputError
from localmin.sampling.context import SearchContext, check_task, shares_weights, wanted_class_mix
from localmin.sampling.settings import PRESETS, SearchSettings
from localmin.tasks import Task
from localmin.tasks.request import TaskRequest

MakeTask = Callable[..., Task]
MakeContext = Callable[..., SearchContext]


def test_streams_of_one_search_are_all_different(make_task: MakeTask, make_context: MakeContext) -> None:
    contexts = [make_context(make_task(), seed=seed) for seed in (0, 1)]
    purposes = [(0, 1), (0, 3), (0, 5), (0, 6), (8, 1), (9, 1), (9, 2)]
    purposes += [(number, purpose) for number in range(1, 8) for purpose in (2, 4)]
    streams = [context.stream(*parts) for context in contexts for parts in purposes]
    assert len(set(streams)) == len(streams) == 2 * len(purposes)


def test_shares_become_epochs_and_samplers_need_a_batch(
    make_task: MakeTask, make_context: MakeContext
) -> None:
    context = make_context(make_task(recipe={"epochs": 10}))
    assert [context.epochs(share) for share in (0.01, 0.25, 0.5, 1.0)] == [1, 2, 5, 10]
    assert context.min_effective == 16
    assert make_context(make_task(sizes=(1_000, 60, 60))).min_effective == pytest.approx(64)


def test_tasks_on_which_no_search_can_work_are_refused(make_task: MakeTask) -> None:
    check_task(make_task(), SearchSettings())
    with pytest.raises(DataError, match="validation set has 19 examples, too few"):
        check_task(make_task(sizes=(160, 19, 20)), SearchSettings())
    with pytest.raises(DataError, match="needs at least 100"):
        check_task(make_task(), PRESETS["paper"])
    check_task(make_task(sizes=(160, 100, 20)), PRESETS["paper"])
    with pytest.raises(InputError, match="batch size 81 is more than half of the 160"):
        check_task(make_task(recipe={"batch_size": 81}), SearchSettings())


def test_two_classes_take_form_a_and_refuse_another_that_was_asked_for(make_task: MakeTask) -> None:
    task = make_task(num_classes=2)
    for settings in PRESETS.values():
        check_task(make_task(num_classes=2, sizes=(160, 100, 20)), settings)
    for form in ("b", "d", "e"):
        with pytest.raises(InputError, match="two classes; use form a"):
            check_task(task, SearchSettings(form=form))


def test_the_class_mix_is_asked_for_where_the_parts_differ(make_task: MakeTask) -> None:
    assert wanted_class_mix(make_task()) is None
    # a long tail in training alone: the validation set shows what is wanted
    mix = wanted_class_mix(make_task(sizes=(400, 200, 40), counts=(100, 50, 20, 5)))
    assert mix is not None
    torch.testing.assert_close(mix, torch.full((4,), 0.25, dtype=torch.float64))
    # the same unequal mix in both is right as it is
    task = make_task(counts=(40, 20, 10, 4))
    same = replace(task, validation=task.train)
    assert wanted_class_mix(same) is None
    balanced = wanted_class_mix(replace(same, metric="balanced-accuracy"))
    assert balanced is not None
    assert balanced.tolist() == [0.25] * 4


def test_convolutions_are_found_wherever_they_are(make_task: MakeTask) -> None:
    task = make_task()
    assert not shares_weights(task)
    nested = nn.Sequential(nn.Identity(), nn.Sequential(nn.Unflatten(1, (1, 8)), nn.Conv1d(1, 4, 8)))
    assert shares_weights(replace(task, model=lambda: nested))


def test_language_models_share_weights_over_the_sequence(tmp_path: Path) -> None:
    text = tmp_path / "text.txt"
    text.write_text("To be, or not to be, that is the question. " * 400)
    assert shares_weights(TaskRequest(str(text)).open()(0))
