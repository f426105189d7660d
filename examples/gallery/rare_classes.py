"""A long tail after a short training: which classes are recognised when classes are drawn equally often."""

import torch
from torch import nn

import localmin
from localmin.charts import Chart, Series
from localmin.reports.plots import write_svg
from localmin.sampling import class_balanced_weights
from localmin.tasks import Task


def recall_of_classes(model: nn.Module, task: Task) -> list[float]:
    """Compute the share of each class of the test set that is recognised."""
    with torch.no_grad():
        found = model(task.prepare(task.test.inputs)).argmax(1)
    labels = task.test.labels
    return [float((found[labels == c] == c).double().mean()) for c in range(task.num_classes)]


def draw(*, quick: bool = False) -> tuple[Chart, str]:
    """Train for eight epochs on digits whose classes have 99 to 5 examples."""
    task = localmin.tasks.digits(imbalance=20, seed=0, epochs=2 if quick else 8)
    labels = task.train.labels
    uniform, before = localmin.train(task, seed=0)
    balanced, after = localmin.train(task, weights=class_balanced_weights(labels), seed=0)
    series = (
        Series("uniform", range(10), recall_of_classes(uniform, task), "bars", "muted"),
        Series("classes equally often", range(10), recall_of_classes(balanced, task), "bars", "accent"),
    )
    sentence = (
        "After eight epochs the rarest classes are not recognised at all, unless classes are drawn equally "
        f"often: balanced accuracy {before['scores']['test']:.2f} and {after['scores']['test']:.2f}."
    )
    return Chart(
        "rare-classes",
        "Share of each class that is recognised",
        "training examples of the class",
        "share recognised",
        series,
        categories=[str(count) for count in labels.bincount().tolist()],
        note=sentence,
    ), sentence


if __name__ == "__main__":
    write_svg(draw()[0], "rare_classes.svg")
