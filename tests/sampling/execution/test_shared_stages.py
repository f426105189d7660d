"""Launchers that share a search, in SQLite and in a real PostgreSQL."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy
import torch

from localmin.errors import InputError, MissingDependencyError, RunFolderError, WorkerError
from localmin.sampling import SearchSettings, search
from localmin.sampling.execution import Database, InProcess, SharedStages, Stages
from localmin.tasks import Task
from localmin.tasks.run_folder import RunFolder, Stage

MakeTask = Callable[..., Task]

SMALL = SearchSettings(cuts=(1.2, 0.8, 0.7, 0.5), steps=2, rounds=1, top=2)
STAGE: Stage = ({"x": 0.1, "list": [1, None]}, {"t": torch.arange(5.0)})
OTHER: Stage = ({"x": 0.2}, {})


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path_factory.mktemp('shared') / 'stages.db'}"
        return
    yield request.getfixturevalue("postgres")


@pytest.fixture
def join(url: str, request: pytest.FixtureRequest) -> Iterator[Callable[..., SharedStages]]:
    opened: list[SharedStages] = []

    def open_as(owner: str, *, lease: float = 60.0) -> SharedStages:
        opened.append(SharedStages(Database(url, lease=lease), study=request.node.name[:60], owner=owner))
        return opened[-1]

    yield open_as
    for shared in opened:
        shared.close()


def end_connections(url: str) -> int:
    """Do what an administrator or a broken network does to everybody."""
    engine = sqlalchemy.create_engine(Database(url).parsed())
    with engine.begin() as connection:
        query = (
            "select pg_terminate_backend(pid) from pg_stat_activity "
            "where pid <> pg_backend_pid() and datname is not null"
        )
        count = len(connection.execute(sqlalchemy.text(query)).all())
    engine.dispose()
    return count


def test_one_of_many_may_compute_a_stage(join: Callable[..., SharedStages]) -> None:
    launchers = [join(f"launcher {k}") for k in range(4)]
    won: list[str] = []

    def race(shared: SharedStages) -> None:
        won.extend(shared.owner for k in range(5) if shared.claim(f"stage-{k}"))

    threads = [threading.Thread(target=race, args=(shared,)) for shared in launchers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 5
    assert launchers[0].finished(["stage-0"]) == {}


def test_what_is_published_first_counts(join: Callable[..., SharedStages]) -> None:
    first, second = join("a"), join("b")
    assert first.claim("s")
    assert not second.claim("s")
    content, tensors = first.publish("s", STAGE)
    assert content == STAGE[0]
    assert torch.equal(tensors["t"], STAGE[1]["t"])
    assert second.publish("s", OTHER)[0] == STAGE[0]
    assert not second.claim("s")
    assert not first.claim("s")
    assert second.finished(["s", "never"])["s"][0] == STAGE[0]
    # without a claim, too
    assert second.publish("t", OTHER)[0] == OTHER[0]
    assert first.publish("t", STAGE)[0] == OTHER[0]


def test_a_claim_is_given_back_taken_up_again_or_taken_over(join: Callable[..., SharedStages]) -> None:
    first, second = join("a", lease=0.4), join("b", lease=0.4)
    assert first.claim("s")
    # started again under its name, a launcher goes on at once
    again = join("a", lease=0.4)
    assert again.claim("s")
    first.close()
    assert second.claim("s")
    second.publish("s", STAGE)
    # a launcher that lives keeps what it has, however long it takes
    assert again.claim("t")
    until = time.monotonic() + 1.5
    while time.monotonic() < until:
        assert not second.claim("t")
        time.sleep(0.05)
    # one that stands still does not
    again._is_closed.set()
    until = time.monotonic() + 10
    while not second.claim("t"):
        assert time.monotonic() < until
        time.sleep(0.05)


def test_a_study_does_not_see_another(url: str) -> None:
    one, other = (SharedStages(Database(url), study=name, owner=name) for name in ("one", "other"))
    assert one.claim("s")
    assert other.claim("s")
    one.publish("s", STAGE)
    assert other.finished(["s"]) == {}
    one.close()
    other.close()


def described(result: Any) -> dict[str, Any]:
    content = result.to_dict()
    del content["cost"]["seconds"]
    return dict(content)


def count_trials(url: str, task: str) -> list[int]:
    import optuna

    address = Database(url).parsed().render_as_string(hide_password=False)
    storage = optuna.storages.RDBStorage(address)
    studies = [s for s in optuna.get_all_study_names(storage) if s.startswith(task)]
    assert len(studies) == 1
    study = optuna.load_study(study_name=studies[0], storage=storage)
    return sorted(trial.user_attrs["number"] for trial in study.get_trials())


def test_launchers_divide_a_search_and_agree(make_task: MakeTask, url: str, tmp_path: Path) -> None:
    task = make_task(noise=0.3, name="divided")
    whole = described(search(task, settings=SMALL))
    trained: list[str] = []
    found: list[dict[str, Any]] = []

    class Telling(InProcess):
        def collect(self, timeout: float | None = None) -> Any:
            done = super().collect(timeout)
            trained.extend(name for name, _ in done)
            return done

    def launch(name: str) -> None:
        out = tmp_path / name
        found.append(described(search(task, settings=SMALL, storage=url, out=out, executor=Telling())))

    threads = [threading.Thread(target=launch, args=(name,)) for name in ("a", "b")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [whole, whole]
    # every trial was trained by one of them
    once = [f"trial-{number:03d}" for number in range(6)]
    assert sorted(name for name in trained if name.startswith("trial")) == once
    assert count_trials(url, "divided") == list(range(6))
    # and again, when all is there: nothing is trained
    trained.clear()
    launch("c")
    assert found[-1] == whole
    assert trained == []
    assert count_trials(url, "divided") == list(range(6))


def test_a_folder_whose_stages_differ_is_refused(url: str, tmp_path: Path) -> None:
    shared = SharedStages(Database(url), study="differs", owner="a")
    with RunFolder(tmp_path / "one", {}) as one, RunFolder(tmp_path / "two", {}) as two:
        one.keep("s", STAGE)
        assert Stages(one, InProcess(), shared).once("s", lambda: OTHER)[0] == STAGE[0]
        two.keep("s", OTHER)
        with pytest.raises(RunFolderError, match="two holds a s that differs from the shared one"):
            Stages(two, InProcess(), shared).once("s", lambda: OTHER)
        # what need not agree is each launcher's own
        assert Stages(two, InProcess(), shared).once("s", lambda: OTHER, is_shared=False) == OTHER
    shared.close()


def test_a_search_outlives_connections_that_are_ended(make_task: MakeTask, url: str, tmp_path: Path) -> None:
    if url.startswith("sqlite"):
        pytest.skip("SQLite has no connections that somebody could end")
    task = make_task(noise=0.3, name="ended")
    ended: list[int] = []

    class Interrupting(InProcess):
        def collect(self, timeout: float | None = None) -> Any:
            done = super().collect(timeout)
            ended.append(end_connections(url))
            return done

    result = search(task, settings=SMALL, storage=url, out=tmp_path, executor=Interrupting())
    assert sum(ended) >= 6
    assert described(result) == described(search(task, settings=SMALL))
    assert count_trials(url, "ended") == list(range(6))


def test_patience_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"sqlite:///{tmp_path / 'x.db'}"
    shared = SharedStages(Database(url, patience=0.1), study="s", owner="a")

    def lost(work: Any) -> Any:
        raise sqlalchemy.exc.OperationalError("select", {}, Exception("server closed the connection"))

    monkeypatch.setattr(shared, "_once", lost)
    with pytest.raises(WorkerError, match=r"not answered for 0 s \(server closed the connection\); repeat"):
        shared.claim("s")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("trials.log", "expects a database URL"),
        ("postgresql://user@host:port/name", "cannot be read"),
        ("nonsense://host/name", "nonsense is no kind of database"),
        ("sqlite:////no/such/folder/x.db", "cannot be used .unable to open database file"),
    ],
)
def test_wrong_urls_are_refused(text: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        SharedStages(Database(text), study="s", owner="a")


def test_a_missing_driver_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(MissingDependencyError, match=r"the driver of mysql\+pymysql is not installed"):
        SharedStages(Database("mysql+pymysql://u:secret@h/d"), study="s", owner="a")
    assert Database("postgresql://u:secret@h/d").without_password() == "postgresql+psycopg://u:***@h/d"
