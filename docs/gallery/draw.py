"""Draw every picture of the gallery and write its page.

    python docs/gallery/draw.py [NAME ...]

Each picture is made by the script of its name in examples/gallery, from a run of its own; names redraw only
these. The same machine gives the same bytes.
"""

from __future__ import annotations

import runpy
import sys
import time
from pathlib import Path
from typing import NamedTuple

from localmin.reports.plots import write_svg

HERE = Path(__file__).parent
SCRIPTS = HERE.parents[1] / "examples" / "gallery"
PAGE = HERE / "index.md"
SOURCE = "../../examples/gallery"


class Picture(NamedTuple):
    """A picture of the gallery: name of its script, heading, and where to read on."""

    name: str
    heading: str
    read_on: str


SECTIONS: tuple[tuple[str, tuple[Picture, ...]], ...] = (
    (
        "Which data",
        (
            Picture(
                "policy_curve",
                "What a search learns",
                "[How the search works](../concepts/swift_sampler.md), "
                "[tutorial on wrong labels](../tutorials/noisy_labels.md)",
            ),
            Picture(
                "suspects", "The suspects", "[Which examples are bad, and how sure](../howto/suspects.md)"
            ),
            Picture(
                "gap_and_cost",
                "What closes how much of the gap, at which cost",
                "[What to use when](../comparison.md)",
            ),
            Picture(
                "rare_classes",
                "Some classes are rare",
                "[Tutorial on rare classes](../tutorials/long_tail.md), "
                "[batches with fixed shares](../howto/sampler_batches.md)",
            ),
            Picture(
                "even_draws",
                "Drawing by weight, evenly",
                "[WeightedSampler](../howto/weighted_sampler.md)",
            ),
        ),
    ),
    (
        "Where training ended",
        (
            Picture(
                "saddle_line",
                "Out of a saddle along its witness",
                "[Certify a point](../howto/certify.md), [tutorial](../tutorials/where_training_ended.md)",
            ),
            Picture(
                "saddle_plane", "The loss around a saddle", "[What verdicts mean](../concepts/verdicts.md)"
            ),
            Picture(
                "spectrum", "The spectrum at the end", "[Objective and Hessian](../concepts/objective.md)"
            ),
            Picture(
                "flat_saddle",
                "A saddle that the Hessian does not show",
                "[Critical points](../concepts/critical_points.md), "
                "[deep linear networks](../methods/certification_deep_linear.md)",
            ),
        ),
    ),
    (
        "Out of a minimum",
        (
            Picture("exit_times", "How long a well holds", "[Langevin dynamics](../concepts/langevin.md)"),
            Picture(
                "occupation",
                "First the local minimum, then the global one",
                "[Langevin dynamics](../concepts/langevin.md)",
            ),
            Picture(
                "temperature",
                "What a finite step does to the temperature",
                "[Underdamped dynamics](../methods/langevin_underdamped.md), "
                "[conventions](../concepts/langevin_conventions.md)",
            ),
        ),
    ),
    (
        "Which function",
        (
            Picture(
                "normal_form", "Twelve neurons, five kinks", "[Compare networks](../howto/same_function.md)"
            ),
            Picture(
                "spike",
                "Large parameters, small function",
                "[Realizations](../concepts/realization.md)",
            ),
            Picture(
                "close_functions",
                "Close functions, far parameters",
                "[Inverse stability](../methods/realization_stability.md)",
            ),
        ),
    ),
    (
        "How small",
        (
            Picture(
                "neurons_kept", "The neurons that 20 digits need", "[Exact reduction](../howto/reduce.md)"
            ),
            Picture(
                "singular_values", "What passes through a layer", "[Reduction](../concepts/reduction.md)"
            ),
            Picture(
                "plateau",
                "From which width on nothing is gained",
                "[Tutorial on size](../tutorials/how_small.md), [reduction](../concepts/reduction.md)",
            ),
        ),
    ),
)

INTRODUCTION = """\
# Gallery

Pictures that localmin made of its own results. `make gallery` draws all of them again, in a few minutes;
`python examples/gallery/NAME.py` writes one into the current folder. Each script unfolds below its picture;
`localmin.reports.plots.write_svg` turns any chart of the package into such a file.
"""


def pictures() -> list[Picture]:
    """List all pictures in the order of the page."""
    return [picture for _, group in SECTIONS for picture in group]


def draw(picture: Picture, *, quick: bool = False, folder: Path = HERE) -> str:
    """Run a script and write its picture; give the sentence about it."""
    figure, sentence = runpy.run_path(str(SCRIPTS / f"{picture.name}.py"))["draw"](quick=quick)
    write_svg(figure, folder / f"{picture.name}.svg")
    return str(sentence)


def entry(picture: Picture, sentence: str) -> str:
    """Write the part of the page about one picture."""
    return f"""\
### {picture.heading}

![{picture.heading}]({picture.name}.svg)

{sentence}

Read on: {picture.read_on}.

<details><summary>examples/gallery/{picture.name}.py</summary>

```{{literalinclude}} {SOURCE}/{picture.name}.py
:language: python
```

</details>
"""


def page(sentences: dict[str, str]) -> str:
    """Write the whole page from the sentences of all pictures."""
    parts = [INTRODUCTION]
    for heading, group in SECTIONS:
        parts.append(f"## {heading}\n")
        parts += [entry(picture, sentences[picture.name]) for picture in group]
    return "\n".join(parts)


def written_sentences() -> dict[str, str]:
    """Read the sentences of the page as it stands, so that one picture can be drawn anew alone."""
    text = PAGE.read_text(encoding="utf-8") if PAGE.exists() else ""
    found = {}
    for picture in pictures():
        mark = f"]({picture.name}.svg)\n\n"
        if mark in text:
            found[picture.name] = text.split(mark, 1)[1].split("\n\nRead on:", 1)[0]
    return found


def main(names: list[str]) -> None:
    """Draw what was asked for, and write the page."""
    known = {picture.name for picture in pictures()}
    if unknown := set(names) - known:
        sys.exit(f"no such picture: {', '.join(sorted(unknown))}; there are {', '.join(sorted(known))}")
    sentences = written_sentences()
    for picture in pictures():
        if names and picture.name not in names:
            continue
        began = time.perf_counter()
        sentences[picture.name] = draw(picture)
        print(f"{picture.name:20s} {time.perf_counter() - began:6.1f} s", flush=True)
    if missing := [picture.name for picture in pictures() if picture.name not in sentences]:
        sys.exit(f"the page needs all pictures; not drawn yet: {', '.join(missing)}")
    PAGE.write_text(page(sentences), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
