"""Stages in a database, so that searches on several machines divide one search among them.

Whoever is to compute a stage claims it first, by inserting its row: the primary key lets one through. A claim
is kept alive by a counter that its owner raises; whoever sees the counter stand still for the length of a
lease, by a clock of its own, takes the claim over. The first result that is written is the one that counts.
"""

from __future__ import annotations

import json
import threading
import time
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, TypeVar
from uuid import uuid4

import torch
from safetensors.torch import load, save
from torch import Tensor

from localmin.errors import InputError, MissingDependencyError, WorkerError
from localmin.tasks.run_folder import Stage
from localmin.tasks.storage import finite

__all__ = ["Database", "SharedStages"]

T = TypeVar("T")

_PAUSES = (0.05, 0.2, 0.5, 1.0, 2.0, 5.0)
_BEATS_OF_A_LEASE = 4


@dataclass(frozen=True)
class Database:
    """Where the launchers of one search meet.

    Args:
        url: As SQLAlchemy reads it: ``postgresql://user@host/name``, ``mysql+pymysql://...``; for launchers
            on one machine also ``sqlite:///file.db``.
        lease: Seconds after which the work of a launcher that shows no sign of life is given to another.
        patience: Seconds for which a database that does not answer is tried again.

    Raises:
        InputError: If the text is no database URL, or a time is not positive.
    """

    url: str
    lease: float = 60.0
    patience: float = 600.0

    def __post_init__(self) -> None:
        if "://" not in self.url:
            raise InputError(
                f"--storage expects a database URL such as postgresql://user@host/name, got {self.url!r}; "
                "without it the trials are logged in trials.log of the run folder"
            )
        if not self.lease > 0 or not self.patience >= 0:
            raise InputError(f"lease and patience are seconds, got {self.lease} and {self.patience}")
        self.parsed()

    def parsed(self) -> Any:
        """Read the URL; PostgreSQL without a driver gets psycopg.

        Returns:
            SQLAlchemy's URL.

        Raises:
            InputError: If it cannot be read.
        """
        from sqlalchemy.engine import make_url
        from sqlalchemy.exc import ArgumentError

        try:
            url = make_url(self.url)
        except (ArgumentError, ValueError):
            raise InputError(
                "--storage expects a database URL such as postgresql://user:password@host/name; this one "
                "cannot be read"
            ) from None
        return url.set(drivername="postgresql+psycopg") if url.drivername == "postgresql" else url

    def without_password(self) -> str:
        """Write the URL for messages and records."""
        return str(self.parsed().render_as_string(hide_password=True))


class SharedStages:
    """The stages of one study in a database.

    Args:
        database: Where; its table is made if it is not there.
        study: Name of the search: the same for all who work on it, and for nobody else.
        owner: Name of this launcher; a launcher that is started again with its old name goes on with what it
            had claimed.

    Raises:
        InputError: If the database cannot be reached.
        MissingDependencyError: If its driver is not installed.
    """

    def __init__(self, database: Database, *, study: str, owner: str) -> None:
        import sqlalchemy as sql

        self._sql = sql
        self.database, self.study, self.owner = database, study, owner
        try:
            self._engine = sql.create_engine(database.parsed(), pool_pre_ping=True)
        except ImportError as error:
            raise MissingDependencyError(
                f"the driver of {database.parsed().drivername} is not installed ({error.name}); for "
                "PostgreSQL install localmin[postgres]"
            ) from None
        except sql.exc.NoSuchModuleError:
            raise InputError(f"--storage: {database.parsed().drivername} is no kind of database") from None
        self._table = _table(sql)
        self._create_table()
        self._seen: dict[str, tuple[tuple[str, int], float]] = {}
        self._is_closed = threading.Event()
        self._pulse: threading.Thread | None = None

    def finished(self, names: Iterable[str]) -> dict[str, Stage]:
        """Read those of the stages that are done, by anybody."""
        table, wanted = self._table, list(names)
        if not wanted:
            return {}
        query = self._sql.select(table.c.name, table.c.content, table.c.tensors).where(
            table.c.study == self.study, table.c.name.in_(wanted), table.c.done == 1
        )
        rows = self._transaction(lambda connection: connection.execute(query).all())
        return {name: _unpacked(content, tensors) for name, content, tensors in rows}

    def claim(self, name: str) -> bool:
        """Try to take a stage on.

        Args:
            name: Of the stage.

        Returns:
            Whether it is this launcher's to compute now. Not if it is done, or another one is at it.
        """
        row = {"study": self.study, "name": name, "owner": self.owner, "beat": 0, "done": 0}
        with suppress(self._sql.exc.IntegrityError):
            self._transaction(lambda connection: connection.execute(self._table.insert().values(row)))
            self._start_pulse()
            return True
        return self._take_over(name)

    def publish(self, name: str, stage: Stage) -> Stage:
        """Write a stage, unless it is there.

        Args:
            name: Of the stage.
            stage: Its content and tensors.

        Returns:
            The one that counts: this one, or that of another launcher who was faster.
        """
        content, packed = _packed(stage)
        values = {"owner": self.owner, "done": 1, "content": content, "tensors": packed}
        here = self._here(name)

        def write(connection: Any) -> Any:
            connection.execute(self._table.update().where(*here, self._table.c.done == 0).values(values))
            query = self._sql.select(self._table.c.content, self._table.c.tensors).where(*here)
            return connection.execute(query).one_or_none()

        found = self._transaction(write)
        if found is None:
            # Never claimed: it was computed before there was a database, or the row was removed.
            row = {"study": self.study, "name": name, "beat": 0} | values
            with suppress(self._sql.exc.IntegrityError):
                self._transaction(lambda connection: connection.execute(self._table.insert().values(row)))
            found = self._transaction(write)
        return _unpacked(*found)

    @contextmanager
    def alone(self, name: str) -> Iterator[None]:
        """Do something in the database of which others must see all or nothing, one launcher at a time."""
        # What is done alone belongs to no study; giving the claim back ends it.
        lock = SharedStages(self.database, study="", owner=uuid4().hex)
        try:
            while not lock.claim(name):
                time.sleep(_PAUSES[1])
            yield
        finally:
            lock.close()

    def close(self) -> None:
        """Give back what was claimed and is not done, and leave."""
        self._is_closed.set()
        table = self._table
        mine = table.delete().where(table.c.owner == self.owner, table.c.done == 0)
        with suppress(self._sql.exc.SQLAlchemyError), self._engine.begin() as connection:
            connection.execute(mine)
        self._engine.dispose()

    def _take_over(self, name: str) -> bool:
        table, here = self._table, self._here(name)
        query = self._sql.select(table.c.owner, table.c.beat, table.c.done).where(*here)
        found = self._transaction(lambda connection: connection.execute(query).one_or_none())
        if found is None or found.done:
            return False
        if found.owner == self.owner:
            self._start_pulse()
            return True
        state = found.owner, found.beat
        before, since = self._seen.get(name, (None, 0.0))
        if state != before:
            self._seen[name] = state, time.monotonic()
            return False
        if time.monotonic() - since < self.database.lease:
            return False
        unchanged = table.update().where(
            *here, table.c.owner == found.owner, table.c.beat == found.beat, table.c.done == 0
        )
        values = {"owner": self.owner, "beat": found.beat + 1}
        taken = self._transaction(lambda connection: connection.execute(unchanged.values(values)).rowcount)
        self._start_pulse()
        return bool(taken)

    def _here(self, name: str) -> tuple[Any, Any]:
        return self._table.c.study == self.study, self._table.c.name == name

    def _start_pulse(self) -> None:
        if self._pulse is None:
            self._pulse = threading.Thread(target=self._beat, daemon=True)
            self._pulse.start()

    def _beat(self) -> None:
        table = self._table
        alive = table.update().where(table.c.owner == self.owner, table.c.done == 0)
        while not self._is_closed.wait(self.database.lease / _BEATS_OF_A_LEASE):
            # A beat that is lost is made up for by the next one.
            with suppress(self._sql.exc.SQLAlchemyError), self._engine.begin() as connection:
                connection.execute(alive.values(beat=table.c.beat + 1))

    def _transaction(self, work: Callable[[Any], T]) -> T:
        # Every use of it may be repeated after it was done: a lost answer does not count twice.
        return with_patience(lambda: self._once(work), self.database)

    def _once(self, work: Callable[[Any], T]) -> T:
        with self._engine.begin() as connection:
            return work(connection)

    def _create_table(self) -> None:
        sql = self._sql
        for left in (2, 1, 0):
            try:
                self._table.metadata.create_all(self._engine)
                return
            except sql.exc.IntegrityError:
                # Two launchers made it at the same moment, which PostgreSQL does not expect.
                if not left:
                    raise
            except (sql.exc.OperationalError, sql.exc.DatabaseError) as error:
                if left and "already exists" in str(error):
                    continue
                raise InputError(
                    f"the database {self.database.without_password()} cannot be used "
                    f"({_first_line(error)}); check the --storage URL"
                ) from None


def with_patience(work: Callable[[], T], database: Database) -> T:
    """Repeat what a lost connection interrupted, until it is done or patience ends.

    Args:
        work: May be repeated.
        database: Whose patience, and whose name.

    Returns:
        What ``work`` gives.

    Raises:
        WorkerError: If the database does not answer for longer.
        Exception: What is no loss of a connection.
    """
    until, attempt = time.monotonic() + database.patience, 0
    while True:
        try:
            return work()
        except Exception as error:
            if not _is_lost_connection(error):
                raise
            if time.monotonic() > until:
                raise WorkerError(
                    f"the database {database.without_password()} has not answered for "
                    f"{database.patience:.0f} s ({_first_line(error)}); repeat the command when it does, the "
                    "search goes on where it stopped"
                ) from error
        time.sleep(_PAUSES[min(attempt, len(_PAUSES) - 1)])
        attempt += 1


def _is_lost_connection(error: BaseException | None) -> bool:
    from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError

    while error is not None:
        if isinstance(error, OperationalError | InterfaceError):
            return True
        if isinstance(error, DBAPIError) and error.connection_invalidated:
            return True
        error = error.__cause__
    return False


def _table(sql: Any) -> Any:
    return sql.Table(
        "localmin_stages",
        sql.MetaData(),
        sql.Column("study", sql.String(128), primary_key=True),
        sql.Column("name", sql.String(64), primary_key=True),
        sql.Column("owner", sql.String(64), nullable=False),
        sql.Column("beat", sql.Integer, nullable=False),
        sql.Column("done", sql.Integer, nullable=False),
        sql.Column("content", sql.Text),
        # The length is for MySQL, whose smallest kind of column would be taken otherwise.
        sql.Column("tensors", sql.LargeBinary(2**32 - 1)),
    )


def _packed(stage: Stage) -> tuple[str, bytes]:
    content, tensors = stage
    apart: dict[str, Tensor] = {
        name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()
    }
    return json.dumps(finite(content), allow_nan=False), zlib.compress(save(apart), level=1)


def _unpacked(content: str, packed: bytes) -> Stage:
    tensors = {name: torch.as_tensor(value) for name, value in load(zlib.decompress(bytes(packed))).items()}
    return json.loads(content), tensors


def _first_line(error: BaseException) -> str:
    origin = getattr(error, "orig", None) or error
    return (str(origin).strip().splitlines() or [type(origin).__name__])[0]
