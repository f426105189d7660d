"""The page: its sections in order, each with what its template needs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from localmin.charts import figure_from_dict
from localmin.reports import story
from localmin.reports.afterwards import ending_sentences, shrinking_sentences
from localmin.reports.caveats import caveats, warnings
from localmin.reports.plots import (
    comparison_figure,
    curve_figure,
    draw_figure,
    map_figure,
    plane_figure,
    search_figure,
)
from localmin.reports.plots.comparison import ARMS
from localmin.reports.provenance import provenance
from localmin.reports.quantities import Quantity, Sentence
from localmin.reports.run_data import RunData
from localmin.reports.templating import page_assets, template_environment
from localmin.reports.thumbnails import data_uri

__all__ = ["SECTIONS", "Section", "render_page"]

_MAX_GALLERY = 12
_VERDICTS = {True: "accepted", False: "refused"}
_GUARD_WORDS = {
    "none": "",
    "halves": "two halves",
    "four-fifths": "four fifths",
    "safe-rule": "trials compared",
}


@dataclass(frozen=True)
class Section:
    """One part of the page.

    Args:
        name: Anchor, and the name of its template.
        title: Heading.
        short: In the list of contents.
        context: Gives the template's values, or None where the section has nothing to say.
    """

    name: str
    title: str
    short: str
    context: Callable[[RunData], dict[str, Any] | None]


def render_page(data: RunData) -> str:
    """Write the whole page.

    Args:
        data: Of a finished run.

    Returns:
        HTML, with style and script inside, no reference to anything but ``dropped.csv`` beside it.
    """
    environment = template_environment()
    bodies = []
    for section in SECTIONS:
        context = section.context(data)
        if context is not None:
            template = environment.get_template(f"{section.name}.html")
            bodies.append((section, Markup(template.render(context))))
    result = data.result
    return environment.get_template("page.html").render(
        data_name=result["data"],
        noise=story.noise_sentence(result),
        headline=story.headline(result),
        recommendation=story.recommendation_sentence(result),
        cost=story.cost_sentence(result),
        facts=_facts(data),
        warnings=warnings(result),
        sections=bodies,
        **page_assets(environment),
        version=result["versions.localmin"],
        has_afterwards=any(value is not None for value in data.afterwards.content.values()),
    )


def _facts(data: RunData) -> list[tuple[str, Any, Any]]:
    """List the three or four figures one looks for first: name, value, explanation."""
    result = data.result
    count = len(result["seeds"])
    seeds = "one seed" if count == 1 else f"mean ± standard error, {count} seeds"
    facts: list[tuple[str, Any, Any]] = [
        ("Recommendation", _recommended(data), "decided without the test data"),
        (
            "Gain over uniform",
            result.gain_with_error("gain.test.mean", "gain.test.se"),
            f"{story.metric_words(result)}, {seeds}",
        ),
    ]
    if result["gap_closed"] is not None:
        facts.append(
            (
                "Gap closed",
                result.with_error("gap_closed.mean", "gap_closed.se"),
                "of the way from uniform to oracle",
            )
        )
    guard: tuple[str | Quantity, ...] = ("no guard trainings",)
    if result["cost.guard_ratio"] > 0:
        guard = ("and ", result.trainings("cost.guard_ratio"), " for the guard")
    facts.append(
        ("Cost of the search", Sentence((result.trainings("cost.ratio"), " trainings")), Sentence(guard))
    )
    return facts


def _recommended(data: RunData) -> Quantity:
    value = data.result["recommendation"]
    return Quantity("recommendation", value, "Searched policy" if value == "searched" else "Uniform")


def _comparison(data: RunData) -> dict[str, Any]:
    result = data.result
    arms = [arm for arm in ARMS if result[arm] is not None]
    metric = story.metric_words(result)
    rows = [
        {
            "name": arm,
            "mean": result.score(f"{arm}.test.mean"),
            "error": None if result[f"{arm}.test.se"] is None else result.score_error(f"{arm}.test.se"),
            "values": [result.score(f"{arm}.test.values.{i}") for i in range(len(result["seeds"]))],
        }
        for arm in arms
    ]
    return {
        "figure": comparison_figure(result, metric=metric),
        "metric": metric,
        "rows": rows,
        "seeds": result["seeds"],
        "gain": result.gain_with_error("gain.test.mean", "gain.test.se"),
        "gap": story.gap_sentence(result),
        "steps": result.count(f"{data.seed}.arms.uniform.num_steps"),
        "has_oracle": "oracle" in arms,
    }


def _policy(data: RunData) -> dict[str, Any]:
    result, form = data.result, data.form
    key = f"{data.seed}.candidate"
    parameters = [
        (
            name.replace("renormed-entropy", "E\N{MODIFIER LETTER SMALL R}"),
            result.number(f"{key}.z.{i}", digits=3),
        )
        for i, name in enumerate(form.parameter_names)
    ]
    figure = map_figure(data) if form.name == "e" else curve_figure(data)
    classes = [
        (one["name"], result.count(f"{data.seed}.classes.{i}.num_examples"),
         result.number(f"{data.seed}.classes.{i}.mean_draws", digits=2))
        for i, one in enumerate(result[f"{data.seed}.classes"])
    ]  # fmt: skip
    return {
        "form": form,
        "kind": result[f"{key}.transform"],
        "figure": figure,
        "plane": plane_figure(data),
        "parameters": parameters,
        "classes": classes if form.has_prior else [],
        "refused": result[f"{data.seed}.recommendation"] == "uniform",
        "seed": _seed_of_many(data),
        "split": data.wrong is not None,
    }


def _seed_of_many(data: RunData) -> int | None:
    result = data.result
    return int(result["policy_seed"]) if len(result["seeds"]) > 1 else None


def _dropped(data: RunData) -> dict[str, Any]:
    result = data.result
    key = f"{data.seed}.drop_report"
    images = [] if data.thumbnails is None else [data_uri(image) for image in data.thumbnails]
    rows = list(_dropped_rows(data, f"{key}.examples", images))
    truth = bool(rows) and rows[0]["clean"] is not None
    known = result[f"{key}.num_dropped_wrong"] is not None
    return {
        "rows": rows,
        "gallery": rows[: min(_MAX_GALLERY, len(images))],
        "has_images": bool(images),
        "truth": truth,
        "known": known,
        "num_dropped": result.count(f"{key}.num_dropped"),
        "num_examples": result.count(f"{key}.num_examples"),
        "share": result.percent(f"{key}.share_dropped"),
        "threshold": result.text(f"{key}.threshold"),
        "num_wrong": result.count(f"{key}.num_dropped_wrong"),
        "num_sure": _optional_count(data, f"{key}.num_surely_bad"),
        "num_sure_wrong": _optional_count(data, f"{key}.num_surely_bad_wrong"),
        "mean_wrong": result.number(f"{key}.mean_probability_wrong", digits=2),
        "mean_right": result.number(f"{key}.mean_probability_right", digits=2),
        "auc": result.number(f"{key}.feature_auc", digits=3),
        "has_csv": data.has_csv,
        "refused": result[f"{data.seed}.recommendation"] == "uniform",
        "seed": _seed_of_many(data),
    }


def _optional_count(data: RunData, key: str) -> Quantity | None:
    """Give a count that runs of earlier versions do not have."""
    try:
        return None if data.result[key] is None else data.result.count(key)
    except KeyError:
        return None


def _dropped_rows(data: RunData, key: str, images: list[str]) -> Iterator[dict[str, Any]]:
    result = data.result
    for i, example in enumerate(result[key]):
        yield {
            "place": i + 1,
            "image": images[i] if i < len(images) else None,
            "name": example["identifier"],
            "label": example["label"],
            "prediction": example["prediction"],
            "clean": example["clean_label"],
            "wrong": example["clean_label"] is not None and example["clean_label"] != example["label"],
            "loss": result.number(f"{key}.{i}.loss", digits=2),
            "entropy": result.number(f"{key}.{i}.renormed_entropy", digits=2),
            "draws": result.number(f"{key}.{i}.relative_probability", digits=3),
            "sure": example.get("surely_bad"),
        }


def _search(data: RunData) -> dict[str, Any]:
    result = data.result
    trials = result[f"{data.seed}.trials"]
    guards = []
    for i, one in enumerate(result["per_seed"]):
        guard = one["guard"]
        key = f"per_seed.{i}.guard"
        difference = None
        if guard["difference"] is not None:
            difference = result.with_error(f"{key}.difference", f"{key}.se", signed=True)
        guards.append({
            "seed": one["seed"],
            "kind": _GUARD_WORDS.get(guard["kind"], guard["kind"]),
            "verdict": "not checked" if guard["kind"] == "none" else _VERDICTS[guard["accepted"]],
            "difference": difference,
            "reason": guard["reason"],
        })  # fmt: skip
    return {
        "figure": search_figure(trials),
        "num_trials": len(trials),
        "failed": sum(trial["status"] != "done" for trial in trials),
        "guards": guards,
        "proxy": result["settings.proxy"],
        "rounds": max(trial["round"] for trial in trials),
        "trials": _trial_rows(data),
    }


def _trial_rows(data: RunData) -> list[dict[str, Any]]:
    result, rows = data.result, []
    for i, trial in enumerate(result[f"{data.seed}.trials"]):
        key, done = f"{data.seed}.trials.{i}", trial["status"] == "done"
        rows.append({
            "number": trial["number"],
            "round": trial["round"],
            "kind": trial["kind"] + ("" if trial["cut"] is None or i == 0 else f" at {trial['cut']:g}"),
            "status": trial["status"],
            "score": result.percent(f"{key}.score") if done else None,
            "error": result.error(f"{key}.standard_error") if done else None,
            "mean": result.percent(f"{key}.posterior_mean") if done else None,
            "effective": result.count(f"{key}.num_effective"),
            "epochs": result.number(f"{key}.epochs"),
        })  # fmt: skip
    return rows


_CERTIFICATE_ROWS = (
    "verdict",
    "value",
    "gradient_norm",
    "curvature",
    "lower_bound",
    "margin",
    "method",
    "num_hvps",
)


def _ending(data: RunData) -> dict[str, Any] | None:
    after = data.afterwards
    if after["ending"] is None:
        return None
    rows = [
        (name.replace("_", " "), *(after.text(f"ending.{point}.{name}") for point in ("trained", "settled")))
        for name in _CERTIFICATE_ROWS
    ]
    return {"sentences": ending_sentences(after), "rows": rows, "figures": _figures(after["ending.figures"])}


def _shrinking(data: RunData) -> dict[str, Any] | None:
    after = data.afterwards
    if after["shrinking"] is None:
        return None
    chosen = after["shrinking.chosen"]
    rungs = [
        {
            "share": after.percent(f"shrinking.rungs.{i}.share", digits=0),
            "widths": after.text(f"shrinking.rungs.{i}.widths"),
            "count": after.count(f"shrinking.rungs.{i}.num_parameters"),
            "error": after.percent(f"shrinking.rungs.{i}.output_error_relative"),
            "validation": after.percent(f"shrinking.rungs.{i}.validation"),
            "agreement": after.percent(f"shrinking.rungs.{i}.agreement"),
            "chosen": rung == chosen,
        }
        for i, rung in enumerate(after["shrinking.rungs"])
    ]
    return {
        "sentences": shrinking_sentences(after),
        "rungs": rungs,
        "figures": _figures([after["shrinking.chart"]]),
    }


def _figures(stored: list[dict[str, Any] | None]) -> list[tuple[Markup, str, str]]:
    figures = [figure_from_dict(one) for one in stored if one is not None]
    return [(draw_figure(figure), figure.title, figure.note) for figure in figures]


def _origin(data: RunData) -> dict[str, Any]:
    return {
        "command": data.result["command"],
        "groups": provenance(data.result),
        "caveats": caveats(data.result),
    }


# In the order of the page. A section that has nothing to say for a run gives None and is left out, such as
# "where training ended" for runs that were not looked at afterwards.
SECTIONS = (
    Section("comparison", "What it bought", "Comparison", _comparison),
    Section("policy", "How often an example is drawn", "Policy", _policy),
    Section("dropped", "The examples it leaves out", "Left out", _dropped),
    Section("search", "The search", "Search", _search),
    Section("ending", "Where training ended", "Ending", _ending),
    Section("shrinking", "How small it gets", "Size", _shrinking),
    Section("origin", "How this was made", "Origin", _origin),
)
