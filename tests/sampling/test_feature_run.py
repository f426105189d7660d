from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from localmin.errors import DataError, InputError
from localmin.sampling.feature_run import StepMean, features_at, run_features
from localmin.sampling.features import example_features
from localmin.sampling.weighted_draw import epoch_draw
from localmin.tasks import Task
from localmin.tasks.checkpoint import CheckpointFile
from localmin.tasks.training import shortened, train_model

MakeTask = Callable[..., Task]


def by_hand(task: Task, model: torch.nn.Module) -> Tensor:
    logits = model.eval()(task.prepare(task.train.inputs))
    features = example_features(logits.detach(), task.train.labels)
    return torch.stack([features.loss, features.renormed_entropy, features.gradient_bound], 1).double()


def after(task: Task, epochs: int, stop: int) -> torch.nn.Module:
    """Train the same run and stop it after some epochs."""

    class Stopped(Exception):
        pass

    kept: list[torch.nn.Module] = []

    class Keeper:
        watches_steps = False

        def on_step(self, epoch: int, indices: Tensor, logits: Tensor, labels: Tensor) -> None: ...

        def on_epoch(self, epoch: int, model: torch.nn.Module) -> None:
            if epoch == stop:
                kept.append(model)
                raise Stopped

        def state(self) -> dict[str, Tensor]:
            return {}

        def restore(self, state: dict[str, Tensor]) -> None: ...

    draw = epoch_draw(None, len(task.train))
    recipe = shortened(task.recipe, final_lr_fraction=0.5)
    with pytest.raises(Stopped):
        train_model(
            task, task.train, draw, seed=5, model_seed=6, epochs=epochs, recipe=recipe, observer=Keeper()
        )
    return kept[0]


def test_epoch_means_are_averages_of_the_ends_of_epochs_from_the_third(make_task: MakeTask) -> None:
    task = make_task(dropout=0.5)
    table, trained = run_features(task, source="epoch-mean", epochs=5, seed=5, model_seed=6)
    expected = torch.stack([by_hand(task, after(task, 5, stop)) for stop in (3, 4, 5)]).mean(0)
    torch.testing.assert_close(table.values, expected, rtol=1e-5, atol=1e-6)
    assert trained.num_draws == 5 * 160
    assert "3 to 5" in table.source
    last = trained.model(task.prepare(task.train.inputs)).argmax(1)
    assert torch.equal(table.predictions, last)


def test_a_checkpoint_is_one_pass_with_the_last_weights(make_task: MakeTask) -> None:
    task = make_task(dropout=0.5)
    table, trained = run_features(task, source="checkpoint", epochs=3, seed=5, model_seed=6)
    torch.testing.assert_close(table.values, by_hand(task, trained.model), rtol=1e-5, atol=1e-6)
    again = features_at(trained.model, task, task.train)
    assert torch.equal(again.values, table.values)


def test_step_means_see_every_example_once_an_epoch_from_the_second(make_task: MakeTask) -> None:
    task = make_task(recipe={"lr": 1e-12, "momentum": 0.0})
    table, _ = run_features(task, source="step-mean", epochs=4, seed=5, model_seed=6)
    # At a vanishing learning rate all steps show the same network.
    start = task.build_model(6)
    torch.testing.assert_close(table.values, by_hand(task, start), rtol=1e-5, atol=1e-6)
    observer = StepMean(len(task.train), task.kind)
    train_model(task, task.train, epoch_draw(None, 160), seed=5, epochs=4, observer=observer)
    assert observer.looks.counts.tolist() == [3.0] * 160


@pytest.mark.parametrize("source", ["epoch-mean", "step-mean", "checkpoint"])
def test_short_runs_still_have_features(make_task: MakeTask, source: str) -> None:
    table, _ = run_features(make_task(), source=source, epochs=1, seed=0, model_seed=0)  # type: ignore[arg-type]
    assert bool((table.column("loss") > 0).all())


def test_a_refresh_looks_at_examples_it_never_draws(make_task: MakeTask) -> None:
    task = make_task(noise=0.3)
    assert task.clean_train_labels is not None
    right = task.clean_train_labels == task.train.labels
    table, trained = run_features(
        task, source="epoch-mean", epochs=6, seed=0, model_seed=0, weights=right.double()
    )
    assert trained.num_draws == 6 * 160
    loss = table.column("loss")
    assert bool((loss[~right] > 0).all())
    assert float(loss[~right].mean()) > 2 * float(loss[right].mean())
    with pytest.raises(InputError, match="step-mean"):
        run_features(task, source="step-mean", epochs=2, seed=0, model_seed=0, weights=right.double())
    with pytest.raises(InputError, match="unknown feature source"):
        run_features(task, source="magic", epochs=2, seed=0, model_seed=0)  # type: ignore[arg-type]


@pytest.mark.parametrize("source", ["epoch-mean", "step-mean"])
def test_features_of_an_interrupted_run_are_the_same(
    make_task: MakeTask, tmp_path: Path, source: str
) -> None:
    task = make_task(dropout=0.3)

    def run(on_epoch: Callable[[int, int], None] | None, name: str) -> Tensor:
        checkpoint = CheckpointFile(tmp_path / name, interval=0.0)
        table, _ = run_features(
            task,
            source=source,  # type: ignore[arg-type]
            epochs=5,
            seed=0,
            model_seed=1,
            checkpoint=checkpoint,
            on_epoch=on_epoch,
        )
        return table.values

    def killed(epoch: int, epochs: int) -> None:
        if epoch == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(killed, "progress")
    assert torch.equal(run(None, "progress"), run(None, "fresh"))


def test_a_training_that_diverges_has_no_features(make_task: MakeTask) -> None:
    task = make_task(recipe={"lr": 1e30})
    for source in ("epoch-mean", "step-mean", "checkpoint"):
        with pytest.raises(DataError, match="diverged in epoch 1 of 3; lower the learning rate"):
            run_features(task, source=source, epochs=3, seed=0, model_seed=0)


def test_the_learning_rate_stays_up_so_that_the_network_keeps_moving(make_task: MakeTask) -> None:
    rates: list[float] = []

    class Spy(torch.optim.SGD):
        def step(self, closure: Any = None) -> Any:
            rates.append(self.param_groups[0]["lr"])
            return super().step(closure)

    task = make_task()
    spied = task.with_recipe(replace(task.recipe, optimizer=lambda parameters: Spy(parameters, lr=0.2)))
    run_features(spied, source="checkpoint", epochs=4, seed=0, model_seed=0)
    assert rates[0] == pytest.approx(0.2)
    assert rates[-1] == pytest.approx(0.1, rel=0.02)
