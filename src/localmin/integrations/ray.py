"""Trials as Ray tasks: a search on every machine of a cluster.

A network of a trial is one task with its share of CPUs and GPUs. The data, the shared weights of warm starts
and the folds are put into the object store once. A worker or a machine that is lost costs the networks it
was training; Ray trains them again elsewhere.
"""

from __future__ import annotations

import os
import warnings
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from itertools import count
from typing import Any
from uuid import uuid4

import numpy as np
import torch

from localmin.errors import InputError, MissingDependencyError, WorkerError
from localmin.sampling.execution.folds import FoldCollector
from localmin.sampling.execution.protocol import TrialRequest
from localmin.sampling.trial import FoldOutcome, TrialOutcome, TrialPlan, run_fold
from localmin.tasks.parcel import as_bytes, from_bytes, pack, unpack
from localmin.tasks.task import Task

__all__ = ["RayTrials"]

_MAX_HELD = 4


class RayTrials:
    """Train the networks of trials as tasks of a Ray cluster.

    Results are those of `sampling.execution.ProcessPool` with the same ``threads``, as long as the machines
    are alike: other processors round differently.

    Args:
        address: Of the cluster: ``"auto"`` finds one that runs on this machine, ``"local"`` starts one,
            ``"host:port"`` and ``"ray://host:port"`` name one. If this process is connected to a cluster
            already, that one is used.
        cpus: Share of CPUs of one network.
        gpus: Share of GPUs of one network, such as 0.25; None is 0, or 1 if ``use`` is told to use a GPU.
        threads: Of torch, for one network.
        max_retries: How often a network that was lost is trained again.

    Raises:
        MissingDependencyError: If Ray is not installed.
        InputError: If the address leads nowhere, or a share is not positive.
    """

    def __init__(
        self,
        address: str = "auto",
        *,
        cpus: float = 1.0,
        gpus: float | None = None,
        threads: int = 1,
        max_retries: int = 3,
    ) -> None:
        if cpus <= 0 or threads < 1 or (gpus is not None and gpus < 0):
            raise InputError(
                "a network needs a positive share of CPUs, a share of GPUs that is not negative and at "
                f"least 1 thread, got {cpus}, {gpus} and {threads}"
            )
        self._ray = _import_ray()
        self._connected_here = _connect(self._ray, address)
        self.cpus, self.gpus, self.threads, self.max_retries = cpus, gpus, threads, max_retries
        self._parcels: dict[Task | TrialPlan, tuple[str, Any]] = {}
        self._under_way: dict[Any, tuple[str, int]] = {}
        self._numbers = count()
        self._session = uuid4().hex
        self._device = torch.device("cpu")
        self._on_draws: Callable[[int], None] | None = None
        self._task: Task | None = None
        self._folds: FoldCollector | None = None

    def __enter__(self) -> RayTrials:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def use(self, task: Task, *, device: torch.device, on_draws: Callable[[int], None] | None = None) -> None:
        """Run the trials of this task from now on; its data are put into the object store.

        Args:
            task: Of the trials.
            device: ``"cpu"``, or ``"cuda"`` for the GPU that Ray gives a task.
            on_draws: Hears of examples drawn, when a network is done.

        Raises:
            InputError: If no machine of the cluster could run a trial.
        """
        self._cancel()
        self._parcels.clear()
        self._task, self._folds = task, FoldCollector(task)
        self._device, self._on_draws = device, on_draws
        share = {"CPU": self.cpus, "GPU": self._gpus}
        machines = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
        if not any(all(node.get(kind, 0) >= part for kind, part in share.items()) for node in machines):
            raise InputError(
                f"no machine of the Ray cluster has {self.cpus:g} CPUs and {self._gpus:g} GPUs for one "
                "network: trials would wait for ever"
            )
        self._sent(task)

    def submit(self, request: TrialRequest) -> None:
        """Hand the networks of a trial to Ray."""
        assert self._folds is not None
        assert self._task is not None
        numbers = self._folds.open(request)
        if not numbers:
            return
        task, plan = self._sent(self._task), self._sent(request.plan)
        weights = self._ray.put(request.weights.contiguous().numpy())
        remote = self._ray.remote(_train).options(
            num_cpus=self.cpus, num_gpus=self._gpus, max_retries=self.max_retries, name=request.name
        )
        for number in numbers:
            reference = remote.remote(*task, *plan, weights, number, str(self._device), self.threads)
            self._under_way[reference] = (request.name, number)

    def has_room(self) -> bool:
        """Tell whether the cluster could train more networks at once than it was given."""
        total = self._ray.cluster_resources()
        room = total.get("CPU", 0) / self.cpus
        if self._gpus > 0:
            room = min(room, total.get("GPU", 0) / self._gpus)
        return len(self._under_way) < int(room + 1e-9)

    def collect(self, timeout: float | None = None) -> list[tuple[str, TrialOutcome]]:
        """Wait for trials.

        Args:
            timeout: Seconds to wait at most; None waits for as long as it takes.

        Returns:
            Names and outcomes.
        """
        assert self._folds is not None
        while True:
            found = self._folds.finished()
            if found or not self._under_way:
                return found
            ready, _ = self._ray.wait(list(self._under_way), timeout=timeout)
            if not ready:
                return []
            for reference in ready:
                name, number = self._under_way.pop(reference)
                outcome = self._result(reference, name)
                if self._on_draws is not None:
                    self._on_draws(outcome.num_draws)
                self._folds.add(name, number, outcome)
                self._drop_needless()

    def close(self) -> None:
        """Cancel what is under way, and leave the cluster if it was joined here."""
        self._cancel()
        self._parcels.clear()
        if self._connected_here:
            self._connected_here = False
            self._ray.shutdown()

    @property
    def _gpus(self) -> float:
        return self.gpus if self.gpus is not None else float(self._device.type == "cuda")

    def _sent(self, content: Task | TrialPlan) -> tuple[str, Any]:
        """Put an object into the store, once; its name tells a worker whether it has it in memory."""
        if content not in self._parcels:
            parcel = pack(content)
            parts = [
                (as_bytes(tensor), str(tensor.dtype).removeprefix("torch."), tuple(tensor.shape))
                for tensor in parcel.tensors
            ]
            name = f"{self._session}-{next(self._numbers)}"
            self._parcels[content] = name, self._ray.put((parcel.payload, parts))
        return self._parcels[content]

    def _result(self, reference: Any, name: str) -> FoldOutcome:
        errors = self._ray.exceptions
        try:
            hits, last_hits, num_draws, diverged = self._ray.get(reference)
        except errors.RayTaskError as error:
            # What the network raised, with Ray's account of where.
            raise error.as_instanceof_cause() from None
        except errors.RayError as error:
            line = str(error).strip().splitlines()[0]
            raise WorkerError(
                f"{name} was lost {self.max_retries + 1} times on the Ray cluster ({line}); the search goes "
                "on where it stopped when the command is repeated"
            ) from error
        # Ray's arrays are read-only; ours are added to.
        return FoldOutcome(torch.tensor(hits), torch.tensor(last_hits), num_draws, diverged)

    def _drop_needless(self) -> None:
        """Cancel networks of trials that are over, because another one diverged."""
        assert self._folds is not None
        for reference, (name, _) in list(self._under_way.items()):
            if not self._folds.is_open(name):
                del self._under_way[reference]
                self._ray.cancel(reference, force=True)

    def _cancel(self) -> None:
        for reference in self._under_way:
            with suppress(Exception):
                self._ray.cancel(reference, force=True)
        self._under_way.clear()


def _train(
    task_name: str,
    task: Any,
    plan_name: str,
    plan: Any,
    weights: np.ndarray,
    number: int,
    device: str,
    threads: int,
) -> tuple[np.ndarray, np.ndarray, int, bool]:
    """Train one network, in a worker of the cluster."""
    torch.set_num_threads(threads)
    found = run_fold(
        _held(task_name, task), torch.tensor(weights), _held(plan_name, plan), number, device=device
    )
    return found.hits.numpy(), found.last_hits.numpy(), found.num_draws, found.diverged


_objects: OrderedDict[str, Any] = OrderedDict()


def _held(name: str, parcel: Any) -> Any:
    """Put a task or a plan together, once in a worker; its tensors stay in the object store."""
    if name not in _objects:
        payload, parts = parcel
        with warnings.catch_warnings():
            # Memory of the object store must not be written to, and nobody does: trials gather from it.
            warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
            tensors = [from_bytes(content, dtype, shape) for content, dtype, shape in parts]
        _objects[name] = unpack(payload, tensors)
        while len(_objects) > _MAX_HELD:
            _objects.popitem(last=False)
    _objects.move_to_end(name)
    return _objects[name]


def _import_ray() -> Any:
    # Nothing of ours reports to anybody unless the user asks for it.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ImportError as error:
        raise MissingDependencyError(
            "Ray is not installed; install localmin[ray], or use --workers on this machine"
        ) from error
    return ray


def _connect(ray: Any, address: str) -> bool:
    if ray.is_initialized():
        return False
    try:
        ray.init(address=address, log_to_driver=False, logging_level="ERROR", configure_logging=False)
    except (ConnectionError, ValueError, RuntimeError) as error:
        line = str(error).strip().splitlines()[0]
        raise InputError(
            f"no Ray cluster at {address!r} ({line}); start one with `ray start --head`, give its address, "
            "or use --workers on this machine"
        ) from None
    return True
