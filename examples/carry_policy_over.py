"""Find a policy with a narrow network, and use its ten numbers on a wide one without a new search.

Run: python examples/carry_policy_over.py
"""

from dataclasses import replace
from functools import partial

import localmin
from localmin.tasks.models import build_mlp

wide = localmin.tasks.digits(noise=0.4, seed=0)
narrow = replace(wide, model=partial(build_mlp, 64, 10, widths=(64, 64)))

found = localmin.search(narrow, preset="quick", seed=0)
_, uniform = localmin.train(wide, seed=0)
_, carried = localmin.train(wide, policy=found.policy, seed=0)

before, after = uniform["scores"]["test"], carried["scores"]["test"]
print(f"searched on the narrow network for {found.cost.ratio:.2f} of its trainings")
print(f"wide network, test accuracy: uniform {before:.3f}, carried policy {after:.3f}")

assert after > before + 0.03
