"""Options that several commands share, alone and in groups, and how text becomes values."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from localmin.errors import InputError

if TYPE_CHECKING:
    from localmin.sampling.settings import SearchSettings
    from localmin.tasks.request import TaskRequest

__all__ = [
    "BatchSize",
    "CleanLabel",
    "CleanValidation",
    "Data",
    "DataOptions",
    "Debug",
    "Device",
    "Epochs",
    "ImageSize",
    "Imbalance",
    "Json",
    "Kind",
    "Label",
    "LearningRate",
    "Limit",
    "MetricName",
    "Model",
    "Noise",
    "NoiseKind",
    "Out",
    "Preset",
    "RecipeOptions",
    "SearchOptions",
    "Seeds",
    "Test",
    "Threads",
]

Data = Annotated[
    str,
    typer.Argument(
        metavar="DATA",
        help="A built-in name (digits, iris, wine, breast_cancer, diabetes), a folder of class folders, "
        "a .parquet, .csv or .npz file, a .txt file, or file.py:factory returning a Task.",
    ),
]
Test = Annotated[str | None, typer.Option(metavar="DATA", help="A separate test set, read like DATA.")]
Label = Annotated[str | None, typer.Option(metavar="NAME", help="Column that holds the label.")]
Model = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="mlp, cnn, resnet18, gpt-tiny, or file.py:factory of an nn.Module."),
]
Noise = Annotated[float, typer.Option(metavar="RATE", help="Make this share of the labels wrong, 0 to 1.")]
NoiseKind = Annotated[
    str | None,
    typer.Option(
        metavar="KIND",
        help="Classes: symmetric or pair; regression: outliers or shuffle; text: shuffle or random.",
    ),
]
Kind = Annotated[
    str | None,
    typer.Option(
        metavar="KIND", help="classification or regression; a label column with fractions is a regression."
    ),
]
CleanLabel = Annotated[
    str | None,
    typer.Option(
        "--clean-label",
        metavar="NAME",
        help="Second column, of right labels: for measuring, the search never sees it.",
    ),
]
CleanValidation = Annotated[
    bool, typer.Option("--clean-validation", help="Keep the validation labels right under --noise.")
]
ImageSize = Annotated[
    int | None, typer.Option(metavar="PIXELS", help="Bring images to this height and width.")
]
Imbalance = Annotated[
    float, typer.Option(metavar="FACTOR", help="Thin classes out: largest over smallest class.")
]
Limit = Annotated[
    int | None, typer.Option(metavar="N", help="Use N examples for training and validation together.")
]
Epochs = Annotated[int | None, typer.Option(metavar="E", help="Length of one training.")]
BatchSize = Annotated[int | None, typer.Option(metavar="B", help="Examples in an optimiser step.")]
LearningRate = Annotated[float | None, typer.Option("--lr", metavar="LR", help="Peak learning rate.")]
MetricName = Annotated[
    str | None, typer.Option(metavar="NAME", help="accuracy, balanced-accuracy; r2, mae; perplexity.")
]
Device = Annotated[str, typer.Option(metavar="DEVICE", help="cpu, cuda or auto.")]
Threads = Annotated[int | None, typer.Option(metavar="N", help="Threads of torch on the CPU.")]
Seeds = Annotated[str, typer.Option(metavar="SEEDS", help="Such as 0-4 or 0,3,7.")]
Preset = Annotated[
    str, typer.Option(metavar="NAME", help="quick (2 to 3 trainings), paper (3) or standard (11).")
]
Out = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help="Run folder; repeating the command continues an interrupted run."),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object to standard output.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]


@dataclass(frozen=True)
class DataOptions:
    """What is trained on: how DATA is read, changed and scored."""

    test: Test = None
    label: Label = None
    clean_label: CleanLabel = None
    kind: Kind = None
    model: Model = None
    noise: Noise = 0.0
    noise_kind: NoiseKind = None
    clean_validation: CleanValidation = False
    imbalance: Imbalance = 1.0
    limit: Limit = None
    image_size: ImageSize = None
    metric: MetricName = None

    def request(self, data: str, recipe: RecipeOptions | None = None) -> TaskRequest:
        """Ask for the task.

        Args:
            data: As typed.
            recipe: Changes to the training; None for none.

        Returns:
            The request; nothing is read yet.
        """
        from localmin.tasks.request import TaskRequest

        changes = None if recipe is None else asdict(recipe)
        return TaskRequest(data, recipe=changes, **asdict(self))

    def checkpoint_request(self, data: str | None, *, data_name: str = "DATA") -> TaskRequest | None:
        """Ask for the task of a checkpoint; a run folder knows its own.

        Args:
            data: As typed; None if there is none.
            data_name: What the user would give.

        Returns:
            The request, or None without ``data``.

        Raises:
            InputError: If options say how to read data that were not given.
        """
        if data is not None:
            return self.request(data)
        given = [
            f"--{each.name.replace('_', '-')}"
            for each in fields(self)
            if getattr(self, each.name) != each.default
        ]
        if given:
            raise InputError(
                f"{', '.join(given)} says how to read {data_name}, which is missing: give {data_name} for a "
                "checkpoint, or leave the option out for a run folder, which knows its data"
            )
        return None


@dataclass(frozen=True)
class SearchOptions:
    """What changes a preset; None keeps it."""

    form: Annotated[str | None, typer.Option(metavar="FORM", help="Policy form: a, b, d or e.")] = None
    transform: Annotated[str | None, typer.Option(metavar="NAME", help="cdf or cgf.")] = None
    engine: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="sampler-process, optuna-gp, tpe, random or policy-gradient."),
    ] = None
    guard: Annotated[str | None, typer.Option(metavar="NAME", help="auto, halves, four-fifths or none.")] = (
        None
    )
    second_opinion: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="auto averages features with a simple model's; none does not."),
    ] = None
    trials: Annotated[int | None, typer.Option(metavar="K", help="Trials in all, uniform included.")] = None
    start: Annotated[
        list[Path] | None,
        typer.Option(metavar="POLICY", help="Try this policy of an earlier search too; may be repeated."),
    ] = None
    rounds: Annotated[int | None, typer.Option(metavar="R", help="Rounds; features are new in each.")] = None

    def settings(self, preset: str) -> SearchSettings:
        """Change a preset.

        Args:
            preset: Its name.

        Returns:
            The settings of the search.

        Raises:
            InputError: If a name is unknown, a number out of range, or a policy cannot be read.
        """
        from localmin.sampling.settings import preset_settings
        from localmin.sampling.starts import with_starts

        changes = {each.name: getattr(self, each.name) for each in fields(self) if each.name != "start"}
        return with_starts(preset_settings(preset, **changes), self.start or [])


@dataclass(frozen=True)
class RecipeOptions:
    """How one training goes; None keeps what suits the task."""

    epochs: Epochs = None
    batch_size: BatchSize = None
    lr: LearningRate = None
