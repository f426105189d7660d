"""The sum of the losses of all examples as a function of the parameter vector: no checks, no averaging."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.attention import SDPBackend, sdpa_kernel

from localmin.errors import InputError
from localmin.numerics import flatten_tensors
from localmin.objective.batches import Batch, Batches
from localmin.objective.example_losses import LossFunction, losses_of_examples, sum_of_losses
from localmin.objective.gradient_graphs import GradientGraph, build_gradient_graph, differentiate_again
from localmin.objective.parameter_layout import ParameterLayout

__all__ = ["LossSum"]


@dataclass(frozen=True, eq=False)
class LossSum:
    """Evaluate ``Σ_i loss(model_θ(x_i), y_i)`` and its derivatives, one batch after the other.

    Args:
        model: Module none of whose parameters requires a gradient.
        loss: As in `sum_of_losses`.
        batches: The data.
        layout: Parameters of the model that a vector replaces.
    """

    model: nn.Module
    loss: LossFunction
    batches: Batches
    layout: ParameterLayout

    def output(self, parameters: Mapping[str, Tensor], x: Tensor) -> Tensor:
        """Evaluate the model with other parameters.

        Args:
            parameters: A tensor for each name of the layout.
            x: Inputs, examples along the first axis.

        Returns:
            Outputs, examples along the first axis.

        Raises:
            InputError: If the model gives no floating-point tensor with a row for each example.
        """
        # The fused attention kernels have no second derivative; one kernel for values and derivatives
        # keeps them consistent.
        with sdpa_kernel(SDPBackend.MATH):
            output = functional_call(self.model, dict(parameters), (x,))
        if not isinstance(output, Tensor) or not output.is_floating_point():
            came = output.dtype if isinstance(output, Tensor) else type(output).__name__
            raise InputError(
                f"expected the model to give a floating-point tensor, got {came}; "
                "wrap it in a module that does"
            )
        if output.shape[:1] != x.shape[:1]:
            raise InputError(
                f"expected the model to give outputs of shape ({len(x)}, ...) for {len(x)} examples, "
                f"got {tuple(output.shape)}"
            )
        return output

    def total(self, vector: Float[Tensor, " n"]) -> tuple[float, int]:
        """Sum the losses.

        Args:
            vector: Parameters, shape ``(n,)``.

        Returns:
            The sum, accumulated over batches in double precision, and the number of examples.
        """
        parameters = self.layout.split(vector)
        total, num_examples = 0.0, 0
        with torch.no_grad():
            for batch in self.batches:
                total += float(self._batch_sum(parameters, batch))
                num_examples += len(batch[0])
        return total, num_examples

    def gradient(self, vector: Float[Tensor, " n"]) -> Float[Tensor, " n"]:
        """Differentiate the sum of the losses.

        Args:
            vector: Parameters, shape ``(n,)``.

        Returns:
            Gradient, shape ``(n,)``.
        """
        leaves = self._leaves(vector)
        gradient = torch.zeros_like(vector)
        for batch in self.batches:
            with torch.enable_grad():
                loss = self._batch_sum(leaves, batch)
            if loss.requires_grad:
                parts = torch.autograd.grad(
                    loss, list(leaves.values()), allow_unused=True, materialize_grads=True
                )
                gradient += flatten_tensors(parts)
        return gradient

    def gradient_graphs(self, vector: Float[Tensor, " n"]) -> Iterator[GradientGraph]:
        """Build the graph of the gradient, one batch after the other.

        Args:
            vector: Parameters, shape ``(n,)``.

        Yields:
            The graph of each batch; all share their leaves.
        """
        leaves = self._leaves(vector)
        for batch in self.batches:
            with torch.enable_grad():
                graph = build_gradient_graph(self._batch_sum(leaves, batch), list(leaves.values()))
            yield graph

    def gauss_newton_products(
        self, vector: Float[Tensor, " n"], rows: Float[Tensor, "k n"]
    ) -> Float[Tensor, "k n"]:
        """Multiply ``Σ_i J_iᵀ (∇²_z loss_i) J_i`` by the rows of a matrix.

        Args:
            vector: Parameters, shape ``(n,)``.
            rows: Shape ``(k, n)``.

        Returns:
            The products, shape ``(k, n)``.
        """
        leaves = self._leaves(vector)
        products = torch.zeros_like(rows)
        for x, y in self.batches:
            with torch.enable_grad():
                output = self.output(leaves, x)
                if output.requires_grad:
                    products += _gauss_newton_products(self.loss, output, y, leaves, rows, self.layout)
        return products

    def example_losses(self, vector: Float[Tensor, " n"]) -> Iterator[Float[Tensor, " b"]]:
        """Evaluate the loss of every example.

        Args:
            vector: Parameters, shape ``(n,)``.

        Yields:
            The losses of each batch.
        """
        parameters = self.layout.split(vector)
        for x, y in self.batches:
            with torch.no_grad():
                losses = losses_of_examples(self.loss, self.output(parameters, x), y)
            yield losses

    def _batch_sum(self, parameters: Mapping[str, Tensor], batch: Batch) -> Float[Tensor, ""]:
        x, y = batch
        return sum_of_losses(self.loss, self.output(parameters, x), y)

    def _leaves(self, vector: Tensor) -> dict[str, Tensor]:
        return {name: part.detach().requires_grad_() for name, part in self.layout.split(vector).items()}


def _gauss_newton_products(
    loss: LossFunction,
    output: Tensor,
    target: Tensor,
    leaves: Mapping[str, Tensor],
    rows: Float[Tensor, "k n"],
    layout: ParameterLayout,
) -> Float[Tensor, "k n"]:
    tensors = list(leaves.values())
    # Linear in the weight, so differentiating it by the weight gives products with the Jacobian itself.
    weight = torch.zeros_like(output, requires_grad=True)
    pulled = build_gradient_graph((output * weight).sum(), tensors)
    live = [index for index, gradient in enumerate(pulled.gradients) if gradient.requires_grad]
    copied = output.detach().requires_grad_()
    slope = build_gradient_graph(sum_of_losses(loss, copied, target), [copied])
    products = []
    for row in rows:
        directions = list(layout.split(row).values())
        tangent = differentiate_again(
            [pulled.gradients[index] for index in live], [weight], [directions[index] for index in live]
        )[0]
        image = slope.products([torch.zeros_like(output) if tangent is None else tangent], is_batched=False)[
            0
        ]
        parts = torch.autograd.grad(
            output, tensors, image, retain_graph=True, allow_unused=True, materialize_grads=True
        )
        products.append(flatten_tensors(parts))
    return torch.stack(products)
