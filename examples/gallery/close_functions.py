"""Close functions whose parameters stay far apart: four examples, with exact distances."""

from localmin.charts import Figure
from localmin.experiments.realization.degeneracy import check
from localmin.reports.plots import write_svg


def draw(*, quick: bool = False) -> tuple[Figure, str]:
    """Run the experiment behind the claim `re-degenerate`."""
    found = check(seed=0, quick=quick)
    return found.figures[0], (
        "To the left the functions come together, and the distance to the nearest parameters of the other "
        "function does not shrink: no optimiser step of small size leads there."
    )


if __name__ == "__main__":
    write_svg(draw()[0], "close_functions.svg")
