"""Suspects: the examples that the searched sampler leaves out, surest first."""

from markupsafe import Markup

import localmin
from localmin.reports.plots import image_sheet, write_svg


def draw(*, quick: bool = False) -> tuple[Markup, str]:
    """Show what a search on digits with 20 % wrong labels leaves out."""
    task = localmin.tasks.digits(noise=0.2, seed=0, epochs=12 if quick else None)
    report = localmin.search(task, preset="quick", seed=0).drop_report
    suspects = report.examples[:24]
    pixels = task.train.inputs[[example.index for example in suspects]].reshape(-1, 1, 8, 8)
    wrong = sum(example.label != example.clean_label for example in suspects)
    sentence = (
        f"The first {len(suspects)} of {report.num_dropped} examples left out, with the label that was given "
        f"and the class that the network sees; {wrong} of these {len(suspects)} labels are truly wrong."
    )
    captions = [(f"given {example.label}", f"seen as {example.prediction}") for example in suspects]
    return image_sheet((255 - 15.9 * pixels).byte(), captions, title="Suspects", note=sentence), sentence


if __name__ == "__main__":
    write_svg(draw()[0], "suspects.svg")
