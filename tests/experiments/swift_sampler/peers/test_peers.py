"""Peers of the search: closed forms, and what each must do to be the method it is named for."""

import math

import pytest
import torch
from scipy.special import lambertw

from localmin.errors import InputError, MissingDependencyError
from localmin.experiments.swift_sampler import peers
from localmin.experiments.swift_sampler.peers.super_loss import lambert_w
from localmin.sampling import search
from localmin.tasks import digits
from localmin.tasks.examples import Examples


def test_lambert_w_is_scipys() -> None:
    x = torch.cat([torch.linspace(-1 / math.e + 1e-6, 1, 200), torch.logspace(0, 4, 50)]).double()
    expected = torch.from_numpy(lambertw(x.numpy()).real)
    torch.testing.assert_close(lambert_w(x), expected, rtol=1e-8, atol=1e-8)


def test_super_loss_is_the_minimum_over_its_weight() -> None:
    logits = torch.randn(5, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    labels = torch.tensor([0, 1, 2, 3, 0])
    strength = 0.7
    loss = peers.SuperLoss(4, strength)(logits, labels)
    excess = torch.nn.functional.cross_entropy(logits, labels, reduction="none") - math.log(4)
    s = torch.logspace(-6, 1, 200_001, base=math.e).double()
    s = s[s <= math.e + 1e-9]  # the weight is clamped at e
    grid = (excess[:, None] * s + strength * s.log() ** 2).min(1).values
    torch.testing.assert_close(loss, grid, rtol=0, atol=1e-7)


def test_super_loss_weighs_hard_examples_less() -> None:
    logits = torch.tensor([[6.0, 0.0], [-6.0, 0.0]], requires_grad=True)
    loss = peers.SuperLoss(2, 0.25)(logits, torch.tensor([0, 0])).sum()
    (gradient,) = torch.autograd.grad(loss, logits)
    plain = torch.tensor([[6.0, 0.0], [-6.0, 0.0]]).softmax(1)[:, 0] - 1
    weight = gradient[:, 0] / plain
    assert float(weight[0]) == pytest.approx(math.e, rel=1e-5)
    assert float(weight[1]) < 0.2


def test_mixture_keeps_the_lower_part() -> None:
    loss = torch.cat([torch.full((30,), 0.1), torch.full((10,), 4.0)]) + 0.01 * torch.arange(40)
    assert peers.mixture_weights(loss, seed=0).tolist() == [1.0] * 30 + [0.0] * 10


def test_cross_validation_covers_everything_at_its_price() -> None:
    task = digits(noise=0.2, seed=0, epochs=2)
    probabilities, cost = peers.cross_validated_probabilities(task, folds=4, seed=0)
    torch.testing.assert_close(probabilities.sum(1), torch.ones(1000).double())
    assert cost == pytest.approx(3.0)


def test_confident_learning_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "localmin.experiments.swift_sampler.peers.confident_learning.import_module",
        lambda name: (_ for _ in ()).throw(ImportError(name)),
    )
    with pytest.raises(MissingDependencyError, match="pip install cleanlab"):
        peers.confident_learning_weights(torch.tensor([0, 1]), torch.eye(2).double())


def test_co_teaching_beats_uniform_when_told_the_rate() -> None:
    task = digits(noise=0.4, seed=1, epochs=30)
    taught = peers.train_co_teaching(task, noise_rate=0.4, seed=1)
    plain = peers.train_arm(task, seed=1)
    assert taught.cost == 2
    assert taught.num_steps == plain.num_steps
    assert taught.test > plain.test + 0.02


def test_the_uniform_arm_is_that_of_a_search() -> None:
    task = digits(noise=0.4, seed=0, epochs=2)
    result = search(task, preset="quick", seed=5)
    assert peers.train_arm(task, seed=5).test == result.arms["uniform"].test


def test_resampling_counts_balance_the_classes() -> None:
    pytest.importorskip("imblearn", reason="imbalanced-learn is not installed (extra peers)")
    labels = torch.tensor([0] * 12 + [1] * 3 + [2] * 5)
    for method, size in (("over", 12), ("under", 3)):
        weights = peers.resampling_weights(labels, method, seed=3)  # type: ignore[arg-type]
        assert [int(weights[labels == c].sum()) for c in range(3)] == [size] * 3
        assert torch.equal(weights, weights.round())


def test_smote_adds_points_between_neighbours_of_a_class() -> None:
    pytest.importorskip("imblearn", reason="imbalanced-learn is not installed (extra peers)")
    train = digits(imbalance=20, seed=0).train
    more = peers.smote_examples(train, seed=0)
    assert len(set(torch.bincount(more.labels).tolist())) == 1
    torch.testing.assert_close(more.inputs[: len(train)], train.inputs)
    for made, label in zip(more.inputs[len(train) :: 97], more.labels[len(train) :: 97], strict=True):
        known = train.inputs[train.labels == label]
        assert bool((made <= known.amax(0)).all())
        assert bool((made >= known.amin(0)).all())


def test_smote_refuses_a_class_of_one_example() -> None:
    examples = Examples(torch.zeros(4, 2), torch.tensor([0, 0, 0, 1]))
    with pytest.raises(InputError, match="two examples of every class"):
        peers.smote_examples(examples, seed=0)


def test_resampling_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "localmin.experiments.swift_sampler.peers.resampling.import_module",
        lambda name: (_ for _ in ()).throw(ImportError(name)),
    )
    with pytest.raises(MissingDependencyError, match="pip install imbalanced-learn"):
        peers.resampling_weights(torch.tensor([0, 1]), "over", seed=0)
