"""An n-gram model that leaves each sequence out of its counts."""

import pytest
import torch

from localmin.sampling.second_opinion import NgramModel


def some_text(n: int = 12, length: int = 9, num_tokens: int = 4) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(8)
    text = torch.randint(num_tokens, (n, length + 1), generator=generator)
    return text[:, :-1], text[:, 1:]


def naive(
    inputs: torch.Tensor, targets: torch.Tensor, row: int, place: int, weights: torch.Tensor
) -> list[float]:
    """Walk over all other sequences, and mix contexts from the empty one up."""
    found = [0.25] * 4
    for length in range(4):
        if place + 1 < length:
            break
        context = inputs[row, place + 1 - length : place + 1].tolist()
        counts = [0.0] * 4
        for other in range(len(inputs)):
            for at in range(max(0, length - 1), inputs.shape[1]):
                if other != row and inputs[other, at + 1 - length : at + 1].tolist() == context:
                    counts[int(targets[other, at])] += float(weights[other])
        found = [(count + 4 * below) / (sum(counts) + 4) for count, below in zip(counts, found, strict=True)]
    return found


def test_equals_counting_the_other_sequences() -> None:
    inputs, targets = some_text()
    for weights in (torch.ones(12), torch.rand(12, generator=torch.Generator().manual_seed(9))):
        relative = weights * 12 / weights.sum()
        model = NgramModel.count(inputs, targets, num_tokens=4, weights=weights)
        probabilities = torch.cat([model.left_out(rows) for rows in model.blocks()]).exp()
        torch.testing.assert_close(probabilities.sum(-1), torch.ones(12, 9))
        for row in range(12):
            for place in (0, 1, 2, 3, 8):
                expected = torch.tensor(naive(inputs, targets, row, place, relative))
                torch.testing.assert_close(probabilities[row, place], expected, rtol=1e-4, atol=1e-5)


def test_a_sequence_of_weight_zero_does_not_move_the_counts() -> None:
    inputs, targets = some_text()
    weights = torch.ones(12)
    weights[5] = 0
    other_inputs, other_targets = inputs.clone(), targets.clone()
    other_inputs[5], other_targets[5] = 0, 0
    first = NgramModel.count(inputs, targets, num_tokens=4, weights=weights)
    second = NgramModel.count(other_inputs, other_targets, num_tokens=4, weights=weights)
    torch.testing.assert_close(first.left_out(slice(0, 5)), second.left_out(slice(0, 5)))


def test_long_contexts_are_left_out_where_their_table_would_be_too_large(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    inputs, targets = some_text()
    monkeypatch.setattr("localmin.sampling.second_opinion.ngrams._MAX_TABLE", 4 * 4)
    assert len(NgramModel.count(inputs, targets, num_tokens=4).contexts) == 2
