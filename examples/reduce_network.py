"""Shrink a trained network without changing what it says about the training data."""

import torch
from sklearn.datasets import load_digits

from localmin.reduction import certificate, reduce, replay, solve_shallow, train_regularized


def main() -> None:
    """Train on 20 digits, reduce, and check every claim."""
    digits = load_digits()
    inputs, labels = torch.tensor(digits.data / 16.0), torch.tensor(digits.target)
    x, y = inputs[:20], torch.eye(10, dtype=torch.float64)[labels[:20]]

    wide, _ = train_regularized(x, y, [200, 200], 1e-3, num_adam_steps=300, max_lbfgs_steps=50)
    model = wide.to_module()

    small = reduce(model, x, held_out_points=inputs[20:520])
    print(f"widths {small.widths_before} -> {small.widths_after}")
    print(f"squared norm {small.norm_before:.3f} -> {small.norm_after:.3f}")
    print(f"largest output change {small.max_output_change:.1e}, drift elsewhere {small.drift_relative:.1%}")

    assert small.max_output_change_relative <= 1e-10
    assert small.norm_after <= small.norm_before
    assert all(n <= bound for n, bound in zip(small.widths_after[1:-1], small.bounds, strict=True))
    assert small.widths_after[2] <= 155  # 20 points, 10 outputs: 10 * 20 - 45
    assert small.recheck(model, x).holds
    again = replay(model, x, small.steps)
    assert torch.equal(again(x), small.network(x))

    # Labels are not needed to keep the outputs on further points.
    careful = reduce(model, x, extra_points=inputs[20:60], held_out_points=inputs[60:520])
    assert careful.drift_relative is not None
    assert small.drift_relative is not None
    assert careful.drift_relative < small.drift_relative

    # With two layers even the global optimum can be found and proved.
    points = torch.tensor([[1.0, 0.2], [-0.5, 1.0], [0.3, -1.0], [-1.0, -0.4]]).double()
    targets = torch.tensor([[1.0], [-1.0], [0.5], [2.0]]).double()
    best = solve_shallow(points, targets, 0.01)
    assert best.gap_relative < 1e-6
    proof = certificate(
        best.network,
        points,
        lambda out: (out - targets).square().sum() / 4,
        penalty=0.01,
        tolerance_relative=1e-4,
    )
    assert (proof.scope, proof.layers[0].verdict) == ("global", "proved")
    print(f"global optimum {best.value:.9f}, proved to {best.gap_relative:.0e}")


if __name__ == "__main__":
    main()
