from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

from localmin.errors import RunFolderError
from localmin.reports.run_data import load_run


def copy(run: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(run, tmp_path / "copy", ignore=shutil.ignore_patterns("stages")))


def test_policy_is_rebuilt_as_it_was_searched(seeds_run: Path) -> None:
    data = load_run(seeds_run)
    torch.testing.assert_close(data.space.weights(data.z), data.candidate_weights, rtol=1e-12, atol=1e-12)
    assert data.draws.mean() == pytest.approx(1)


def test_shown_seed_is_the_one_of_the_policy(seeds_run: Path, tmp_path: Path) -> None:
    folder = copy(seeds_run, tmp_path)
    content = json.loads((folder / "result.json").read_text())
    content["policy_seed"] = 4
    (folder / "result.json").write_text(json.dumps(content))
    assert load_run(folder).seed == "per_seed.2"


def test_folder_without_result_says_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match=r"holds no result\.json.*localmin search"):
        load_run(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[1]", "not the result of a search"),
        ('{"schema": 99, "per_seed": []}', "newer localmin"),
        ("{", "not JSON"),
        ('{"schema": 1, "per_seed": [], "data": "x"}', "lacks seeds, uniform, searched, gain"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "result.json").write_text(content)
    with pytest.raises(RunFolderError, match=message):
        load_run(tmp_path)


def test_missing_features_are_named(image_run: Path, tmp_path: Path) -> None:
    folder = copy(image_run, tmp_path)
    (folder / "features.safetensors").unlink()
    with pytest.raises(RunFolderError, match=r"features\.safetensors does not exist"):
        load_run(folder)


def test_result_that_lacks_a_part_is_refused(image_run: Path, tmp_path: Path) -> None:
    folder = copy(image_run, tmp_path)
    content = json.loads((folder / "result.json").read_text())
    del content["per_seed"][0]["candidate"]
    (folder / "result.json").write_text(json.dumps(content))
    with pytest.raises(RunFolderError, match="lacks 'candidate'"):
        load_run(folder)
