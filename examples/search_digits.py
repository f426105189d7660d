"""Search a sampler for digits with 40 % wrong labels, and check that it found them.

Run: python examples/search_digits.py
"""

import localmin

task = localmin.tasks.digits(noise=0.4, seed=0)
result = localmin.search(task, preset="quick", seed=0)

uniform, searched, oracle = (result.arms[name].test for name in ("uniform", "searched", "oracle"))
print(f"uniform {uniform:.3f}, searched {searched:.3f}, right labels only {oracle:.3f}")
print(f"search cost {result.cost.ratio:.2f} trainings; {result.recommendation} is recommended")

report = result.drop_report
print(f"{report.num_dropped} examples are dropped, {report.num_dropped_wrong} of them wrongly labelled")

assert result.recommendation == "searched"
assert searched > uniform + 0.03
assert report.num_dropped_wrong is not None
assert report.num_dropped_wrong > 0.9 * report.num_dropped
