"""Two trained networks from run folders or checkpoints, as functions of the same inputs."""

import re
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn

from localmin.errors import InputError
from localmin.networks import ReLUNetwork
from localmin.realization.alignment import Alignment, loss_along_path
from localmin.tasks.request import TaskRequest
from localmin.tasks.storage import read_tensors
from localmin.tasks.task import Task
from localmin.tasks.trained import TrainedModel, open_trained

__all__ = ["TrainedPair", "network_of_tensors", "open_pair"]

_MAX_ROWS = 2000


@dataclass(frozen=True, eq=False)
class TrainedPair:
    """Two networks and the inputs they have in common.

    Args:
        a: First network; the first layer takes flattened examples.
        b: Second network.
        inputs: Whether the networks are functions of the "prepared" (normalised) examples, of the "raw" ones
            because the runs normalise differently, or of "unknown" inputs, from bare weights.
        x: Validation examples of the first run, flattened; None from bare weights.
        task: Of the first run; None from bare weights.
    """

    a: ReLUNetwork
    b: ReLUNetwork
    inputs: str
    x: Float[Tensor, "n d"] | None
    task: Task | None

    def losses_along_path(
        self, alignment: Alignment, *, num_points: int = 11
    ) -> tuple[Tensor, Tensor] | None:
        """Evaluate the task's loss on the straight line between the networks, as given and aligned.

        Args:
            alignment: Of the second network towards the first.
            num_points: Points of the line.

        Returns:
            Both lists of losses, or None without a task.
        """
        if self.task is None or self.x is None:
            return None
        task, rows = self.task, self.x.to(torch.float64)
        labels = task.validation.labels[: len(self.x)]

        def loss(network: ReLUNetwork) -> float:
            return float(task.loss(network(rows), labels).mean())

        ends = self.b, alignment.network
        before, after = (loss_along_path(self.a, end, loss, num_points=num_points) for end in ends)
        return before, after


def open_pair(a: Path, b: Path, *, request: TaskRequest | None = None, seed: int = 0) -> TrainedPair:
    """Open two trained networks.

    Args:
        a: A run folder; or a checkpoint, together with a request; or a ``.safetensors`` file of bare weights
            of linear layers, in the order of their names.
        b: Likewise.
        request: Data and network of checkpoints.
        seed: Of the split, with a request.

    Returns:
        Both as functions of the same inputs. If two runs normalise their inputs differently, both
        normalisations become part of the networks.

    Raises:
        InputError: If a network is no chain of linear layers and ReLUs (even after unrolling), or bare
            weights do not chain.
    """
    if request is None and all(path.is_file() for path in (a, b)):
        return TrainedPair(network_of_tensors(a), network_of_tensors(b), "unknown", None, None)
    opened = [
        open_trained(
            path, request=None if path.is_dir() and (path / "task.json").exists() else request, seed=seed
        )
        for path in (a, b)
    ]
    networks = [_read(each, path) for each, path in zip(opened, (a, b), strict=True)]
    first, second = (each.task for each in opened)
    inputs = "prepared"
    if first.normalization != second.normalization:
        networks = [_with_normalization(net, each.task) for net, each in zip(networks, opened, strict=True)]
        inputs = "raw"
    examples = first.validation.inputs[:_MAX_ROWS]
    x = first.prepare(examples) if inputs == "prepared" else examples.to(torch.float64)
    return TrainedPair(networks[0], networks[1], inputs, x.flatten(1), first)


def network_of_tensors(path: Path) -> ReLUNetwork:
    """Read bare weights as linear layers with a ReLU between every two, in the order of their names.

    Args:
        path: A safetensors file with names such as ``0.weight``, ``0.bias``, ``2.weight``.

    Returns:
        The network.

    Raises:
        InputError: If the file holds anything but matrices and fitting vectors that chain.
    """
    tensors = read_tensors(path)
    names = sorted((name for name in tensors if name.endswith("weight")), key=_natural)
    matching = {f"{name.removesuffix('weight')}bias" for name in names}
    others = sorted(set(tensors) - set(names) - matching)
    if others or not names or any(tensors[name].ndim != 2 for name in names):
        odd = others or [name for name in names if tensors[name].ndim != 2] or ["no weight at all"]
        raise InputError(
            f"{path} holds more than linear layers ({odd[0]}): give --data and --model to say what network "
            "its weights belong to"
        )
    weights = [tensors[name] for name in names]
    biases = [tensors.get(f"{name.removesuffix('weight')}bias") for name in names]
    return ReLUNetwork(weights, biases)


def _read(trained: TrainedModel, path: Path) -> ReLUNetwork:
    module: nn.Module = trained.model
    shape = trained.examples("train", limit=1)[0].shape[1:]
    try:
        return ReLUNetwork.from_module(module, input_shape=tuple(shape))
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def _with_normalization(network: ReLUNetwork, task: Task) -> ReLUNetwork:
    """Make the normalisation part of the first layer."""
    shape = task.train.inputs.shape[1:]
    shift = task.prepare(torch.zeros(1, *shape, dtype=torch.float64))
    factor = task.prepare(torch.ones(1, *shape, dtype=torch.float64)) - shift
    weight = network.weights[0].to(torch.float64)
    biases = [bias.to(torch.float64) for bias in network.bias_vectors]
    biases[0] = biases[0] + weight @ shift.flatten()
    weights = [weight * factor.flatten(), *(each.to(torch.float64) for each in network.weights[1:])]
    return ReLUNetwork(weights, biases).to(dtype=network.dtype)


def _natural(name: str) -> list[tuple[int, int, str]]:
    # "10.weight" comes after "2.weight".
    parts = re.findall(r"\d+|\D+", name)
    return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in parts]
