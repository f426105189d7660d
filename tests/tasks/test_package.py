from __future__ import annotations

import subprocess
import sys

import localmin.tasks


def test_importing_the_package_loads_no_library_that_only_some_files_need() -> None:
    code = "import sys, localmin.tasks; print([m for m in ('PIL', 'pyarrow', 'sklearn') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_public_name_is_there() -> None:
    assert all(hasattr(localmin.tasks, name) for name in localmin.tasks.__all__)
    assert len(set(localmin.tasks.__all__)) == len(localmin.tasks.__all__)
