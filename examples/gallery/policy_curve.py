"""What a search learnt: how often an example is drawn, over the place of its loss among all losses."""

import tempfile
from pathlib import Path

from markupsafe import Markup

import localmin
from localmin.reports.plots import curve_figure, write_svg
from localmin.reports.run_data import load_run


def draw(*, quick: bool = False) -> tuple[Markup, str]:
    """Search a sampler for digits with 40 % wrong labels."""
    task = localmin.tasks.digits(noise=0.4, seed=0, epochs=4 if quick else None)
    with tempfile.TemporaryDirectory() as folder:
        result = localmin.search(task, preset="quick", seed=0, out=folder)
        picture = curve_figure(load_run(Path(folder)))
    uniform, searched = result.arms["uniform"].test, result.arms["searched"].test
    return picture, (
        f"Examples with a high loss are no longer drawn; they are mostly those with wrong labels, which the "
        f"search was not told. Test accuracy: {uniform:.1%} uniform, {searched:.1%} searched."
    )


if __name__ == "__main__":
    write_svg(draw()[0], "policy_curve.svg")
