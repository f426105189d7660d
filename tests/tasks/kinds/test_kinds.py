"""The contract of a kind, over every registered one, and what is special about each."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from sklearn.metrics import mean_absolute_error, r2_score

from localmin.errors import DataError, InputError
from localmin.tasks import Examples, Task, build_task
from localmin.tasks.builtin import open_diabetes
from localmin.tasks.kinds import KINDS, Classification, LanguageModel, Regression, TaskKind
from localmin.tasks.noisy_task import add_noise

LENGTH, VOCABULARY = 6, 5


def examples_of(kind: TaskKind, count: int = 60) -> tuple[Examples, int]:
    generator = torch.Generator().manual_seed(1)
    if kind.name == "language-model":
        text = torch.randint(0, VOCABULARY, (count, LENGTH + 1), generator=generator)
        return Examples(text[:, :-1].to(torch.int16), text[:, 1:]), VOCABULARY
    inputs = torch.randn(count, 3, generator=generator)
    if kind.name == "regression":
        return Examples(inputs, 50 + 7 * torch.randn(count, generator=generator).double()), 1
    return Examples(inputs, torch.arange(count) % 4), 4


def outputs_of(kind: TaskKind, examples: Examples, num_classes: int) -> torch.Tensor:
    shape = kind.output_shape(tuple(examples.inputs.shape[1:]), num_classes)
    return torch.randn(len(examples), *shape, generator=torch.Generator().manual_seed(2))


EVERY = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS.keys())


@EVERY
def test_losses_predictions_credits_and_groups_are_one_an_example(kind: TaskKind) -> None:
    examples, num_classes = examples_of(kind)
    kind = kind.fitted(examples)
    outputs = outputs_of(kind, examples, num_classes)
    loss = kind.loss(outputs, examples.labels)
    predictions = kind.predict(outputs, examples.labels)
    credit = kind.credit(predictions, examples.labels)
    assert loss.shape == predictions.shape == credit.shape == kind.groups(examples.labels).shape == (60,)
    assert credit.dtype == torch.float64
    assert bool((loss >= 0).all())
    assert bool((credit <= 1).all())
    assert int(kind.groups(examples.labels).max()) < kind.num_groups(num_classes)
    for metric in kind.metrics:
        assert math.isfinite(kind.score(predictions, examples.labels, metric, num_classes=num_classes))
    names = tuple("abcdefgh"[:num_classes])
    assert kind.show_label(examples.labels[0], names)
    assert kind.show_prediction(predictions[0], names)


@EVERY
def test_features_see_k_classifications_an_example_or_none(kind: TaskKind) -> None:
    examples, num_classes = examples_of(kind)
    rows = kind.as_classification(outputs_of(kind, examples, num_classes), examples.labels)
    if rows is None:
        assert num_classes == 1
        return
    logits, labels = rows
    assert logits.shape == (len(labels), num_classes)
    assert len(labels) % len(examples) == 0


@EVERY
@pytest.mark.parametrize("rate", [0.0, 0.3, 1.0])
def test_noise_changes_exactly_the_share_and_only_where_it_says(kind: TaskKind, rate: float) -> None:
    examples, num_classes = examples_of(kind)
    for noise in kind.noise_kinds:
        wrong = kind.corrupt(examples, rate, noise, num_classes=num_classes, seed=3)
        again = kind.corrupt(examples, rate, noise, num_classes=num_classes, seed=3)
        other = kind.corrupt(examples, rate, noise, num_classes=num_classes, seed=4)
        assert torch.equal(wrong.labels, again.labels)
        changed = kind.differs(wrong.labels, examples.labels)
        assert int(changed.sum()) == round(rate * 60), noise
        if rate == 0.3:
            assert not torch.equal(wrong.labels, other.labels)
        kept = ~changed
        assert torch.equal(wrong.inputs[kept], examples.inputs[kept])


@EVERY
def test_labels_of_another_kind_are_refused_in_one_line(kind: TaskKind) -> None:
    for other in KINDS.values():
        examples, num_classes = examples_of(other)
        if other.name == kind.name:
            kind.check_examples(examples, num_classes, where="a part")
            continue
        with pytest.raises(DataError) as error:
            kind.check_examples(examples, num_classes, where="a part")
        assert "\n" not in str(error.value)


def test_a_task_measures_its_kind_on_the_labels_as_given() -> None:
    task = build_task(open_diabetes(), seed=0)
    assert isinstance(task.kind, Regression)
    clean = task.train.labels.median()
    assert task.kind.centre == float(clean)
    noisy = add_noise(task, 0.3, seed=0)
    assert isinstance(noisy.kind, Regression)
    assert noisy.kind.centre == float(noisy.train.labels.median())
    # A third of outliers moves the scale by less than a half.
    assert 1 <= noisy.kind.scale / task.kind.scale < 1.8


def test_metrics_of_a_kind() -> None:
    task = build_task(open_diabetes(), seed=0)
    assert task.metric == "r2"
    assert replace(task, metric="mae").metric == "mae"
    with pytest.raises(InputError, match="choose one of r2, mae"):
        replace(task, metric="perplexity")
    with pytest.raises(InputError, match="for it; choose one of r2, mae"):
        build_task(open_diabetes(), metric="accuracy")
    with pytest.raises(InputError, match="no classes that --imbalance"):
        build_task(open_diabetes(), imbalance=10)
    with pytest.raises(InputError, match="unknown noise kind 'pair'; choose one of outliers, shuffle"):
        build_task(open_diabetes(), noise=0.1, noise_kind="pair")


def test_regression_scores_are_those_of_scikit_learn() -> None:
    kind = Regression(centre=3.0, scale=2.0)
    generator = torch.Generator().manual_seed(0)
    outputs = torch.randn(50, 1, generator=generator)
    labels = 3 + 2 * torch.randn(50, generator=generator).double()
    predictions = kind.predict(outputs, labels)
    assert kind.score(predictions, labels, "r2", num_classes=1) == pytest.approx(
        r2_score(labels.numpy(), predictions.numpy())
    )
    expected = mean_absolute_error(labels.numpy(), predictions.numpy())
    assert kind.score(predictions, labels, "mae", num_classes=1) == pytest.approx(expected)
    by_hand = ((predictions - labels) / 2).square()
    torch.testing.assert_close(kind.loss(outputs, labels).double(), by_hand, rtol=1e-5, atol=1e-6)


def test_one_held_out_outlier_cannot_decide_between_two_networks() -> None:
    kind = Regression(centre=0.0, scale=1.0)
    labels = torch.tensor([0.0, 0.0, 1000.0])
    better, worse = torch.tensor([0.1, 0.1, 0.0]), torch.tensor([0.5, 0.5, 0.4])
    assert float(kind.credit(better, labels).mean()) > float(kind.credit(worse, labels).mean())
    # The squared error would choose the other one.
    assert float((better - labels).square().mean()) > float((worse - labels).square().mean())


def test_garbage_that_was_held_out_does_not_reward_training_on_garbage() -> None:
    kind = LanguageModel(unigram_entropy=3.0)
    # Sequences: two of language, one of garbage. The second network has learned a little garbage.
    clean, mixed = torch.tensor([1.5, 1.5, 9.0]), torch.tensor([1.7, 1.7, 3.4])
    labels = torch.zeros(3, LENGTH, dtype=torch.int64)
    assert float(kind.credit(clean, labels).mean()) > float(kind.credit(mixed, labels).mean())
    assert float(clean.mean()) > float(mixed.mean())


def test_shuffled_sequences_keep_their_tokens_and_inputs_fit_labels() -> None:
    kind = KINDS["language-model"]
    examples, _ = examples_of(kind)
    wrong = kind.corrupt(examples, 0.5, "shuffle", num_classes=VOCABULARY, seed=0)
    assert torch.equal(wrong.inputs[:, 1:].long(), wrong.labels[:, :-1])
    before = torch.cat([examples.inputs[:, :1].long(), examples.labels], 1).sort(1).values
    after = torch.cat([wrong.inputs[:, :1].long(), wrong.labels], 1).sort(1).values
    assert torch.equal(before, after)


def test_the_unigram_entropy_is_measured() -> None:
    labels = torch.tensor([[0, 0, 0, 1]] * 4)
    fitted = LanguageModel().fitted(Examples(labels, labels))
    assert fitted.unigram_entropy == pytest.approx(-(0.75 * math.log(0.75) + 0.25 * math.log(0.25)))


def test_targets_that_are_all_equal_and_targets_mostly_equal() -> None:
    inputs = torch.randn(5, 2)
    with pytest.raises(DataError, match="all targets"):
        Regression().check_training_part(Examples(inputs, torch.ones(5)), 1, where="x")
    mostly = Regression().fitted(Examples(inputs, torch.tensor([1.0, 1.0, 1.0, 1.0, 6.0])))
    assert mostly.scale == pytest.approx(2.0)


def make_task(**changes: Any) -> Task:
    x = torch.randn(40, 3)
    settings: dict[str, Any] = {
        "name": "own",
        "train": Examples(x, x[:, 0]),
        "validation": Examples(x, x[:, 0]),
        "test": Examples(x, x[:, 0]),
        "model": lambda: torch.nn.Linear(3, 1),
        "num_classes": 1,
        "kind": Regression(),
    }
    return Task(**(settings | changes))


def test_a_task_of_ones_own_may_have_any_kind_and_its_own_loss() -> None:
    task = make_task()
    outputs, labels = torch.tensor([[1.0], [2.0]]), torch.tensor([0.0, 0.0])
    assert torch.equal(task.example_loss(outputs, labels), task.kind.loss(outputs, labels))
    own = make_task(loss=lambda outputs, labels: outputs[:, 0].abs())
    assert own.example_loss(outputs, labels).tolist() == [1.0, 2.0]
    assert not task.has_plain_cross_entropy
    assert task.to_dict()["kind"]["name"] == "regression"
    assert Classification().to_dict() == {"name": "classification"}
