"""Products of a Hessian with rows of vectors: by differentiating twice, or by finite differences."""

import contextlib
from collections.abc import Callable, Iterable

import torch
from jaxtyping import Float
from torch import Tensor

from localmin.numerics import flatten_tensors, split_vector
from localmin.objective.gradient_graphs import GradientGraph

__all__ = ["products_by_differences", "products_of_graphs"]

# Vectors are multiplied together while the intermediate results of a block fit the processor's cache;
# beyond that, one after the other is up to five times faster (measured on two CPU cores; the limit for
# accelerators only bounds memory and was not measured).
_CPU_BLOCK_BYTES = 2**22
_ACCELERATOR_BLOCK_BYTES = 2**28


def products_of_graphs(
    graphs: Iterable[GradientGraph], vectors: Float[Tensor, "*k n"]
) -> Float[Tensor, "*k n"]:
    """Multiply the sum of the Hessians behind some graphs by one vector, or by the rows of a matrix.

    Args:
        graphs: Graphs over the same parameters; each is used before the next one is asked for.
        vectors: Shape ``(n,)`` or ``(k, n)``.

    Returns:
        The products, in the shape of ``vectors``.
    """
    rows = vectors.reshape(-1, vectors.shape[-1])
    total = torch.zeros_like(rows)
    for graph in graphs:
        together = 1 if len(rows) == 1 else _num_rows_together(graph, vectors.device)
        for first in range(0, len(rows), together):
            block = slice(first, first + together)
            total[block] += _block_products(graph, rows[block])
    return total.reshape(vectors.shape)


def _num_rows_together(graph: GradientGraph, device: torch.device) -> int:
    limit = _CPU_BLOCK_BYTES if device.type == "cpu" else _ACCELERATOR_BLOCK_BYTES
    return max(1, limit // max(1, graph.num_saved_bytes))


def _block_products(graph: GradientGraph, rows: Float[Tensor, "k n"]) -> Float[Tensor, "k n"]:
    if len(rows) > 1:
        # Operations that look at the values, such as a branch in a custom backward, only work one by one,
        # and so may a block too large for the memory. An error of another kind comes again below.
        with contextlib.suppress(RuntimeError):
            return _products_together(graph, rows)
    shapes = [tuple(part.shape) for part in graph.parameters]
    return torch.stack(
        [flatten_tensors(graph.products(split_vector(row, shapes), is_batched=False)) for row in rows]
    )


def _products_together(graph: GradientGraph, rows: Float[Tensor, "k n"]) -> Float[Tensor, "k n"]:
    blocks = torch.split(rows, [part.numel() for part in graph.parameters], dim=1)
    parts = [
        block.reshape(-1, *parameter.shape) for block, parameter in zip(blocks, graph.parameters, strict=True)
    ]
    products = graph.products(parts, is_batched=True)
    return torch.cat([product.reshape(len(rows), -1) for product in products], dim=1)


def products_by_differences(
    gradient: Callable[[Tensor], Tensor], point: Float[Tensor, " n"], vectors: Float[Tensor, "*k n"]
) -> Float[Tensor, "*k n"]:
    """Approximate Hessian-vector products by central differences of the gradient.

    ``(∇f(θ + hv) - ∇f(θ - hv)) / 2h`` with ``h ‖v‖ = eps^(1/3) max(1, ‖θ‖)``, which balances truncation
    against rounding: about ten digits are right in float64 and four in float32 on well-scaled problems.

    Args:
        gradient: Maps a point ``(n,)`` to the gradient there.
        point: ``θ``, shape ``(n,)``.
        vectors: Shape ``(n,)`` or ``(k, n)``.

    Returns:
        The products, in the shape of ``vectors``.

    Cost:
        Two gradients for each vector.
    """
    step = torch.finfo(point.dtype).eps ** (1.0 / 3.0) * max(1.0, float(point.norm()))
    products = []
    for vector in vectors.reshape(-1, point.numel()):
        norm = float(vector.norm())
        if norm == 0.0:
            products.append(torch.zeros_like(vector))
            continue
        shift = vector * (step / norm)
        difference = gradient(point + shift) - gradient(point - shift)
        products.append(difference * (norm / (2.0 * step)))
    return torch.stack(products).reshape(vectors.shape) if products else torch.zeros_like(vectors)
