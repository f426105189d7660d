from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from localmin.errors import InputError
from localmin.reports.explanation_text import explanation_lines
from localmin.sampling import SearchSettings, explain, load_result, search
from localmin.sampling.forms import FormName
from localmin.tasks import Task

MakeTask = Callable[..., Task]
SETTINGS = SearchSettings(cuts=(1.2, 0.6), steps=0, rounds=1, top=1, guard="none")


@pytest.mark.parametrize("form", ["a", "b", "d", "e"])
def test_factor_and_prior_give_the_draws_and_nodes_give_the_factor(
    make_task: MakeTask, tmp_path: Path, form: FormName
) -> None:
    task = make_task(noise=0.3)
    search(task, seed=1, settings=replace(SETTINGS, form=form), out=tmp_path)
    every = [explain(tmp_path, index) for index in range(0, 160, 13)]
    # draws = factor * prior * scale, with one scale for all.
    scales = {round(e.draws / (e.factor * e.prior), 6) for e in every if e.factor > 1e-6}
    assert len(scales) == 1
    for found in every:
        if form == "e":
            assert found.nodes == {}
            continue
        product = 1.0
        for _, low, _, high, share in found.nodes.values():
            assert 0 <= share <= 1
            product *= (1 - share) * low + share * high
        assert product == pytest.approx(found.factor, abs=1e-9)


def test_features_neighbours_and_text(make_task: MakeTask, tmp_path: Path) -> None:
    task = make_task(noise=0.3, class_names=("a", "b", "c", "d"))
    result = search(task, seed=1, settings=SETTINGS, out=tmp_path)
    found = explain(tmp_path, 17)
    assert found.label == "abcd"[int(task.train.labels[17])]
    assert list(found.features.values()) == result.features.values[17].tolist()
    loss = result.features.column("loss")
    assert found.ranks["loss"] == pytest.approx(float((loss < loss[17]).double().mean()))
    assert 17 not in [one.index for one in found.neighbours]
    distances = [one.distance for one in found.neighbours]
    assert distances == sorted(distances)
    assert found.surely_bad == bool(load_result(tmp_path).arrays["surely_bad"][17])
    text = "\n".join(explanation_lines(found))
    assert f"example 17: given {found.label!r}" in text
    assert "nearest examples" in text
    assert found.to_dict()["draws"] == found.draws


def test_an_index_that_does_not_exist(make_task: MakeTask, tmp_path: Path) -> None:
    search(make_task(), seed=0, settings=SETTINGS, out=tmp_path)
    for index in (-1, 160):
        with pytest.raises(InputError, match="0 to 159"):
            explain(tmp_path, index)
    assert torch.equal(load_result(tmp_path).arrays["labels"], make_task().train.labels)
