from __future__ import annotations

import pytest
import torch

from localmin.errors import InputError
from localmin.sampling.feature_table import FeatureTable, table_from_sums


def test_a_table_is_in_double_precision_and_comes_back() -> None:
    loss, entropy, gradient = (torch.tensor([k, k + 0.5]) for k in (1.0, 2.0, 3.0))
    table = table_from_sums(loss, entropy, gradient, torch.tensor([1, 0]), source="by hand")
    assert table.values.dtype == torch.float64
    assert table.column("renormed-entropy").tolist() == [2.0, 2.5]
    assert table.gradient.tolist() == table.column("gradient-bound").tolist() == [3.0, 3.5]
    back = FeatureTable.from_tensors(table.to_tensors(), table.names, table.source)
    assert torch.equal(back.values, table.values)
    assert back.predictions.tolist() == [1, 0]
    assert (back.names, back.source) == (table.names, "by hand")
    with pytest.raises(InputError, match="no feature 'colour'"):
        table.column("colour")
