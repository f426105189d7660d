from __future__ import annotations

from pathlib import Path

import pytest
import torch

from localmin.errors import DataError
from localmin.tasks import build_task, open_source
from localmin.tasks.readers.text import open_text

TEXT = "to be, or not to be: that is the question.\n" * 40


def write(folder: Path, text: str, name: str = "a.txt") -> Path:
    path = folder / name
    path.write_bytes(text.encode())
    return path


def test_sequences_follow_one_another_and_labels_are_one_character_on(tmp_path: Path) -> None:
    source = open_text(write(tmp_path, TEXT), context=16)
    characters = sorted(set(TEXT))
    assert source.class_names == tuple(characters)
    inputs = "".join(characters[i] for i in source.examples.inputs.flatten().tolist())
    labels = "".join(characters[i] for i in source.examples.labels.flatten().tolist())
    count = (len(TEXT) - 1) // 16
    assert inputs == TEXT[: count * 16]
    assert labels == TEXT[1 : count * 16 + 1]
    assert source.examples.identifier(2) == "characters 32-48"


def test_characters_beyond_ascii(tmp_path: Path) -> None:
    source = open_text(write(tmp_path, "żółć \N{GRINNING FACE}" * 80), context=8)
    assert source.class_names == tuple(sorted(set("żółć \N{GRINNING FACE}")))
    assert source.examples.inputs[0].tolist() == [
        source.class_names.index(c) for c in "żółć \N{GRINNING FACE}żó"
    ]


def test_a_text_becomes_a_language_task(tmp_path: Path) -> None:
    source = open_source(str(write(tmp_path, TEXT)))
    task = build_task(source, seed=0, noise=0.3)
    assert (task.kind.name, task.metric, task.model_name) == ("language-model", "perplexity", "gpt-tiny")
    assert task.wrong_labels is not None
    assert int(task.wrong_labels.sum()) == round(0.3 * len(task.train))
    outputs = task.build_model(0)(task.prepare(task.train.inputs[:2]))
    assert outputs.shape == (2, 64, len(source.class_names))


def test_a_test_text_uses_the_characters_of_the_training_text(tmp_path: Path) -> None:
    train, test = write(tmp_path, TEXT), write(tmp_path, TEXT[200:1700], "b.txt")
    source = open_source(str(train), test=str(test))
    assert source.test is not None
    assert source.test.labels.shape[1] == 64
    assert torch.equal(
        source.test.inputs[0], open_text(write(tmp_path, TEXT[200:], "c.txt")).examples.inputs[0]
    )
    with pytest.raises(DataError, match="'#', which does not occur in"):
        open_source(str(train), test=str(write(tmp_path, "#" + TEXT, "d.txt")))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"short", "0 sequences of 64; at least 20"),
        (b"", "at least 20"),
        ("größe".encode("latin-1") * 400, r"is not UTF-8 text \(byte 2\)"),
        ("".join(chr(0x4E00 + i) for i in range(2000)).encode(), "2000 different characters"),
    ],
)
def test_texts_that_cannot_be_modelled(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "a.txt").write_bytes(content)
    with pytest.raises(DataError, match=message) as error:
        open_source(str(tmp_path / "a.txt"))
    assert "\n" not in str(error.value)


def test_a_missing_text(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not exist"):
        open_source(str(tmp_path / "a.txt"))
