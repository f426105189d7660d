from __future__ import annotations

import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from localmin.errors import InputError
from localmin.tasks import is_factory, load_model_factory, load_task_factory, open_task

TASKS = """
from dataclasses import dataclass
import localmin.tasks as tasks

@dataclass
class Settings:
    noise: float = 0.3

def make(seed=0):
    return tasks.digits(seed=seed, noise=Settings().noise)

def plain():
    return tasks.digits(seed=7)

def keyword(*, seed):
    return tasks.digits(seed=seed)

def wrong_type():
    return [1, 2]

def two(a, b):
    return a

def fails():
    values = {}
    return values["missing"]

def bad_option():
    return tasks.digits(noise=3.0)

def leaves():
    raise SystemExit(3)

NUMBER = 3
"""

MODELS = """
import torch
from torch import nn

def nothing():
    return nn.Linear(6, 4)

def named(num_classes, input_shape):
    return nn.Linear(input_shape[0], num_classes)

def other_names(shape, classes):
    return nn.Linear(shape[0], classes)

def by_place(input_shape, num_classes, /):
    return nn.Linear(input_shape[0], num_classes)

def classes_only(num_classes=2):
    return nn.Linear(6, num_classes)

class Net(nn.Module):
    def __init__(self, input_shape, num_classes, width=8):
        super().__init__()
        first, last = nn.Linear(input_shape[0], width), nn.Linear(width, num_classes)
        self.layers = nn.Sequential(first, nn.Dropout(), last)

    def forward(self, x):
        return self.layers(x)

def three(a, b, c):
    return nn.Linear(6, 4)

def no_module():
    return lambda x: x

def too_many():
    return nn.Linear(6, 9)

def wrong_inputs():
    return nn.Linear(5, 4)

def tuple_outputs():
    class Two(nn.Module):
        def forward(self, x):
            return x, x
    return Two()
"""


@pytest.fixture
def tasks(tmp_path: Path) -> Path:
    file = tmp_path / "my tasks.py"
    file.write_text(TASKS)
    return file


@pytest.fixture
def models(tmp_path: Path) -> Path:
    file = tmp_path / "models.py"
    file.write_text(MODELS)
    return file


@pytest.mark.parametrize("name", ["make", "keyword"])
def test_the_seed_is_passed_on_where_it_is_taken(tasks: Path, name: str) -> None:
    for seed in (1, 4):
        assert open_task(f"{tasks}:{name}", seed=seed).provenance["seed"] == seed
    assert load_task_factory(f"{tasks}:{name}")().provenance["seed"] == 0


def test_a_factory_without_a_seed_is_called_without(tasks: Path) -> None:
    assert open_task(f"{tasks}:plain", seed=3).provenance["seed"] == 7


def test_a_factory_can_be_sent_to_another_process(tasks: Path) -> None:
    factory = load_task_factory(f"{tasks}:make")
    stored = tasks.parent / "factory.pickle"
    stored.write_bytes(pickle.dumps(factory))
    code = (
        f"import pickle, pathlib; f = pickle.loads(pathlib.Path({str(stored)!r}).read_bytes());"
        "print(f(seed=5).provenance['seed'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "5"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("wrong_type", "must give a localmin Task, it gave list"),
        ("two", r"takes \(a, b\); a factory takes nothing or seed"),
        ("fails", r"my tasks\.py, line 26: failed in fails: KeyError: 'missing'"),
        ("bad_option", r"line 29: failed in bad_option: the noise rate must lie in \[0, 1\], got 3.0"),
        ("leaves", r"line 32: failed in leaves: SystemExit: 3"),
        ("NUMBER", "is int, not a function"),
        ("missing", "has no 'missing'; it defines Settings, make, plain, keyword,"),
    ],
)
def test_what_goes_wrong_in_a_task_factory_is_one_line(tasks: Path, name: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as error:
        open_task(f"{tasks}:{name}")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("x = 1\n\ndef broken(:\n", r"bad\.py, line 3: cannot be run: SyntaxError"),
        (
            "import os\nimport not_installed_anywhere\n",
            r"bad\.py, line 2: cannot be run: ModuleNotFoundError",
        ),
        ("def f():\n    return 1 / 0\nf()\n", r"bad\.py, line 2: cannot be run: ZeroDivisionError"),
        ("raise ValueError('first\\nsecond')\n", "ValueError: first$"),
        ("import sys\nsys.exit(1)\n", r"line 2: cannot be run: SystemExit"),
    ],
)
def test_a_file_that_cannot_be_run_is_one_line(tmp_path: Path, content: str, message: str) -> None:
    file = tmp_path / "bad.py"
    file.write_text(content)
    before = set(sys.modules)
    with pytest.raises(InputError, match=message) as error:
        load_task_factory(f"{file}:make")
    assert "\n" not in str(error.value)
    assert not [name for name in set(sys.modules) - before if name.startswith("localmin_file")]


@pytest.mark.parametrize(
    "spec", ["file.py", "file.py:", "file.py:a b", "file.txt:make", ":make", "file.py:1x"]
)
def test_a_text_of_another_form_is_refused(spec: str) -> None:
    with pytest.raises(InputError, match="not of the form"):
        load_task_factory(spec)


def test_a_missing_file_is_named() -> None:
    with pytest.raises(InputError, match=r"nowhere/a\.py does not exist"):
        load_task_factory("nowhere/a.py:make")


@pytest.mark.parametrize(
    ("text", "expected"),
    [("a/b.py:f", True), ("C:\\x\\b.py:f", True), ("b.py:", True), ("b.py", False), ("x.parquet", False)],
)
def test_the_form_is_recognised(text: str, expected: bool) -> None:
    assert is_factory(text) is expected


def test_neighbours_can_be_imported_and_nothing_is_written_or_left(tmp_path: Path) -> None:
    (tmp_path / "localmin_test_neighbour.py").write_text("SEED = 11\n")
    file = tmp_path / "task.py"
    file.write_text(
        "import localmin.tasks\nfrom localmin_test_neighbour import SEED\n"
        "def make():\n    from localmin_test_neighbour import SEED as again\n"
        "    return localmin.tasks.digits(seed=again)\n"
    )
    search_path, bytecode = list(sys.path), sys.dont_write_bytecode
    assert open_task(f"{file}:make").provenance["seed"] == 11
    assert sorted(os.listdir(tmp_path)) == ["localmin_test_neighbour.py", "task.py"]
    assert sys.path == search_path
    assert sys.dont_write_bytecode is bytecode
    del sys.modules["localmin_test_neighbour"]


def test_a_file_runs_once_until_it_changes(tmp_path: Path) -> None:
    file = tmp_path / "counts.py"
    content = (
        "import pathlib\nlog = pathlib.Path(__file__).with_suffix('.log')\n"
        "log.write_text((log.read_text() if log.exists() else '') + 'x')\n"
        "import localmin.tasks\nmake = localmin.tasks.digits\n"
    )
    file.write_text(content)
    for _ in range(3):
        open_task(f"{file}:make", seed=1)
    assert (tmp_path / "counts.log").read_text() == "x"
    file.write_text(content + "# changed\n")
    open_task(f"{file}:make", seed=1)
    assert (tmp_path / "counts.log").read_text() == "xx"


@pytest.mark.parametrize("name", ["nothing", "named", "other_names", "by_place", "classes_only", "Net"])
def test_a_network_may_take_nothing_the_classes_or_shape_and_classes(models: Path, name: str) -> None:
    before = torch.random.get_rng_state()
    factory = load_model_factory(f"{models}:{name}", (6,), 4)
    assert torch.equal(torch.random.get_rng_state(), before)
    network = factory()
    assert isinstance(network, nn.Module)
    assert network(torch.zeros(3, 6)).shape == (3, 4)
    assert network is not factory()
    assert pickle.loads(pickle.dumps(factory)) == factory


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "three",
            r"takes \(a, b, c\); a factory takes nothing, num_classes, or \(input_shape, num_classes\)",
        ),
        ("no_module", "must give a torch.nn.Module, it gave function"),
        ("too_many", r"to \(2, 9\); expected logits of shape \(2, 4\)"),
        ("wrong_inputs", "failed in wrong_inputs: RuntimeError: mat1 and mat2"),
        ("tuple_outputs", "to tuple; expected logits"),
    ],
)
def test_a_network_that_does_not_fit_is_one_line(models: Path, name: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as error:
        load_model_factory(f"{models}:{name}", (6,), 4)
    assert "\n" not in str(error.value)


def test_an_image_network_is_tried_on_images(models: Path) -> None:
    with pytest.raises(InputError, match=r"shape \(3, 8, 8\)|mat1"):
        load_model_factory(f"{models}:nothing", (3, 8, 8), 4)


def test_a_file_that_disappears_is_one_line(models: Path) -> None:
    factory = load_model_factory(f"{models}:nothing", (6,), 4)
    models.unlink()
    with pytest.raises(InputError, match="cannot be read"):
        factory()
