"""Run the script of a how-to page on two gloo ranks, then checks of our own in the same processes."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

HOWTO = Path(__file__).parents[2] / "docs" / "howto"
REPORT = """
import json as _json, os as _os
with open(f"report-{_os.environ.get('RANK', '0')}.json", "w") as _file:
    _json.dump(report, _file)
"""
RunOnRanks = Callable[..., list[dict[str, Any]]]


def script_of(page: str) -> str:
    """Take the script that a page calls train.py."""
    blocks = re.findall(r"^```python\n(.*?)^```$", (HOWTO / page).read_text(), re.MULTILINE | re.DOTALL)
    (script,) = [block for block in blocks if block.startswith("# train.py")]
    return str(script)


@pytest.fixture
def run_on_ranks(tmp_path: Path) -> RunOnRanks:
    """Run a page's script, followed by code that fills ``report``, under torchrun; give the reports."""

    def run(page: str, checks: str, num_ranks: int = 2) -> list[dict[str, Any]]:
        (tmp_path / "train.py").write_text(f"{script_of(page)}\nreport = {{}}\n{checks}\n{REPORT}")
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
        finished = subprocess.run(
            [*command, "--nproc-per-node", str(num_ranks), "train.py"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=300,
            env={**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"},
            check=False,
        )
        assert finished.returncode == 0, finished.stdout[-4000:] + finished.stderr[-6000:]
        return [json.loads((tmp_path / f"report-{rank}.json").read_text()) for rank in range(num_ranks)]

    return run
