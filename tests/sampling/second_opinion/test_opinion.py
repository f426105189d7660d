"""A second opinion: who gets one, what it costs, and what it adds to a search."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import pytest
import torch
from torch import nn

from localmin.sampling import search
from localmin.sampling.feature_run import run_features
from localmin.sampling.feature_table import FeatureTable
from localmin.sampling.second_opinion import (
    LeftOutNgrams,
    LeftOutRidge,
    Opinion,
    Patches,
    Waves,
    average_tables,
    has_opinion,
    plan_opinion,
)
from localmin.sampling.transfer import train_run
from localmin.tasks import Examples, Recipe, Task, digits
from localmin.tasks.kinds import LanguageModel
from localmin.tasks.models import build_cnn, build_mlp
from localmin.tasks.request import TaskRequest

MakeTask = Callable[..., Task]


def test_finds_wrong_labels_without_having_learnt_them(make_striped: MakeTask) -> None:
    task = make_striped()
    table = planned(task).table(task, seed=0)
    clean = task.clean_train_labels
    assert clean is not None
    wrong = clean != task.train.labels
    loss = table.column("loss")
    above = (loss[wrong][:, None] > loss[~wrong][None, :]).double().mean()
    assert above > 0.9  # area under the curve; chance is 0.5
    assert bool((table.predictions == clean).double().mean() > 0.8)


def test_cost_is_in_epochs_of_the_network(make_striped: MakeTask) -> None:
    small, wide = make_striped(60), make_striped(60)
    object.__setattr__(wide, "model", lambda: build_cnn(1, 3, widths=(64, 128, 256)))
    assert 0 < 3 * planned(wide).epochs < planned(small).epochs


def test_average_of_tables() -> None:
    first = FeatureTable(("loss",), torch.zeros(2, 1), torch.zeros(2), torch.tensor([0, 0]), "a")
    second = FeatureTable(("loss",), torch.ones(2, 1), torch.ones(2), torch.tensor([1, 0]), "b")
    table = average_tables(first, second)
    assert table.values.flatten().tolist() == [0.5, 0.5]
    assert table.predictions.tolist() == [1, 0]


def test_a_transferred_policy_gets_the_opinion_it_was_found_with(make_striped: MakeTask) -> None:
    task = make_striped(90)
    result = search(task, preset="quick", trials=2, seed=0)
    assert has_opinion(result.candidate.origin)
    with_opinion = train_run(task, policy=result.candidate, seed=0)
    assert with_opinion.feature_epochs == pytest.approx(1 + planned(task).epochs)
    # Half a training for the network's features, a quarter beside an opinion: both are one epoch of two.
    assert result.cost.search_epochs > 1 + planned(task).epochs


def test_none_leaves_the_opinion_out(make_striped: MakeTask) -> None:
    result = search(make_striped(90), preset="quick", trials=2, seed=0, second_opinion="none")
    assert not has_opinion(result.candidate.origin)


def planned(task: Task) -> Opinion:
    plan = plan_opinion(task)
    assert plan is not None
    return plan


def described(task: Task) -> Patches | Waves:
    witness = planned(task).witness
    assert isinstance(witness, LeftOutRidge)
    return witness.description


def vector_task(n: int = 400, *, hidden: int = 256, columns: int = 6, **changes: object) -> Task:
    generator = torch.Generator().manual_seed(6)
    labels = torch.arange(n) % 3
    data = Examples(torch.randn(n, columns, generator=generator) + 2 * torch.eye(3, columns)[labels], labels)
    task = Task(
        "clouds",
        data,
        data,
        data,
        lambda: build_mlp(columns, 3, widths=(hidden,)),
        3,
        Recipe(epochs=20, batch_size=32),
    )
    return replace(task, **changes)  # type: ignore[arg-type]


def test_large_images_get_patches_small_ones_and_vectors_waves(make_striped: MakeTask) -> None:
    assert isinstance(described(make_striped(30)), Patches)
    assert described(digits(seed=0)) == Waves(64, 390)
    tiny = Examples(torch.zeros(200, 1, 8, 8, dtype=torch.uint8), torch.arange(200) % 3)
    network = partial(build_mlp, 64, 3, widths=(256,))
    small = Task("tiny", tiny, tiny, tiny, network, 3, Recipe(epochs=20, batch_size=32))
    found = described(small)
    assert isinstance(found, Waves)
    assert found.num_inputs == 64


def test_waves_cost_at_most_a_tenth_of_a_training_and_fewer_suit_small_networks() -> None:
    counts = []
    for hidden in (20_000, 200, 80):
        task = vector_task(hidden=hidden)
        found = planned(task)
        assert 0 < found.epochs <= 0.1 * task.epochs
        waves = described(task)
        assert isinstance(waves, Waves)
        counts.append(waves.num_waves)
    assert counts[0] == 200  # half of the examples
    assert counts[0] >= counts[1] > counts[2]


def test_no_opinion_where_none_can_be_had() -> None:
    assert plan_opinion(TaskRequest("diabetes").open()(0)) is None  # no classes
    tokens = Examples(torch.ones(60, 5, dtype=torch.int64), torch.arange(60) % 3)
    assert plan_opinion(vector_task(train=tokens, validation=tokens, test=tokens)) is None
    assert plan_opinion(vector_task(30)) is None  # too few examples
    too_dear = vector_task(hidden=1, recipe=Recipe(epochs=1, batch_size=32))
    assert plan_opinion(too_dear) is None
    uncounted = vector_task(model=Uncounted)
    assert plan_opinion(uncounted) is None


class Uncounted(nn.Module):
    """A network without a matrix product: its operations are not counted."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(3))

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return inputs[:, :3] * self.scale


def test_a_short_training_is_helped_most() -> None:
    task = digits(seed=40, noise=0.4, epochs=8)
    wrong = task.wrong_labels
    assert wrong is not None

    def area(table: FeatureTable) -> float:
        loss = table.column("loss")
        return float((loss[wrong][:, None] > loss[~wrong][None, :]).double().mean())

    network, _ = run_features(task, source="step-mean", epochs=2, seed=0, model_seed=0)
    opinion = planned(task).table(task, seed=0)
    assert area(network) < 0.92
    assert area(average_tables(network, opinion)) > 0.97


def test_a_training_that_follows_hears_the_opinion_too() -> None:
    task = digits(seed=0, noise=0.4, epochs=4)
    policy = search(task, preset="quick", trials=2, seed=0, safe_rule=False).candidate
    following = train_run(task, policy=policy, follow=True, seed=0)
    deaf = replace(policy, origin={**policy.origin, "feature_source": "losses"})
    assert following.feature_epochs == pytest.approx(2 + planned(task).epochs)
    assert following.losses != train_run(task, policy=deaf, follow=True, seed=0).losses


def sequences(n: int = 90, *, num_tokens: int = 30) -> Task:
    """Count upwards from anywhere, two tokens out of three; a third of the sequences is random."""
    generator = torch.Generator().manual_seed(10)
    starts = torch.randint(num_tokens, (n, 1), generator=generator)
    text = (starts + torch.arange(13)) % num_tokens
    wrong = torch.arange(n) % 3 == 0
    text[wrong] = torch.randint(num_tokens, (int(wrong.sum()), 13), generator=generator)
    data = Examples(text[:, :-1], text[:, 1:])
    network = partial(_token_network, num_tokens)
    return Task("steps", data, data, data, network, num_tokens, Recipe(epochs=2), kind=LanguageModel())


def _token_network(num_tokens: int) -> nn.Module:
    return nn.Sequential(nn.Embedding(num_tokens, 8), nn.Linear(8, num_tokens))


def test_sequences_are_heard_by_what_others_say() -> None:
    task = sequences()
    plan = planned(task)
    assert plan.witness == LeftOutNgrams(12, 30)
    assert plan.epochs > 0
    table = plan.table(task, seed=0)
    loss = table.column("loss")
    wrong = torch.arange(90) % 3 == 0
    assert float(loss[wrong].min()) > float(loss[~wrong].max())
    torch.testing.assert_close(table.predictions.double(), loss, rtol=0, atol=1e-6)
    assert plan_opinion(sequences(num_tokens=2_000)) is None  # words, not characters
