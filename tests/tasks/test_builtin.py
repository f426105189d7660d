from __future__ import annotations

import pytest
import torch
from sklearn import datasets

from localmin.errors import InputError
from localmin.tasks import BUILTIN, build_task, digits
from localmin.tasks.builtin import open_builtin


@pytest.mark.parametrize("name", sorted(BUILTIN))
def test_every_built_in_holds_what_scikit_learn_ships(name: str) -> None:
    source = open_builtin(name)
    bunch = getattr(datasets, f"load_{name}")()
    assert torch.equal(source.examples.inputs, torch.from_numpy(bunch.data).float())
    assert source.examples.labels.tolist() == bunch.target.tolist()
    if source.kind.name == "classification":
        assert source.class_names == tuple(str(label) for label in bunch.target_names)
    task = build_task(source, seed=0)
    assert task.num_classes == len(source.class_names)


def test_digits_have_the_promised_parts_and_lie_between_zero_and_one() -> None:
    task = digits(seed=5)
    assert [len(part) for part in task.parts().values()] == [1000, 300, 497]
    prepared = task.prepare(task.train.inputs)
    assert (float(prepared.min()), float(prepared.max())) == (0.0, 1.0)


def test_rows_of_a_part_are_rows_of_the_data_set() -> None:
    pixels = datasets.load_digits().data
    part = digits(seed=2).validation
    row = int(part.identifier(7).removeprefix("row "))
    assert part.inputs[7].tolist() == pixels[row].tolist()


def test_an_unknown_name_lists_the_known() -> None:
    with pytest.raises(InputError, match="digits, iris, wine, breast_cancer"):
        open_builtin("mnist")
