"""Text files as sequences of characters."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from localmin.errors import DataError
from localmin.tasks.examples import Examples
from localmin.tasks.kinds import LanguageModel
from localmin.tasks.recipe import Recipe
from localmin.tasks.source import DataSource

__all__ = ["CONTEXT", "TEXT_SUFFIX", "open_text"]

TEXT_SUFFIX = ".txt"
CONTEXT = 64
TEXT_RECIPE = Recipe(epochs=20, batch_size=32, lr=3e-3, optimizer="adamw", warmup_epochs=0.5)

_MAX_VOCABULARY = 1_000
_MIN_SEQUENCES = 20
_MAX_TEST = 1_000


def open_text(path: Path, test: Path | None = None, *, context: int = CONTEXT) -> DataSource:
    """Cut a text into sequences of characters that follow one another without overlap.

    Args:
        path: Of a UTF-8 file.
        test: Another text for the test, of the same characters; None leaves it to the split.
        context: Characters of a sequence.

    Returns:
        Inputs and next characters of every sequence, both ``(n, context)``; a rest that is too short is left
        out. The vocabulary is every character of the file, in the order of their code points. At most
        1,000 sequences are split off for the test.

    Raises:
        DataError: If a file is missing, is not UTF-8, is too short, has more than 1,000 different
            characters, or the test has characters that the training text lacks.
    """
    text = _read(path)
    vocabulary = sorted(set(text))
    if len(vocabulary) > _MAX_VOCABULARY:
        raise DataError(
            f"{path} has {len(vocabulary)} different characters; a model of characters takes at most "
            f"{_MAX_VOCABULARY}: give a text in an alphabet, or your own tokens in a file.py:factory"
        )
    examples = _cut(text, vocabulary, context, path)
    held_out = None
    if test is not None:
        other = _read(test)
        unknown = sorted(set(other) - set(vocabulary))
        if unknown:
            raise DataError(f"{test} has {unknown[0]!r}, which does not occur in {path}; remove it")
        held_out = _cut(other, vocabulary, context, test)
    return DataSource(
        name=path.name,
        examples=examples,
        class_names=tuple(vocabulary),
        model="gpt-tiny",
        recipe=TEXT_RECIPE,
        test=held_out,
        test_size=min(_MAX_TEST, len(examples) // 4),
        origin={
            "kind": "text",
            "path": str(path.resolve()),
            "context": context,
            "test": None if test is None else str(test.resolve()),
        },
        kind=LanguageModel(),
    )


def _read(path: Path) -> str:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 text (byte {error.start}); save the file as UTF-8") from None
    except PermissionError:
        raise
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror or error})") from None
    return text


def _cut(text: str, vocabulary: list[str], context: int, path: Path) -> Examples:
    count = (len(text) - 1) // context
    if count < _MIN_SEQUENCES:
        raise DataError(
            f"{path} has {len(text)} characters, which make {max(count, 0)} sequences of {context}; at least "
            f"{_MIN_SEQUENCES} are needed"
        )
    # Code points as numbers: one look-up for the whole text.
    points = np.frombuffer(text[: count * context + 1].encode("utf-32-le"), dtype=np.uint32)
    codes = np.searchsorted([ord(character) for character in vocabulary], points)
    tokens: Tensor = torch.from_numpy(codes.astype(np.int16))
    inputs, labels = tokens[:-1].view(count, context), tokens[1:].view(count, context)
    names = tuple(f"characters {i * context}-{(i + 1) * context}" for i in range(count))
    return Examples(inputs.contiguous(), labels.long().contiguous(), names)
