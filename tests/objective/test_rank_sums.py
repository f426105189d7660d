"""Two processes with half of the data each against one with all of it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from localmin.certification import certify
from localmin.errors import InputError
from localmin.objective import Objective

PROGRAM = """
import json, sys, torch
import torch.distributed as dist
sys.path.insert(0, sys.argv[3])
from test_rank_sums import figures, objective_of
rank, port = int(sys.argv[1]), sys.argv[2]
dist.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=2)
print(json.dumps(figures(objective_of(slice(rank, None, 2), distributed=True, shift=float(rank)))))
dist.destroy_process_group()
"""


def objective_of(rows: slice, *, distributed: bool = False, shift: float = 0.0) -> Objective:
    generator = torch.Generator().manual_seed(3)
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator, dtype=torch.float64) + shift)
    x = torch.randn(13, 3, generator=generator, dtype=torch.float64)
    y = torch.randint(0, 2, (13,), generator=generator)
    return Objective(
        model, F.cross_entropy, (x[rows], y[rows]), weight_decay=0.2, batch_size=4, distributed=distributed
    )


def figures(objective: Objective) -> dict[str, object]:
    vector = torch.linspace(-1.0, 1.0, objective.num_parameters, dtype=torch.float64)
    certificate = certify(objective, gradient_tolerance=10.0, seed=1)
    return {
        "examples": objective.num_examples,
        "value": objective.value(),
        "gradient": objective.gradient().tolist(),
        "product": objective.hvp(vector).tolist(),
        "gauss_newton": objective.gauss_newton_products(vector).tolist(),
        "noise": objective.curvature_standard_error(vector),
        "verdict": certificate.verdict,
        "curvature": certificate.curvature,
        "holds": certificate.recheck(objective).holds,
    }


def test_ranks_with_parts_of_the_data_agree_with_the_whole() -> None:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    here = str(Path(__file__).parent)
    ranks = [
        subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(rank), port, here], stdout=subprocess.PIPE, text=True
        )
        for rank in range(2)
    ]
    found = [json.loads(rank.communicate(timeout=300)[0]) for rank in ranks]
    assert found[0] == found[1]
    whole = figures(objective_of(slice(None)))
    assert found[0]["examples"] == 13
    for name, value in whole.items():
        if isinstance(value, (str, bool)):
            assert found[0][name] == value
        else:
            assert found[0][name] == pytest.approx(value, rel=1e-6 if name == "noise" else 1e-9)


def test_ranks_without_a_process_group_are_refused() -> None:
    with pytest.raises(InputError, match="torchrun"):
        objective_of(slice(None), distributed=True)
