"""Templates, and what every page carries inside itself: style, script and a policy against anything else."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

__all__ = ["page_assets", "template_environment"]


def template_environment() -> Environment:
    """Open the templates; what they are given is escaped."""
    return Environment(
        loader=PackageLoader("localmin.reports"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def page_assets(environment: Environment) -> dict[str, Any]:
    """Give style, script and the content security policy that allows just these two.

    Args:
        environment: Of the templates.

    Returns:
        Values that ``layout.html`` needs.
    """
    # Style and script hold no user's text; they are hashed as they stand in the page.
    style, script = (_source(environment, name) for name in ("page.css", "sort.js"))
    return {
        "style": Markup(style),
        "script": Markup(script),
        "security": f"default-src 'none'; img-src data:; style-src {_digest(style)}; "
        f"script-src {_digest(script)}; base-uri 'none'; form-action 'none'",
    }


def _source(environment: Environment, name: str) -> str:
    assert environment.loader is not None
    return environment.loader.get_source(environment, name)[0]


def _digest(content: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode('ascii')}'"
