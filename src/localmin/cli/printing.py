"""Results on standard output, for programs."""

from __future__ import annotations

import json
from typing import Any

__all__ = ["print_json"]


def print_json(content: Any) -> None:
    """Print one JSON object on one line; NaN and infinity become null, as in the files.

    Args:
        content: JSON types.
    """
    from localmin.tasks.storage import finite

    print(json.dumps(finite(content), allow_nan=False))
