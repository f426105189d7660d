"""Random draws from explicit generators; nothing here touches a global seed."""

import torch
from jaxtyping import Float
from torch import Tensor

from localmin.errors import InputError

__all__ = ["as_generator", "normal_vector", "random_signs"]

_LARGEST_SEED = 2**63 - 1


def as_generator(seed: int | torch.Generator) -> torch.Generator:
    """Turn an integer seed into a generator on the CPU; hand a generator through.

    Args:
        seed: Integer in ``[0, 2**63)``, or a generator on the CPU, which later draws advance. Drawing on
            the CPU makes the numbers the same for every device.

    Returns:
        A fresh generator for a seed, the same object for a generator.

    Raises:
        InputError: If the seed is no such integer, or the generator is not on the CPU.

    Example:
        >>> first, second = as_generator(3), as_generator(3)
        >>> torch.equal(torch.randn(4, generator=first), torch.randn(4, generator=second))
        True
    """
    if isinstance(seed, torch.Generator):
        if seed.device.type != "cpu":
            raise InputError(
                f"expected a generator on the CPU, got one on {seed.device}; draws are moved to the device"
            )
        return seed
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed <= _LARGEST_SEED:
        raise InputError(f"expected an integer seed from 0 to 2**63 - 1 or a torch.Generator, got {seed!r}")
    return torch.Generator().manual_seed(seed)


def normal_vector(
    size: int, generator: torch.Generator, *, device: torch.device | None = None
) -> Float[Tensor, " n"]:
    """Draw a vector of independent standard normal numbers; its direction is uniform on the sphere.

    Args:
        size: Length ``n``.
        generator: Generator on the CPU; it advances.
        device: Where the vector is put; the CPU by default.

    Returns:
        Shape ``(n,)``, float64.

    Example:
        >>> normal_vector(3, as_generator(0)).shape
        torch.Size([3])
    """
    return torch.randn(size, generator=generator, dtype=torch.float64).to(device or "cpu")


def random_signs(
    size: int, generator: torch.Generator, *, device: torch.device | None = None
) -> Float[Tensor, " n"]:
    """Draw a vector of independent signs, plus or minus one with equal probability.

    Args:
        size: Length ``n``.
        generator: Generator on the CPU; it advances.
        device: Where the vector is put; the CPU by default.

    Returns:
        Shape ``(n,)``, float64.

    Example:
        >>> random_signs(3, as_generator(0)).abs().tolist()
        [1.0, 1.0, 1.0]
    """
    return (2.0 * torch.randint(0, 2, (size,), generator=generator) - 1.0).double().to(device or "cpu")
