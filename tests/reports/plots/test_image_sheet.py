import pytest
import torch

from localmin.errors import ShapeError
from localmin.reports.plots import image_sheet


def test_each_image_has_its_lines() -> None:
    images = torch.randint(0, 256, (9, 1, 8, 8), generator=torch.Generator().manual_seed(0)).byte()
    drawn = str(image_sheet(images, [(f"given {k}", "<b>") for k in range(9)], title="Suspects"))
    assert drawn.count("data:image/png;base64,") == 2 * 9
    assert "given 8" in drawn
    assert "<b>" not in drawn


def test_a_missing_caption_is_refused() -> None:
    with pytest.raises(ShapeError, match="caption"):
        image_sheet(torch.zeros(2, 1, 4, 4, dtype=torch.uint8), [("a", "b")], title="t")
