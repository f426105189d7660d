"""Search a sampler for a regression with 30 % outliers among its targets, and ask about one suspect.

Run: python examples/search_regression.py
"""

import tempfile

import localmin
from localmin.sampling import explain
from localmin.tasks import build_task, open_source

task = build_task(open_source("diabetes"), noise=0.3, seed=0)
with tempfile.TemporaryDirectory() as folder:
    result = localmin.search(task, preset="quick", seed=0, out=folder)
    suspect = result.drop_report.examples[0]
    explanation = explain(folder, suspect.index)

uniform, searched = result.arms["uniform"].test, result.arms["searched"].test
print(f"{task.metric}: uniform {uniform:.3f}, searched {searched:.3f}")
print(f"first suspect: target {suspect.label}, right {suspect.clean_label}, seen as {suspect.prediction}")
print(f"its loss is above that of {explanation.ranks['loss']:.0%} of the examples")

assert searched > uniform + 0.3
assert suspect.surely_bad
assert suspect.label != suspect.clean_label
assert explanation.draws == suspect.relative_probability
