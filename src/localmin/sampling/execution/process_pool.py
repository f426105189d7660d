"""Trials in several processes of this machine.

Why not ``concurrent.futures``: there, one worker that dies breaks the pool and every trial under way is
lost. Here it costs that worker's network, which is trained again by the next one. Workers are started afresh
(nothing is forked), without running the caller's script again, so a search may stand at the top level of it.
"""

from __future__ import annotations

import os
import pickle
import signal
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from multiprocessing.connection import Connection, wait
from typing import IO, Any

import torch

from localmin.errors import InputError, WorkerError
from localmin.sampling.execution.folds import FoldCollector
from localmin.sampling.execution.protocol import TrialRequest
from localmin.sampling.trial import FoldOutcome, TrialOutcome, TrialPlan
from localmin.tasks.parcel import Layout, pack, write_tensors
from localmin.tasks.task import Task

__all__ = ["ProcessPool"]

_MAX_ATTEMPTS = 3


class ProcessPool:
    """Train the networks of trials in worker processes.

    The unit of work is one network (a fold) of a trial, so a trial with two networks keeps two workers busy.
    What a trial gives does not depend on the number of workers, but, as any sum of floating-point numbers,
    on the number of threads that compute it: compare results of equal ``threads``.

    Args:
        num_workers: Processes.
        threads: Of torch in each of them.

    Raises:
        InputError: If a number is below 1.
    """

    def __init__(self, num_workers: int, *, threads: int = 1) -> None:
        if num_workers < 1:
            raise InputError(f"the number of workers must be at least 1, got {num_workers}")
        if threads < 1:
            raise InputError(f"a worker needs at least 1 thread, got {threads}")
        self.num_workers, self.threads = num_workers, threads
        self.num_deaths = 0
        self._workers: list[_Worker] = []
        self._queue: deque[_Job] = deque()
        self._numbers = count()
        self._task: Task | None = None
        self._mail: dict[TrialPlan | Task, _Mail] = {}
        self._device = torch.device("cpu")
        self._on_draws: Callable[[int], None] | None = None
        self._folds: FoldCollector | None = None
        self._deaths_in_a_row = 0

    def __enter__(self) -> ProcessPool:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    @property
    def process_ids(self) -> list[int]:
        """Numbers of the worker processes that are there now."""
        return [worker.process.pid for worker in self._workers]

    def use(self, task: Task, *, device: torch.device, on_draws: Callable[[int], None] | None = None) -> None:
        """Run the trials of this task from now on; the workers start, while the caller does other things."""
        self._queue.clear()
        self._deaths_in_a_row = 0
        for worker in self._workers:
            worker.abandon()
        self._device, self._on_draws = device, on_draws
        self._mail = {task: _Mail(next(self._numbers), task)}
        self._task, self._folds = task, FoldCollector(task)
        while len(self._workers) < self.num_workers:
            self._workers.append(_Worker(self.threads))

    def submit(self, request: TrialRequest) -> None:
        """Accept a trial and hand its networks to idle workers."""
        assert self._folds is not None  # nothing is submitted before a task is there
        for number in self._folds.open(request):
            self._queue.append(_Job(next(self._numbers), request, number))
        self._hand_out()

    def has_room(self) -> bool:
        """Tell whether there are more idle workers than networks that wait."""
        return len(self._queue) < sum(worker.job is None for worker in self._workers)

    def collect(self, timeout: float | None = None) -> list[tuple[str, TrialOutcome]]:
        """Wait for trials, starting what died with its worker again.

        Args:
            timeout: Seconds to wait at most; None waits for as long as it takes.

        Returns:
            Names and outcomes.

        Raises:
            WorkerError: If workers die again and again, or cannot start.
        """
        assert self._folds is not None
        until = None if timeout is None else time.monotonic() + timeout
        while True:
            self._hand_out()
            found = self._folds.finished()
            left = None if until is None else max(0.0, until - time.monotonic())
            if found or not self._is_busy or left == 0:
                return found
            for connection in wait([worker.connection for worker in self._workers], left):
                worker = next(worker for worker in self._workers if worker.connection is connection)
                self._hear(worker)

    def close(self) -> None:
        """End the workers; they keep nothing that could be lost."""
        for worker in self._workers:
            worker.end()
        self._workers.clear()
        self._queue.clear()

    @property
    def _is_busy(self) -> bool:
        return bool(self._queue) or any(worker.job is not None for worker in self._workers)

    def _hand_out(self) -> None:
        for place, worker in enumerate(self._workers):
            if not self._queue:
                return
            if worker.job is not None or worker.is_gone:
                continue
            job = self._queue.popleft()
            worker.job = job
            try:
                keys = [worker.deliver(self._mail_of(part)) for part in (self._task, job.request.plan)]
                weights = job.request.weights.contiguous().numpy()
                worker.connection.send(("fold", job.number, *keys, weights, job.fold, self._device_of(place)))
            except OSError:
                # It died; its end of the line tells us in `collect`, where the job is put back.
                worker.is_gone = True

    def _mail_of(self, part: TrialPlan | Task | None) -> _Mail:
        assert part is not None
        if part not in self._mail:
            self._mail[part] = _Mail(next(self._numbers), part)
        return self._mail[part]

    def _device_of(self, place: int) -> str:
        if str(self._device) == "cuda":
            return f"cuda:{place % torch.cuda.device_count()}"
        return str(self._device)

    def _hear(self, worker: _Worker) -> None:
        try:
            kind, *content = worker.connection.recv()
        except (EOFError, OSError):
            self._replace(worker)
            return
        self._deaths_in_a_row = 0 if kind == "done" else self._deaths_in_a_row
        job = worker.job
        if kind == "unreadable" and content[0] in {mail.key for mail in self._mail.values()}:
            raise WorkerError(
                f"a worker could not take the task over ({content[1]}); what its network, loss and "
                "augmentation need must be importable there"
            )
        if job is None or kind not in ("draws", "done", "error") or content[0] != job.number:
            return
        if kind == "draws":
            self._tell(job, content[1])
            return
        worker.job = None
        assert self._folds is not None
        if not job.is_abandoned:
            if kind == "error":
                _raise(*content[1:])
            hits, last_hits, num_draws, diverged = content[1]
            outcome = FoldOutcome(torch.from_numpy(hits), torch.from_numpy(last_hits), num_draws, diverged)
            self._folds.add(job.request.name, job.fold, outcome)
            self._queue = deque(job for job in self._queue if self._folds.is_open(job.request.name))

    def _tell(self, job: _Job, drawn: int) -> None:
        # A network that is trained again has been counted up to where it was lost.
        if self._on_draws is not None and drawn > job.drawn and not job.is_abandoned:
            self._on_draws(drawn - job.drawn)
        job.drawn = max(drawn, job.drawn)

    def _replace(self, worker: _Worker) -> None:
        how = worker.end()
        self._workers[self._workers.index(worker)] = _Worker(self.threads)
        self.num_deaths += 1
        self._deaths_in_a_row += 1
        job = None if worker.job is None or worker.job.is_abandoned else worker.job
        if job is not None:
            job.attempts += 1
            self._queue.appendleft(job)
        if (job is not None and job.attempts >= _MAX_ATTEMPTS) or (
            self._deaths_in_a_row >= _MAX_ATTEMPTS * self.num_workers
        ):
            name = "a worker" if job is None else f"every worker that was given {job.request.name}"
            raise WorkerError(
                f"{name} {how} ({_MAX_ATTEMPTS} times): if memory ran out, use fewer --workers or a smaller "
                "--batch-size; the search goes on where it stopped when the command is repeated"
            )


@dataclass(eq=False)
class _Job:
    """One network of a trial."""

    number: int
    request: TrialRequest
    fold: int
    attempts: int = 0
    drawn: int = 0
    is_abandoned: bool = False


@dataclass(eq=False)
class _Mail:
    """A parcel, packed when it is first sent; its tensors lie in a file that the workers map."""

    key: int
    content: Task | TrialPlan
    _packed: tuple[bytes, IO[bytes], Layout] | None = field(default=None, init=False)

    def packed(self) -> tuple[bytes, IO[bytes], Layout]:
        if self._packed is None:
            parcel = pack(self.content)
            self._packed = (parcel.payload, *write_tensors(parcel.tensors))
        return self._packed


class _Worker:
    """A worker process and the line to it."""

    def __init__(self, threads: int) -> None:
        ours, theirs = socket.socketpair()
        command = [sys.executable, "-P", "-m", "localmin.sampling.execution.worker"]
        self.process = subprocess.Popen(
            [*command, str(theirs.fileno()), str(threads)],
            pass_fds=[theirs.fileno()],
            env=_environment(threads),
            stdin=subprocess.DEVNULL,
            # What a user's network prints is no result of ours.
            stdout=2,
        )
        theirs.close()
        self.connection: Connection[Any, Any] = Connection(ours.detach())
        self.job: _Job | None = None
        self.is_gone = False
        self._delivered: set[int] = set()

    def deliver(self, mail: _Mail) -> int:
        """Make sure that the worker has a parcel, and give its key."""
        if mail.key not in self._delivered:
            payload, stream, layout = mail.packed()
            self.connection.send(("parcel", mail.key, payload, layout))
            with socket.socket(fileno=os.dup(self.connection.fileno())) as files:
                socket.send_fds(files, [b"."], [stream.fileno()])
            self._delivered.add(mail.key)
        return mail.key

    def abandon(self) -> None:
        """Forget what belongs to the task before; a training under way ends, and nobody hears of it."""
        if self.job is not None:
            self.job.is_abandoned = True
        self._delivered.clear()
        try:
            self.connection.send(("forget",))
        except OSError:
            self.is_gone = True

    def end(self) -> str:
        """End the process, if it has not ended; say how it did."""
        self.process.kill()
        code = self.process.wait()
        self.connection.close()
        if code < 0 and code != -signal.SIGKILL:
            return f"was ended by {signal.Signals(-code).name}"
        return "was killed" if code < 0 else f"ended with exit code {code}"


def _environment(threads: int) -> dict[str, str]:
    # Read when the libraries are loaded, before torch.set_num_threads can be called.
    limits = {name: str(threads) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")}
    path = os.pathsep.join(os.path.abspath(entry) for entry in sys.path)
    return os.environ | limits | {"PYTHONPATH": path}


def _raise(pickled: bytes | None, trace: str) -> None:
    """Raise in this process what was raised in a worker."""
    if pickled is not None:
        try:
            error = pickle.loads(pickled)
        except Exception:
            error = None
        if isinstance(error, BaseException):
            error.add_note(f"In a worker process:\n{trace}")
            raise error
    raise WorkerError(f"a trial failed in a worker: {trace.strip().splitlines()[-1]}")
