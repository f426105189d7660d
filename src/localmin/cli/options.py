"""Options that several commands share, and how text becomes values."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from localmin.errors import InputError

__all__ = [
    "BatchSize",
    "CleanLabel",
    "CleanValidation",
    "Data",
    "Debug",
    "Device",
    "Epochs",
    "Form",
    "GpuShare",
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
    "Ray",
    "Storage",
    "Test",
    "Threads",
    "Together",
    "Workers",
    "parse_seeds",
    "typed_command",
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
Form = Annotated[str | None, typer.Option(metavar="FORM", help="Policy form: a, b, d or e.")]
Device = Annotated[str, typer.Option(metavar="DEVICE", help="cpu, cuda or auto.")]
Threads = Annotated[int | None, typer.Option(metavar="N", help="Threads of torch on the CPU.")]
Together = Annotated[
    int,
    typer.Option(
        metavar="K", help="Train K networks of trials at once (torch.func), if measuring favours it."
    ),
]
Workers = Annotated[
    int | None,
    typer.Option(metavar="W", help="Run trials in W processes, of --threads threads each (default 1)."),
]
Ray = Annotated[
    str | None,
    typer.Option(metavar="ADDRESS", help="Run trials on a Ray cluster: auto, local, or host:port."),
]
GpuShare = Annotated[
    float | None, typer.Option(metavar="G", help="Share of a GPU for one network under --ray, such as 0.25.")
]
Out = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help="Run folder; repeating the command continues an interrupted run."),
]
Storage = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        envvar="LOCALMIN_STORAGE",
        help="Database in which several launchers share this search, such as postgresql://user@host/name.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object to standard output.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]


def typed_command(storage: str | None) -> str:
    """Write the command as it was typed, for records, without the password of a database.

    Args:
        storage: URL of the database, if there is one.

    Returns:
        One line.
    """
    words = ["localmin", *sys.argv[1:]]
    if storage is None or "://" not in storage:
        return " ".join(words)
    from localmin.sampling.execution import Database

    return " ".join(words).replace(storage, Database(storage).without_password())


def parse_seeds(text: str) -> list[int]:
    """Read seeds: ``"3"``, ``"0-4"``, ``"0,2,5-7"``.

    Args:
        text: As typed.

    Returns:
        The seeds in order.

    Raises:
        InputError: If the text is not of that form.

    Example:
        >>> parse_seeds("0-2,7")
        [0, 1, 2, 7]
    """
    seeds: list[int] = []
    try:
        for part in text.split(","):
            first, dash, last = part.strip().partition("-")
            seeds += range(int(first), int(last) + 1) if dash else [int(first)]
    except ValueError:
        seeds = []
    if not seeds:
        raise InputError(f"--seeds expects numbers and ranges such as 0-4 or 0,3,7, got {text!r}")
    return seeds
