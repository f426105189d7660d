"""Settings for all tests, and servers that several of them talk to."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

# Small networks run several times faster on one thread, and the tests share the machine among processes.
torch.set_num_threads(1)


def find_postgres() -> Path | None:
    """Find the folder of the server's programs; Debian keeps them off the PATH."""
    found = shutil.which("initdb")
    places = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), reverse=True)
    return Path(found).resolve().parent if found else places[0].parent if places else None


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """URL of a real PostgreSQL of our own: Debian's package, a folder below /tmp, a socket, no network."""
    pytest.importorskip("psycopg", reason="psycopg is not installed")
    programs = find_postgres()
    if programs is None:
        pytest.skip("PostgreSQL is not installed (Debian package postgresql)")
    # The server refuses to run as root; its folder must be its own.
    user = "postgres" if os.geteuid() == 0 else None
    folder = Path(tempfile.mkdtemp(prefix="localmin-postgres-", dir="/tmp"))
    if user is not None:
        shutil.chown(folder, user)

    def run(*command: str) -> None:
        program = [str(programs / command[0]), *command[1:]]
        subprocess.run(program, user=user, cwd=folder, check=True, stdout=subprocess.DEVNULL)

    data, log = folder / "data", folder / "log"
    settings = f"-c listen_addresses='' -c unix_socket_directories='{folder}' -c fsync=off"
    try:
        run("initdb", "-D", str(data), "-U", "tester", "--auth=trust", "--no-sync", "-E", "UTF8")
        run("pg_ctl", "-D", str(data), "-l", str(log), "-o", settings, "-w", "start")
        try:
            yield f"postgresql://tester@/postgres?host={folder}"
        finally:
            run("pg_ctl", "-D", str(data), "-m", "immediate", "-w", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
