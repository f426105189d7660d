"""The graph of a gradient: built once, differentiated as often as Hessian-vector products are wanted."""

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.graph import Node

from localmin.errors import InputError

__all__ = [
    "GradientGraph",
    "NotTwiceDifferentiableError",
    "build_gradient_graph",
    "differentiate_again",
    "merge_gradient_graphs",
]

_NOT_TWICE_DIFFERENTIABLE = ("is not implemented", "double backward")
_WAY_OUT = "build the objective with curvature='finite-difference'"


class NotTwiceDifferentiableError(InputError):
    """An operation of a model has no second derivative in torch."""


@dataclass(frozen=True, eq=False)
class GradientGraph:
    """Gradients that still know how they depend on the parameters.

    Args:
        parameters: Leaf tensors.
        gradients: Gradient with respect to each, with its graph; those that are constant have none.
    """

    parameters: tuple[Tensor, ...]
    gradients: tuple[Tensor, ...]

    def products(self, vectors: Sequence[Tensor], *, is_batched: bool) -> list[Tensor]:
        """Multiply the Hessian by a vector, or by many at once.

        Args:
            vectors: One tensor for each parameter, in its shape; with a leading axis of ``k`` when batched.
            is_batched: Whether the vectors have the leading axis.

        Returns:
            One tensor for each parameter, in the shapes of the vectors.

        Raises:
            NotTwiceDifferentiableError: If an operation of the model cannot be differentiated twice.
            RuntimeError: If torch fails for another reason, such as memory.
        """
        live = [index for index, gradient in enumerate(self.gradients) if gradient.requires_grad]
        if not live:
            return [torch.zeros_like(vector) for vector in vectors]
        products = differentiate_again(
            [self.gradients[index] for index in live],
            self.parameters,
            [vectors[index] for index in live],
            is_batched=is_batched,
        )
        return [
            torch.zeros_like(vector) if product is None else product
            for product, vector in zip(products, vectors, strict=True)
        ]

    @functools.cached_property
    def num_saved_bytes(self) -> int:
        """Memory that the graph keeps alive: bytes of all distinct storages that its nodes have saved."""
        storages = (tensor.untyped_storage() for node in _nodes(self.gradients) for tensor in _saved(node))
        return sum({storage.data_ptr(): storage.nbytes() for storage in storages}.values())


def differentiate_again(
    outputs: Sequence[Tensor],
    inputs: Sequence[Tensor],
    vectors: Sequence[Tensor],
    *,
    is_batched: bool = False,
) -> tuple[Tensor | None, ...]:
    """Multiply vectors by the Jacobian of derivatives, from the left; the graph is kept.

    Args:
        outputs: Derivatives with their graphs.
        inputs: What they depend on.
        vectors: One tensor for each output, in its shape; with a leading axis when batched.
        is_batched: Whether the vectors have the leading axis.

    Returns:
        One tensor for each input; None where no output depends on it.

    Raises:
        NotTwiceDifferentiableError: If an operation of the model cannot be differentiated twice.
        RuntimeError: If torch fails for another reason, such as memory.
    """
    try:
        return torch.autograd.grad(
            outputs, inputs, vectors, retain_graph=True, allow_unused=True, is_grads_batched=is_batched
        )
    except RuntimeError as error:
        if not any(sign in str(error) for sign in _NOT_TWICE_DIFFERENTIABLE):
            raise
        raise NotTwiceDifferentiableError(
            f"the model cannot be differentiated twice ({error}); {_WAY_OUT}"
        ) from error


def build_gradient_graph(loss: Float[Tensor, ""], parameters: Sequence[Tensor]) -> GradientGraph:
    """Differentiate a loss and keep the graph of its gradient.

    Args:
        loss: Scalar with a graph, or without one when it depends on no parameter.
        parameters: Leaf tensors that require a gradient.

    Returns:
        The graph; the gradient with respect to a parameter that the loss does not reach is zero.

    Raises:
        NotTwiceDifferentiableError: If an operation is marked as differentiable only once.
    """
    if not loss.requires_grad:
        return GradientGraph(tuple(parameters), tuple(torch.zeros_like(part) for part in parameters))
    gradients = torch.autograd.grad(
        loss, parameters, create_graph=True, allow_unused=True, materialize_grads=True
    )
    # Such an operation detaches what flows through it, so its share of the Hessian would silently be zero.
    if any(type(node).__name__ == "Error" for node in _nodes(gradients)):
        raise NotTwiceDifferentiableError(
            "the model cannot be differentiated twice: an operation is marked as once_differentiable; "
            f"{_WAY_OUT}"
        )
    return GradientGraph(tuple(parameters), gradients)


def merge_gradient_graphs(graphs: Sequence[GradientGraph]) -> GradientGraph:
    """Add the gradients of several graphs over the same parameters, so that one pass differentiates all.

    Args:
        graphs: At least one graph; all share their parameters.

    Returns:
        The graph of the sum.
    """
    with torch.enable_grad():
        sums = [sum(parts[1:], start=parts[0]) for parts in zip(*(g.gradients for g in graphs), strict=True)]
    return GradientGraph(graphs[0].parameters, tuple(sums))


def _nodes(roots: Sequence[Tensor]) -> Iterator[Node]:
    pending = [root.grad_fn for root in roots if root.grad_fn is not None]
    seen = set(pending)
    while pending:
        node = pending.pop()
        yield node
        for following, _ in node.next_functions:
            if following is not None and following not in seen:
                seen.add(following)
                pending.append(following)


def _saved(node: Node) -> list[Tensor]:
    found: list[Tensor] = []
    for name in _names_of_saved(type(node)):
        value = getattr(node, name)
        parts = value if isinstance(value, (tuple, list)) else (value,)
        found += [part for part in parts if isinstance(part, Tensor)]
    return found


@functools.cache
def _names_of_saved(kind: type[Node]) -> tuple[str, ...]:
    # Built-in nodes name what they saved "_saved_...", nodes of custom functions "saved_tensors".
    return tuple(name for name in dir(kind) if name.startswith("_saved_") or name == "saved_tensors")
