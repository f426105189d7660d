"""Policies of earlier tasks as the starting design of a search."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from localmin.errors import InputError
from localmin.sampling.policy import Policy
from localmin.sampling.settings import SearchSettings

__all__ = ["with_starts"]


def with_starts(settings: SearchSettings, policies: Sequence[Policy | str | Path]) -> SearchSettings:
    """Let a search try policies that were found on earlier tasks.

    Their ten numbers are tried on the features of the task at hand; the form becomes theirs where none was
    asked for.

    Args:
        settings: To be changed.
        policies: Or the files they were saved in; uniform ones and repetitions are left out.

    Returns:
        The settings with `SearchSettings.starts`.

    Raises:
        InputError: If the policies have different forms, another form than the settings, or a class prior.

    Example:
        >>> from localmin.sampling.forms import get_form
        >>> policy = Policy(get_form("a"), (1.0,) * 7 + (0.0,) * 3, "cdf", ())
        >>> with_starts(SearchSettings(), [policy]).form
        'a'
    """
    found = [policy if isinstance(policy, Policy) else Policy.load(policy) for policy in policies]
    if not found:
        return settings
    names = {policy.form.name for policy in found} | ({settings.form} if settings.form is not None else set())
    if len(names) > 1:
        raise InputError(
            f"policies to start from and the search must share one form, got {', '.join(sorted(names))}; "
            "give --form, and policies of that form only"
        )
    if any(policy.form.has_prior for policy in found):
        raise InputError(
            "a policy with a class prior cannot be a start: its numbers mean other nodes; use one without"
        )
    starts = tuple(dict.fromkeys(policy.z for policy in found if not _draws_uniformly(policy)))
    return replace(settings, form=names.pop(), starts=starts)


def _draws_uniformly(policy: Policy) -> bool:
    nodes = policy.z[1:] if policy.form.has_angle else policy.z
    return len(set(nodes)) == 1
