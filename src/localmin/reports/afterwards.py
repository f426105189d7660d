"""Where training ended and how small the network gets, in plain sentences for page and terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console

from localmin.reports.quantities import Quantity, Result, Sentence, score_text
from localmin.tasks.metrics import describe_metric

__all__ = ["ending_sentences", "render_afterwards", "shrinking_sentences", "verdict_sentence"]

_UNBOUNDED = (
    "Down there the network classifies every drawn example right. Without weight decay its loss then falls "
    "for ever as the weights grow: there is no minimum to end at, however long one trains."
)
_NOT_SHOWN = (
    "The verdicts are about the loss over these training examples and about the smooth piece of the network "
    "at that point. They say nothing about other data, nor that no better minimum exists."
)


def ending_sentences(result: Result) -> list[Sentence]:
    """Say what kind of point training ended at, and what lies below it.

    Args:
        result: Read access with the content of ``ending.json`` under ``ending``, and of ``dynamics.json``
            under ``dynamics``, None without another training.

    Returns:
        Sentences in order.
    """
    lead = Sentence((
        "Training ended at a loss of ", _short(result, "ending.trained.value"),
        " (drawing weights and weight decay included, over ", result.count("ending.num_examples"),
        " training examples). ",
    ))  # fmt: skip
    sentences = [] if result["dynamics"] is None else [_dynamics_sentence(result)]
    sentences.append(lead + verdict_sentence(result, "ending.trained"))
    moved = result["ending.distance_relative"]
    if moved > 0:
        descents = result.count("ending.num_descents")
        many = "descent" if descents.value == 1 else "descents"
        escapes = result.count("ending.num_escapes")
        words: tuple[str | Quantity, ...] = (
            (" and ", escapes, f" {'escape' if escapes.value == 1 else 'escapes'} from saddles")
            if escapes.value
            else ()
        )
        below = Sentence((
            "From there ", descents, f" full-batch {many}", *words, " lead to a loss of ",
            _short(result, "ending.settled.value"), ", at a distance of ",
            result.percent("ending.distance_relative"), " of the parameters' norm. ",
        ))  # fmt: skip
        sentences.append(below + verdict_sentence(result, "ending.settled"))
    if result["ending.is_unbounded"]:
        sentences.append(Sentence((_UNBOUNDED,)))
    sentences.append(Sentence((_NOT_SHOWN,)))
    return sentences


def _dynamics_sentence(result: Result) -> Sentence:
    metric = describe_metric(result["dynamics.metric"])
    after, before = (
        Quantity(key, result[key], score_text(result[key], metric))
        for key in ("dynamics.scores.test", "dynamics.test_by_search")
    )
    return Sentence((
        "The network was trained once more, by ", result.text("dynamics.described"),
        f": {metric.words} ", after, ", where the search's own training reached ", before,
        ". What follows is about this network.",
    ))  # fmt: skip


def verdict_sentence(result: Result, key: str) -> Sentence:
    """Say a certificate's verdict in words.

    Args:
        result: Read access.
        key: Of the certificate.

    Returns:
        One sentence.
    """
    verdict = result[f"{key}.verdict"]
    gradient = _short(result, f"{key}.gradient_norm")
    curvature = _short(result, f"{key}.curvature")
    bound = _short(result, f"{key}.lower_bound")
    known: dict[str, tuple[str | Quantity, ...]] = {
        "not-critical": ("This is no critical point: the gradient has length ", gradient, "."),
        "strict-saddle": (
            "This is a saddle: the gradient has length ", gradient,
            ", the curvature along the witness is ", curvature, ".",
        ),
        "non-strict-saddle": (
            "This is a saddle without negative curvature: the loss falls nearby, but not to second order.",
        ),
        "local-minimum": ("This is a local minimum: every curvature is at least ", bound, "."),
        "global-minimum": ("This is a global minimum: the loss cannot be lower.",),
        "second-order-point": (
            "No way down was found: the gradient has length ", gradient, ", no curvature is below ", bound,
            "; a flat minimum and a degenerate saddle look alike here.",
        ),
    }  # fmt: skip
    parts = known.get(verdict, ("Undecided: ", result.text(f"{key}.reason"), "."))
    return Sentence(parts)


def shrinking_sentences(result: Result) -> list[Sentence]:
    """Say how small the network gets, and what that changes.

    Args:
        result: Read access with the content of ``shrinking.json`` under ``shrinking``.

    Returns:
        Sentences in order.
    """
    if result["shrinking.refused"]:
        return [Sentence(("This network was not reduced: ", result.text("shrinking.refused"), "."))]
    sentences = [_exact_sentence(result)]
    if result["shrinking.chosen"] is None:
        return [*sentences, Sentence(("No narrower network that was tried keeps the validation score.",))]
    sentences.append(_narrow_sentence(result))
    if result["shrinking.comparison"] is not None:
        words = {
            "equal": "It is proved to be the same function.",
            "different": "It is another function: an input on which the two differ stands in shrinking.json.",
        }
        verdict = result["shrinking.comparison.verdict"]
        sentences.append(Sentence((words.get(verdict, "Whether it is the same function is undecided."),)))
    return sentences


def _exact_sentence(result: Result) -> Sentence:
    if result["shrinking.exact"] is None:
        return Sentence(("Nothing can be removed exactly: ", result.text("shrinking.exact_note"), "."))
    key = "shrinking.exact"
    return Sentence((
        "Exactly, with every output on the training examples the same to ",
        _short(result, f"{key}.max_output_change_relative"), " of the largest, layers of ",
        result.text(f"{key}.widths_before"), " become ", result.text(f"{key}.widths_after"),
        ", and the squared norm goes from ", _short(result, f"{key}.norm_before"), " to ",
        _short(result, f"{key}.norm_after"), ".",
    ))  # fmt: skip


def _narrow_sentence(result: Result) -> Sentence:
    return Sentence((
        "Approximately, ", result.percent("shrinking.chosen.share", digits=0),
        " of the hidden neurons are enough: ", result.count("shrinking.chosen.num_parameters"), " of ",
        result.count("shrinking.num_parameters_before"), " weights and biases, test score ",
        result.percent("shrinking.test_after"), " instead of ", result.percent("shrinking.test_before"),
        ", without further training.",
    ))  # fmt: skip


def render_afterwards(content: Mapping[str, Any], console: Console) -> None:
    """Print where training ended and how small the network gets.

    Args:
        content: With ``dynamics``, ``ending`` and ``shrinking``.
        console: Where to; plain text where that is not a terminal.
    """
    result = Result(content)
    for title, sentences in (
        ("Where training ended", ending_sentences(result)[:-1]),
        ("How small it gets", shrinking_sentences(result)),
    ):
        console.print(f"\n{title}", style="bold", highlight=False)
        for sentence in sentences:
            console.print(str(sentence), highlight=False)


def _short(result: Result, key: str) -> Quantity:
    value = result[key]
    return Quantity(key, value, f"{value:.3g}" if isinstance(value, float | int) else "not known")
