"""A reduced network as files, and back into a model."""

import copy
from pathlib import Path
from typing import Any, cast

from torch import Tensor, nn

from localmin.errors import InputError
from localmin.networks import DeepLinear, ReLUNetwork
from localmin.reduction.homogeneous_network import HomogeneousNetwork
from localmin.reduction.layer_sizes import resize
from localmin.reduction.model_reading import ModelT, read_model
from localmin.tasks.schemas import write_versioned
from localmin.tasks.storage import read_tensors, write_tensors

__all__ = ["load_reduced", "write_reduced"]


def write_reduced(folder: Path, network: object, description: dict[str, Any]) -> Path:
    """Write ``network.safetensors`` and ``reduction.json``.

    Args:
        folder: Created if it does not exist.
        network: The reduced model: a module (its state dict is written), or a network as data.
        description: What goes into the JSON file; numbers that are not finite become null.

    Returns:
        Path of the JSON file, which is written last.
    """
    tensors = dict(network.state_dict()) if isinstance(network, nn.Module) else _named(network)
    write_tensors(folder / "network.safetensors", tensors)
    path = folder / "reduction.json"
    write_versioned(path, "reduction", description)
    return path


def load_reduced(model: ModelT, folder: str | Path) -> ModelT:
    """Read a reduced network back, in the shape of its original.

    Args:
        model: The original model, or one of its kind; not modified. A module of any kind: its linear and
            convolutional layers take the sizes of the stored weights.
        folder: Written by ``save`` of a reduction or by ``localmin reduce``.

    Returns:
        The smaller model.

    Raises:
        RunFolderError: If the folder holds no reduced network.
        InputError: If its tensors do not belong to the model.

    Example:
        >>> import tempfile, torch
        >>> from localmin.reduction import reduce
        >>> model = nn.Sequential(nn.Linear(2, 30), nn.ReLU(), nn.Linear(30, 1))
        >>> folder = tempfile.mkdtemp()
        >>> small = reduce(model, torch.eye(2))
        >>> _ = small.save(folder)
        >>> load_reduced(model, folder)[0].out_features == small.widths_after[1]
        True
    """
    path = Path(folder) / "network.safetensors"
    tensors = read_tensors(path)
    if isinstance(model, nn.Module):
        return cast(ModelT, _filled(model, tensors, path))
    if not isinstance(model, ReLUNetwork | DeepLinear | HomogeneousNetwork):
        raise InputError(
            f"expected a module or a network, got {type(model).__name__}; load_reduced(model, folder)"
        )
    depth = read_model(model).network.depth
    names = {f"{layer}.weight" for layer in range(1, depth + 1)}
    if not names <= set(tensors) or len(tensors) > 2 * depth:
        raise InputError(f"{path} does not hold the {depth} layers of this network")
    weights = [tensors[f"{layer}.weight"] for layer in range(1, depth + 1)]
    biases = [tensors.get(f"{layer}.bias") for layer in range(1, depth + 1)]
    if isinstance(model, DeepLinear):
        return cast(ModelT, DeepLinear(weights))
    if isinstance(model, ReLUNetwork):
        return cast(ModelT, ReLUNetwork(weights, biases))
    return cast(ModelT, HomogeneousNetwork(tuple(weights), tuple(biases), model.negative_slopes))


def _filled(model: nn.Module, tensors: dict[str, Tensor], path: Path) -> nn.Module:
    filled = copy.deepcopy(model)
    wanted = filled.state_dict()
    if set(wanted) != set(tensors):
        odd = sorted(set(wanted) ^ set(tensors))[0]
        raise InputError(f"{path} does not belong to this model: only one of them has {odd!r}")
    for name, part in filled.named_modules():
        prefix = f"{name}." if name else ""
        weight = tensors.get(f"{prefix}weight")
        if weight is None or not isinstance(part, nn.Linear | nn.Conv1d | nn.Conv2d | nn.Conv3d):
            continue
        if weight.ndim != part.weight.ndim or weight.shape[2:] != part.weight.shape[2:]:
            raise InputError(f"{path} does not belong to this model: {prefix}weight has another shape")
        part.weight = nn.Parameter(weight.to(part.weight), requires_grad=part.weight.requires_grad)
        if part.bias is not None:
            bias = tensors[f"{prefix}bias"].to(part.bias)
            part.bias = nn.Parameter(bias, requires_grad=part.bias.requires_grad)
        resize(part)
    try:
        filled.load_state_dict(tensors)
    except RuntimeError as error:
        raise InputError(f"{path} does not belong to this model: {error}") from None
    return filled


def _named(network: object) -> dict[str, Tensor]:
    assert isinstance(network, ReLUNetwork | DeepLinear | HomogeneousNetwork)
    layers = read_model(network).network
    named: dict[str, Tensor] = {}
    dtype = network.weights[0].dtype
    for number, (weight, bias) in enumerate(zip(layers.weights, layers.biases, strict=True), start=1):
        named[f"{number}.weight"] = weight.to(dtype)
        if bias is not None:
            named[f"{number}.bias"] = bias.to(dtype)
    return named
