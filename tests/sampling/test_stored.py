from __future__ import annotations

from pathlib import Path

import pytest

from localmin.errors import RunFolderError
from localmin.sampling import load_result, stored
from localmin.tasks.schemas import write_versioned


def test_folders_without_a_finished_search_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match="is not there"):
        load_result(tmp_path / "missing")
    with pytest.raises(RunFolderError, match="no finished search"):
        load_result(tmp_path)
    (tmp_path / "result.json").write_text("{")
    with pytest.raises(RunFolderError, match="is not JSON"):
        load_result(tmp_path)
    (tmp_path / "result.json").write_text("{}")
    with pytest.raises(RunFolderError, match="not the result of a search"):
        load_result(tmp_path)


def test_a_folder_that_lacks_the_policy_is_refused(tmp_path: Path) -> None:
    summary = dict.fromkeys((*stored._REQUIRED, "per_seed"))
    write_versioned(tmp_path / "result.json", "search", summary)
    with pytest.raises(RunFolderError, match=r"policy\.json does not exist"):
        load_result(tmp_path)
