"""The libraries that only some kinds of file need."""

from __future__ import annotations

import importlib
from typing import Any

from localmin.errors import MissingDependencyError

__all__ = ["require"]

_DISTRIBUTIONS = {"PIL": "pillow", "pyarrow": "pyarrow"}


def require(module: str, purpose: str) -> Any:
    """Import a library when it is needed, not before.

    Args:
        module: Such as ``"pyarrow.parquet"``.
        purpose: What needs it, such as ``"reading Parquet"``.

    Returns:
        The module.

    Raises:
        MissingDependencyError: If it is not installed; the message has the command that installs it.

    Example:
        >>> require("json", "this example").dumps([1])
        '[1]'
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        top = module.partition(".")[0]
        raise MissingDependencyError(
            f"{purpose} needs {_DISTRIBUTIONS.get(top, top)}, which cannot be imported ({error}); install it "
            "with pip install 'localmin[data]'"
        ) from error
