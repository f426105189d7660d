import functools

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from localmin.errors import InputError
from localmin.objective.example_losses import LossFunction, check_additive, sum_of_losses

GENERATOR = torch.Generator().manual_seed(0)
OUTPUT = torch.randn(7, 4, generator=GENERATOR, dtype=torch.float64)
CLASSES = torch.randint(0, 4, (7,), generator=GENERATOR)
TARGETS = torch.randn(7, 4, generator=GENERATOR, dtype=torch.float64)
WEIGHTS = torch.tensor([1.0, 2.0, 3.0, 4.0], dtype=torch.float64)


def test_mean_and_per_example_losses_give_the_same_sum() -> None:
    expected = float(F.cross_entropy(OUTPUT, CLASSES, reduction="sum"))
    assert float(sum_of_losses(F.cross_entropy, OUTPUT, CLASSES)) == pytest.approx(expected)
    per_example = functools.partial(F.cross_entropy, reduction="none")
    assert float(sum_of_losses(per_example, OUTPUT, CLASSES)) == pytest.approx(expected)


def test_values_with_more_axes_are_averaged_over_them() -> None:
    expected = float((OUTPUT - TARGETS).square().sum()) / 4
    assert float(sum_of_losses(F.mse_loss, OUTPUT, TARGETS)) == pytest.approx(expected)
    per_entry = functools.partial(F.mse_loss, reduction="none")
    assert float(sum_of_losses(per_entry, OUTPUT, TARGETS)) == pytest.approx(expected)


@pytest.mark.parametrize(
    "loss",
    [
        F.cross_entropy,
        nn.CrossEntropyLoss(label_smoothing=0.1),
        functools.partial(F.cross_entropy, reduction="none", weight=WEIGHTS),
        lambda output, target: F.cross_entropy(output, target).reshape(1),
    ],
)
def test_means_over_examples_pass(loss: LossFunction) -> None:
    check_additive(loss, OUTPUT, CLASSES)
    check_additive(loss, OUTPUT[:1], CLASSES[:1])


@pytest.mark.parametrize(
    "loss",
    [
        functools.partial(F.cross_entropy, reduction="sum"),
        functools.partial(F.cross_entropy, weight=WEIGHTS),
        functools.partial(F.cross_entropy, ignore_index=int(CLASSES[0])),
        lambda output, target: F.cross_entropy(output, target) ** 2,
        lambda output, target: F.cross_entropy(output, target) * len(output) ** 0.5,
    ],
)
def test_losses_that_depend_on_the_cut_are_refused(loss: LossFunction) -> None:
    with pytest.raises(InputError, match="the loss is no mean over examples"):
        check_additive(loss, OUTPUT, CLASSES)


def test_a_sum_is_recognised_from_a_single_example() -> None:
    with pytest.raises(InputError, match="reduction='mean'"):
        check_additive(functools.partial(F.cross_entropy, reduction="sum"), OUTPUT[:1], CLASSES[:1])


def test_per_token_means_pass() -> None:
    logits = torch.randn(5, 3, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    tokens = torch.randint(0, 8, (5, 3))

    def loss(output: Tensor, target: Tensor) -> Tensor:
        return F.cross_entropy(output.flatten(0, 1), target.flatten())

    check_additive(loss, logits, tokens)
    assert float(sum_of_losses(loss, logits, tokens)) == pytest.approx(5 * float(loss(logits, tokens)))


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        (lambda output, target: 3.0, "floating-point tensor, got float"),
        (lambda output, target: output.argmax(1), r"floating-point tensor, got torch\.int64"),
        (lambda output, target: output.mean(0), r"each of the 7 examples, got shape \(4,\)"),
    ],
)
def test_other_results_are_refused(loss: LossFunction, message: str) -> None:
    with pytest.raises(InputError, match=message):
        sum_of_losses(loss, OUTPUT, CLASSES)
