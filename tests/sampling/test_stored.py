from __future__ import annotations

from pathlib import Path

import pytest

from localmin.errors import RunFolderError
from localmin.sampling import load_result


def test_folders_without_a_finished_search_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match="is not there"):
        load_result(tmp_path / "missing")
    with pytest.raises(RunFolderError, match="holds no finished search"):
        load_result(tmp_path)
    (tmp_path / "result.json").write_text("{")
    with pytest.raises(RunFolderError, match="is not JSON"):
        load_result(tmp_path)
    (tmp_path / "result.json").write_text("{}")
    with pytest.raises(RunFolderError, match=r"policy\.json does not exist"):
        load_result(tmp_path)
