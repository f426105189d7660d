from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import softmax
from scipy.stats import entropy

from localmin.errors import ShapeError
from localmin.sampling.features import example_features, gradient_bound, loss, renormed_entropy


def random_logits(seed: int, count: int = 6, classes: int = 5, scale: float = 3.0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return scale * torch.randn(count, classes, generator=generator, dtype=torch.float64)


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 10_000), classes=st.integers(3, 12), scale=st.floats(0.1, 20))
def test_features_are_those_of_the_probabilities(seed: int, classes: int, scale: float) -> None:
    logits = random_logits(seed, classes=classes, scale=scale)
    labels = torch.arange(6) % classes
    features = example_features(logits, labels)
    probabilities = softmax(logits.numpy(), axis=1)
    for i, label in enumerate(labels.tolist()):
        p = probabilities[i]
        others = np.delete(p, label)
        target = np.eye(classes)[label]
        assert float(features.loss[i]) == pytest.approx(-math.log(p[label]), abs=1e-9)
        assert float(features.renormed_entropy[i]) == pytest.approx(entropy(others), abs=1e-9)
        assert float(features.gradient_bound[i]) == pytest.approx(np.linalg.norm(p - target), abs=1e-9)
        assert float(features.gradient_bound[i]) <= math.sqrt(2) * (1 - p[label]) + 1e-12


def test_renormed_entropy_is_zero_for_one_remaining_class_and_log_for_a_flat_rest() -> None:
    one_left = torch.tensor([[2.0, 900.0, -900.0, -900.0]], dtype=torch.float64)
    flat = torch.tensor([[5.0, 1.0, 1.0, 1.0]], dtype=torch.float64)
    label = torch.tensor([0])
    assert float(renormed_entropy(one_left, label)) == 0.0
    assert float(renormed_entropy(flat, label)) == pytest.approx(math.log(3), abs=1e-12)


def test_renormed_entropy_does_not_see_the_labels_own_logit() -> None:
    logits, labels = random_logits(0), torch.tensor([0, 1, 2, 3, 4, 0])
    moved = logits.scatter_add(1, labels[:, None], 40 * torch.randn(6, 1, dtype=torch.float64))
    torch.testing.assert_close(renormed_entropy(moved, labels), renormed_entropy(logits, labels))
    # and it does see every other one
    moved = logits.clone()
    moved[:, 0] += 1.0
    changed = (renormed_entropy(moved, labels) - renormed_entropy(logits, labels)).abs()
    assert bool((changed[labels != 0] > 1e-3).all())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_features_are_finite_and_exact_where_the_label_has_all_the_mass(dtype: torch.dtype) -> None:
    # p_label = 1 - 1e-12: 1 - p_label underflows in float32.
    rest = torch.tensor([0.5, 0.25, 0.25], dtype=torch.float64).log() + math.log(1e-12)
    logits = torch.cat([torch.zeros(1, dtype=torch.float64), rest])[None].to(dtype)
    features = example_features(logits, torch.tensor([0]))
    assert float(features.renormed_entropy) == pytest.approx(1.5 * math.log(2), rel=1e-5)
    assert math.isfinite(float(features.loss))
    assert math.isfinite(float(features.gradient_bound))
    if dtype == torch.float64:
        assert float(features.loss) == pytest.approx(1e-12, rel=1e-3)


def test_two_classes_have_no_renormed_entropy() -> None:
    assert (
        renormed_entropy(random_logits(1, classes=2), torch.tensor([0, 1, 0, 1, 0, 1])).tolist() == [0.0] * 6
    )


def test_the_gradient_bound_is_the_gradient_norm_of_the_last_layer() -> None:
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(3, 7, generator=generator, dtype=torch.float64)
    layer = torch.nn.Linear(7, 4, bias=False, dtype=torch.float64)
    labels = torch.tensor([0, 3, 1])
    logits = layer(hidden)
    bound = gradient_bound(logits, labels, hidden)
    for i in range(3):
        (gradient,) = torch.autograd.grad(loss(logits, labels)[i], layer.weight, retain_graph=True)
        assert bound[i].item() == pytest.approx(float(gradient.norm()), rel=1e-10)


def test_half_precision_logits_are_worked_on_in_single() -> None:
    features = example_features(torch.tensor([[11.0, 0.0, 0.0]], dtype=torch.bfloat16), torch.tensor([0]))
    assert features.loss.dtype == torch.float32
    assert float(features.renormed_entropy) == pytest.approx(math.log(2), rel=1e-6)


@pytest.mark.parametrize(("logits", "labels"), [((3,), (3,)), ((3, 2), (2,)), ((3, 2), (3, 1))])
def test_shapes_that_do_not_fit_are_refused(logits: tuple[int, ...], labels: tuple[int, ...]) -> None:
    with pytest.raises(ShapeError, match="expected logits"):
        example_features(torch.zeros(logits), torch.zeros(labels, dtype=torch.int64))
