"""A worker process of `ProcessPool`: trains the networks it is told to, until the pool is gone."""

from __future__ import annotations

import os
import queue
import signal
import socket
import sys
import threading
import traceback
from multiprocessing.connection import Connection
from typing import Any

import cloudpickle  # type: ignore[import-untyped]
import torch

from localmin.sampling.trial import run_fold
from localmin.tasks.parcel import map_tensors, unpack

__all__ = ["main"]


def main(descriptor: int, threads: int) -> None:
    """Serve one pool.

    Args:
        descriptor: Of a socket to the pool.
        threads: Of torch.
    """
    # Ctrl-C reaches the whole group; it is for the pool to say what becomes of its workers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(threads)
    connection = Connection(descriptor)
    inbox: queue.SimpleQueue[tuple[Any, ...]] = queue.SimpleQueue()
    threading.Thread(target=_receive, args=(connection, descriptor, inbox), daemon=True).start()
    connection.send(("ready",))
    _serve(connection, inbox)


def _receive(
    connection: Connection[Any, Any], descriptor: int, inbox: queue.SimpleQueue[tuple[Any, ...]]
) -> None:
    """Pass messages on; end the process in the middle of a training when the pool's process is gone."""
    try:
        with socket.socket(fileno=os.dup(descriptor)) as files:
            while True:
                message = connection.recv()
                if message[0] == "parcel":
                    _, (file, *_), _, _ = socket.recv_fds(files, 1, 1)
                    message = (*message, file)
                inbox.put(message)
    except (EOFError, OSError):
        os._exit(0)


def _serve(connection: Connection[Any, Any], inbox: queue.SimpleQueue[tuple[Any, ...]]) -> None:
    parcels: dict[int, Any] = {}
    while True:
        kind, *content = inbox.get()
        if kind == "forget":
            parcels.clear()
            continue
        number = content[0]
        try:
            if kind == "parcel":
                _, payload, layout, file = content
                tensors = map_tensors(f"/dev/fd/{file}", layout)
                os.close(file)
                parcels[number] = unpack(payload, tensors)
            else:
                connection.send(("done", number, _run(connection, parcels, *content)))
        except BaseException as error:
            if kind == "parcel":
                connection.send(("unreadable", number, f"{type(error).__name__}: {error}"))
            else:
                connection.send(("error", number, _pickled(error), traceback.format_exc()))


def _run(
    connection: Connection[Any, Any],
    parcels: dict[int, Any],
    job: int,
    task: int,
    plan: int,
    weights: Any,
    number: int,
    device: str,
) -> tuple[Any, ...]:
    drawn = 0

    def tell(draws: int) -> None:
        nonlocal drawn
        drawn += draws
        connection.send(("draws", job, drawn))

    found = run_fold(
        parcels[task], torch.from_numpy(weights), parcels[plan], number, device=device, on_draws=tell
    )
    return found.hits.numpy(), found.last_hits.numpy(), found.num_draws, found.diverged


def _pickled(error: BaseException) -> bytes | None:
    try:
        return bytes(cloudpickle.dumps(error))
    except Exception:
        return None


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
