from __future__ import annotations

import csv
import io
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from sklearn.metrics import roc_auc_score

from localmin.sampling.drop_report import make_drop_report
from localmin.sampling.feature_table import FeatureTable
from localmin.tasks import Task

MakeTask = Callable[..., Task]
MakeTable = Callable[..., FeatureTable]


def test_suspects_are_those_below_the_threshold_highest_loss_first(
    make_task: MakeTask, make_table: MakeTable
) -> None:
    task, table = make_task(class_names=("a", "b", "c", "d")), make_table(160)
    weights = torch.full((160,), 7.0).double()
    weights[:30] = 0.0
    weights[30] = 7.0 * 0.04  # below 0.05 of an epoch, as the rest is about 1.2
    report = make_drop_report(task, table, weights)
    assert report.num_dropped == len(report.examples) == 31
    assert {example.index for example in report.examples} == set(range(31))
    losses = [example.loss for example in report.examples]
    assert losses == sorted(losses, reverse=True)
    first = report.examples[0]
    assert first.label == "abcd"[int(task.train.labels[first.index])]
    assert first.prediction == "a"
    assert first.identifier == task.train.identifier(first.index)
    assert first.clean_label is None
    expected = 160 * 0.04 / (129 + 0.04)
    found = next(e.relative_probability for e in report.examples if e.index == 30)
    assert found == pytest.approx(expected)
    assert (report.feature_auc, report.num_dropped_wrong) == (None, None)
    assert make_drop_report(task, table, torch.ones(160).double()).num_dropped == 0


def test_with_known_labels_it_counts_and_ranks_the_wrong_ones(
    make_task: MakeTask, make_table: MakeTable
) -> None:
    task, table = make_task(noise=0.25), make_table(160, tied=True)
    assert task.clean_train_labels is not None
    wrong = task.clean_train_labels != task.train.labels
    weights = torch.where(wrong, 0.1, 1.0).double()
    weights[torch.nonzero(wrong).flatten()[:10]] = 0.0
    weights[torch.nonzero(~wrong).flatten()[:3]] = 0.0
    report = make_drop_report(task, table, weights)
    assert (report.num_dropped, report.num_dropped_wrong) == (13, 10)
    total = 30 * 0.1 + 117
    assert report.mean_probability_wrong == pytest.approx(160 * 30 * 0.1 / total / 40)
    assert report.mean_probability_right == pytest.approx(160 * 117 / total / 120)
    assert report.feature_auc == pytest.approx(roc_auc_score(wrong.numpy(), table.column("loss").numpy()))
    clean = {example.index: example.clean_label for example in report.examples}
    assert all(clean[i] == str(int(task.clean_train_labels[i])) for i in clean)


def test_the_csv_lists_all_and_json_the_first(make_task: MakeTask, make_table: MakeTable) -> None:
    task = make_task(sizes=(400, 60, 60))
    names = tuple(f'x, "{i}"' for i in range(400))
    task = replace(task, train=replace(task.train, identifiers=names, rows=None))
    weights = torch.zeros(400).double()
    weights[:100] = 1
    report = make_drop_report(task, make_table(400), weights)
    rows = list(csv.DictReader(io.StringIO(report.to_csv())))
    assert len(rows) == 300
    assert rows[0]["id"] == names[report.examples[0].index]
    assert float(rows[0]["loss"]) == report.examples[0].loss
    stored = report.to_dict()
    assert len(stored["examples"]) == 200
    assert stored["share_dropped"] == 0.75
