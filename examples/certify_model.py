"""Certify a stuck network, leave the saddle, and check every claim again.

Run: python examples/certify_model.py
"""

import torch
from torch import nn

from localmin.certification import certify, classify_deep_linear, escape, settle
from localmin.objective import Objective

torch.manual_seed(0)
x = torch.randn(60, 2, dtype=torch.float64)
y = torch.sin(2.0 * x[:, :1]) * x[:, 1:]
y = y - y.mean()

# All weights zero: the gradient vanishes, so no descent moves, whatever its step.
model = nn.Sequential(nn.Linear(2, 6), nn.Tanh(), nn.Linear(6, 1)).double()
for parameter in model.parameters():
    nn.init.zeros_(parameter)
objective = Objective(model, nn.functional.mse_loss, (x, y), weight_decay=1e-3)

certificate = certify(objective)
print(f"start:   {certificate.verdict}; {certificate.reason}")
check = certificate.recheck(objective)
print(f"recheck: curvature {check.curvature:.3g}, the loss falls by {check.decrease:.3g}")
assert certificate.verdict == "strict-saddle"
assert check.holds

lower = escape(objective, certificate)
assert lower.value_after < lower.value_before

settled = settle(objective, max_rounds=8)
final = settled.certificate
print(f"end:     {final.verdict}; {final.reason}")
print(f"loss {objective.value():.4f} -> {settled.objective.value():.4f} in {len(settled.escapes)} escapes")
assert settled.objective.value() < 0.5 * objective.value()
assert final.verdict != "strict-saddle" or len(settled.certificates) == 8

# A certificate of one point says nothing about another.
assert not certificate.recheck(settled.objective).holds

# A saddle whose Hessian shows nothing: three linear layers at zero.
eye = torch.eye(2, dtype=torch.float64)
target = torch.diag(torch.tensor([3.0, 1.0], dtype=torch.float64))
origin = classify_deep_linear([0 * eye] * 3, eye, target)
print(f"three linear layers at zero: {origin.verdict}")
assert origin.verdict == "non-strict-saddle"
assert origin.recheck([0 * eye] * 3, eye, target).holds
