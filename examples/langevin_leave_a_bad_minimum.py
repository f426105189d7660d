"""Leave the shallow one of two wells under three dynamics, and compare the time with exact theory.

Potential: a sheet double well in two coordinates. The skew strength equals the slope of the valley floor, so
that the non-reversible exit has an exact answer too. Runs in a few seconds.
"""

import torch

from localmin.langevin import (
    Kernel,
    NonReversibleKernel,
    OverdampedKernel,
    PairwiseRotation,
    SheetDoubleWell,
    UnderdampedKernel,
    theory,
    transition_time,
)

BETA, SLOPE = 8.0, 1.0
well = SheetDoubleWell(stiffness=1.0, slope=SLOPE)
start = torch.tensor([-1.0, -SLOPE])
temperature = 1 / BETA

kernels: dict[str, Kernel] = {
    "overdamped": OverdampedKernel(0.05, temperature),
    "underdamped": UnderdampedKernel(0.3, friction=0.5, temperature=temperature),
    "non-reversible": NonReversibleKernel(0.05, PairwiseRotation(SLOPE), temperature),
}
results = {
    name: transition_time(
        kernel,
        well.gradient,
        start,
        threshold=1.0,
        num_chains=2000,
        generator=torch.Generator().manual_seed(0),
    )
    for name, kernel in kernels.items()
}

# With the strength equal to the slope, the first coordinate is the one-dimensional Euler chain.
exact = theory.euler_chain_first_passage_1d(lambda x: x**3 - x, BETA, -1.0, 1.0, 0.05, lower=-2.6)
minimum, saddle = [[2 + SLOPE**2, -SLOPE], [-SLOPE, 1.0]], [[-1 + SLOPE**2, -SLOPE], [-SLOPE, 1.0]]

for name, result in results.items():
    print(
        f"{name:15s} time {result.mean:6.1f} +- {result.standard_error:4.1f}"
        f"   gradients {result.mean_gradients:7.0f}"
    )
print(f"{'non-reversible':15s} exact {exact:5.1f}")

skewed, plain = results["non-reversible"], results["overdamped"]
assert abs(skewed.mean - exact) < 4.5 * skewed.standard_error
predicted = theory.saddle_rate(saddle, "nonreversible", skew=[[0, SLOPE], [-SLOPE, 0]])
predicted /= theory.saddle_rate(saddle, "overdamped")
assert abs(predicted - 1.618) < 1e-3
assert 1.3 < plain.mean / skewed.mean < 2.0
assert results["underdamped"].mean_gradients < skewed.mean_gradients < plain.mean_gradients
assert theory.eyring_kramers(minimum, saddle, 0.25, BETA, "overdamped") < plain.mean
