"""The mean loss of a model over data, as a function of one flat vector of parameters."""

import copy
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal, overload

import torch
from jaxtyping import Float
from torch import Tensor, nn

from localmin.errors import InputError, ShapeError
from localmin.numerics import flatten_tensors
from localmin.objective.batches import Batch, Batches
from localmin.objective.curvature_noise import standard_error_of_curvature
from localmin.objective.example_losses import LossFunction
from localmin.objective.function_module import FunctionModule
from localmin.objective.gradient_graphs import (
    GradientGraph,
    NotTwiceDifferentiableError,
    merge_gradient_graphs,
)
from localmin.objective.hessian_products import products_by_differences, products_of_graphs
from localmin.objective.loss_sums import LossSum
from localmin.objective.parameter_layout import ParameterLayout, converted_copy, select_parameters
from localmin.objective.preconditions import check_mode, examine
from localmin.objective.rank_sums import RankSums

__all__ = ["Objective"]


class Objective:
    """Evaluate ``f(θ) = (1/N) Σ_i loss(model_θ(x_i), y_i) + (weight_decay / 2) ‖θ‖²`` and its derivatives.

    ``θ`` are the trainable parameters of the model as one vector, in the order of ``model.parameters()``:
    those with ``requires_grad``, or those named in ``parameters``. All others, and the buffers, are
    constants. A parameter that occurs in several places (tied weights) occurs once in the vector, and its
    derivatives sum over its places. A parameter that the loss does not reach has zero derivatives.

    The mean is over examples, not over batches: a last batch that is smaller has the smaller weight.
    The objective holds a copy of the model, taken when it is built; the model itself is never modified,
    and later training does not move the objective. The data are not copied. It is a fixed function: a
    model whose loss depends on random draws or on the rest of the batch is refused.

    Args:
        model: Module that maps ``x`` of shape ``(n, ...)`` to outputs of shape ``(n, ...)``.
        loss: ``loss(output, y)`` gives the mean over the examples, or ``(n, ...)`` values that are averaged.
            A module is copied too.
        data: Pair of tensors ``(x, y)`` with examples along the first axis, or an iterable of such pairs that
            can be gone through again and again (a DataLoader, a list); it is gone through in every
            evaluation, and in any order.
        batch_size: Largest number of examples that are evaluated at once; it changes memory and speed,
            not the result. None: 1024 for a pair of tensors, the batches as they come for an iterable.
        weight_decay: As in torch's optimisers, so the gradient has the term ``weight_decay * θ``. A penalty
            ``λ ‖θ‖²`` is ``weight_decay = 2 λ``.
        dtype: torch.float64 or torch.float32: the copy of the model, and floating-point data, are
            converted. None: the dtype of the model.
        parameters: Names of the parameters that form ``θ``, whatever their ``requires_grad``.
        curvature: "exact" differentiates twice; "finite-difference" differentiates the gradient numerically,
            for models with operations that have no second derivative; "auto" does so once the first exact
            product has failed for that reason.
        max_cache_bytes: Memory for the graphs of the gradient that make repeated Hessian-vector
            products cheaper. They are kept when those of all batches fit, and 0 keeps none.
        distributed: Whether each rank of an initialised torch.distributed gives its own part of the data.
            Sums then run over all ranks, every rank gets the same numbers, and all must ask for the same
            in the same order. The point is that of rank 0.

    Raises:
        InputError: If a module is in training mode that draws at random or normalises over the batch (it is
            named), the loss is stochastic or no mean over examples, no parameter is trainable, a
            parameter is half precision or not finite, torch.distributed is wanted and not initialised, or an
            option is out of range.
        DataError: If the data are no pairs of tensors, empty, or can be gone through only once.

    Source:
        Double backward: Pearlmutter 1994 computes the same product; keeping the graph is our choice.

    Cost:
        One copy of the parameters. Building it evaluates one batch up to three times, and an iterable
        twice as a whole.

    Example:
        >>> model = nn.Linear(1, 1, bias=False, dtype=torch.float64)
        >>> _ = model.weight.data.fill_(3.0)
        >>> x = torch.tensor([[1.0], [2.0]], dtype=torch.float64)
        >>> objective = Objective(model, nn.functional.mse_loss, (x, torch.zeros_like(x)))
        >>> objective.value(), objective.gradient().tolist()
        (22.5, [15.0])
        >>> objective.hvp(torch.ones(1)).tolist()
        [5.0]
    """

    def __init__(
        self,
        model: nn.Module,
        loss: LossFunction,
        data: Batch | Iterable[Batch],
        *,
        batch_size: int | None = None,
        weight_decay: float = 0.0,
        dtype: torch.dtype | None = None,
        parameters: Sequence[str] | None = None,
        curvature: Literal["exact", "finite-difference", "auto"] = "exact",
        max_cache_bytes: int = 2**30,
        distributed: bool = False,
    ) -> None:
        if not isinstance(model, nn.Module):
            raise InputError(
                f"expected a torch.nn.Module, got {type(model).__name__}; "
                "for a function of a vector use Objective.from_function"
            )
        if not (math.isfinite(weight_decay) and weight_decay >= 0.0):
            raise InputError(f"expected a finite weight_decay >= 0, got {weight_decay}")
        if curvature not in ("exact", "finite-difference", "auto"):
            raise InputError(f"expected curvature 'exact', 'finite-difference' or 'auto', got {curvature!r}")
        if dtype not in (None, torch.float32, torch.float64):
            raise InputError(f"expected dtype torch.float32, torch.float64 or None, got {dtype}")
        check_mode(model)
        copied = converted_copy(model, dtype)
        copied_loss = converted_copy(loss, dtype) if isinstance(loss, nn.Module) else loss
        selected = select_parameters(copied, parameters)
        layout = ParameterLayout(tuple(selected), tuple(tuple(part.shape) for part in selected.values()))
        point = flatten_tensors(parameter.detach() for parameter in selected.values())
        self._ranks = RankSums(distributed, point.device)
        self._point = self._ranks.from_first(point)
        self._requires_grad = {name: part.requires_grad for name, part in copied.named_parameters()}
        copied.requires_grad_(False)
        batches = Batches(data, batch_size, self._point.dtype, self._point.device)
        self._loss_sum = LossSum(copied, copied_loss, batches, layout)
        self._weight_decay = float(weight_decay)
        self._curvature: Literal["exact", "finite-difference", "auto"] = curvature
        self._max_cache_bytes = max_cache_bytes
        self._cached_graph: GradientGraph | None = None
        self._num_local_examples = examine(self._loss_sum, self._point)
        self._num_examples = round(self._ranks.sum_numbers(self._num_local_examples)[0])

    @classmethod
    def from_function(
        cls,
        function: Callable[[Any], Tensor],
        point: Float[Tensor, "..."] | Mapping[str, Tensor],
        *,
        weight_decay: float = 0.0,
    ) -> "Objective":
        """Build the objective of a plain function, without a model and data.

        Args:
            function: Maps a tensor of the shape of ``point``, or a dictionary of tensors such as it, to a
                scalar, by operations of torch.
            point: Where the objective stands: a tensor of any shape, or tensors by name; float32 or
                float64. Not modified.
            weight_decay: As for the class.

        Returns:
            The objective ``function(θ) + (weight_decay / 2) ‖θ‖²``. The parameter of a single tensor is named
            "point"; named tensors keep their names.

        Raises:
            InputError: If ``function`` gives no scalar, or is stochastic, or a name cannot be used.

        Example:
            >>> saddle = Objective.from_function(lambda p: p[0] ** 2 - 3.0 * p[1] ** 2, torch.zeros(2))
            >>> saddle.hvp(torch.eye(2)).tolist()
            [[2.0, 0.0], [0.0, -6.0]]
            >>> product = Objective.from_function(
            ...     lambda p: p["a"] * p["b"], {"a": torch.zeros(1), "b": torch.zeros(1)}
            ... )
            >>> product.hvp({"a": torch.ones(1), "b": torch.zeros(1)})
            {'a': tensor([0.]), 'b': tensor([1.])}
        """
        tensors = [point] if isinstance(point, Tensor) else list(point.values())
        if not tensors:
            raise InputError("expected at least one tensor as the point, got none")
        nothing = torch.zeros(1, 1, dtype=tensors[0].dtype, device=tensors[0].device)
        return cls(
            FunctionModule(function, point),
            lambda value, _: value,
            (nothing, nothing),
            weight_decay=weight_decay,
        )

    @property
    def point(self) -> Float[Tensor, " n"]:
        """The parameters ``θ`` where the objective stands: a copy, shape ``(n,)``."""
        return self._point.clone()

    @property
    def num_parameters(self) -> int:
        """Length ``n`` of the parameter vector."""
        return self._point.numel()

    @property
    def num_examples(self) -> int:
        """Number ``N`` of examples over which the loss is averaged."""
        return self._num_examples

    @property
    def batches(self) -> Iterable[Batch]:
        """The data of this rank as the objective sees them: ``(x, y)``, cut, converted, on the device."""
        return self._loss_sum.batches

    @property
    def loss(self) -> LossFunction:
        """The loss of a batch, as it was given."""
        return self._loss_sum.loss

    @property
    def curvature(self) -> Literal["exact", "finite-difference", "auto"]:
        """How products are computed; "auto" becomes one of the others with the first product."""
        return self._curvature

    @property
    def ranks(self) -> RankSums:
        """Sums over the ranks that share the data; this process alone unless ``distributed``."""
        return self._ranks

    @property
    def parameter_names(self) -> tuple[str, ...]:
        """Names of the parameters in the vector, in order."""
        return self._loss_sum.layout.names

    @property
    def weight_decay(self) -> float:
        """Factor of the penalty ``(weight_decay / 2) ‖θ‖²``."""
        return self._weight_decay

    @property
    def dtype(self) -> torch.dtype:
        """Dtype in which the objective is evaluated, and of the vectors it gives."""
        return self._point.dtype

    @property
    def device(self) -> torch.device:
        """Device on which the objective is evaluated, and of the vectors it gives."""
        return self._point.device

    def split(self, vector: Float[Tensor, " n"]) -> dict[str, Tensor]:
        """Cut a parameter vector, gradient or direction into named tensors.

        Args:
            vector: Shape ``(n,)``.

        Returns:
            A tensor for each parameter name, in order; views where possible.

        Raises:
            ShapeError: If the size does not fit.
        """
        return self._loss_sum.layout.split(vector)

    def flatten(self, tensors: Mapping[str, Tensor]) -> Float[Tensor, " n"]:
        """Concatenate named tensors into a vector; the inverse of `split`.

        Args:
            tensors: A tensor of the right shape for each parameter name, in any order.

        Returns:
            Vector of shape ``(n,)``.

        Raises:
            ShapeError: If names or shapes do not fit.
        """
        return self._loss_sum.layout.flatten(tensors)

    def at(self, vector: Float[Tensor, " n"]) -> "Objective":
        """Build the same objective standing at another point.

        Args:
            vector: The new ``θ``, shape ``(n,)``; it is copied.

        Returns:
            An objective that shares model and data with this one, without checking them again.

        Raises:
            ShapeError: If the size does not fit.
        """
        moved = copy.copy(self)
        moved._point = self._checked(vector).clone()
        moved._cached_graph = None
        return moved

    def model_at(self, vector: Float[Tensor, " n"]) -> nn.Module:
        """Build a copy of the model with the parameters of a vector.

        Args:
            vector: ``θ``, shape ``(n,)``.

        Returns:
            A module in the dtype of the objective, with the ``requires_grad`` of the model it was built from.

        Raises:
            ShapeError: If the size does not fit.
        """
        model = copy.deepcopy(self._loss_sum.model)
        parameters = dict(model.named_parameters())
        for name, part in self.split(self._checked(vector)).items():
            parameters[name].copy_(part)
        for name, part in parameters.items():
            part.requires_grad_(self._requires_grad[name])
        return model

    def value(self) -> float:
        """Evaluate ``f`` at the point of the objective.

        Returns:
            The value, summed over batches in float64.
        """
        return self.value_at(self._point)

    def value_at(self, vector: Float[Tensor, " n"]) -> float:
        """Evaluate ``f`` at another point.

        Args:
            vector: ``θ``, shape ``(n,)``.

        Returns:
            The value, summed over batches in float64.

        Raises:
            ShapeError: If the size does not fit.
        """
        vector = self._checked(vector)
        total, num_examples = self._ranks.sum_numbers(*self._loss_sum.total(vector))
        return total / num_examples + 0.5 * self._weight_decay * float(vector.double().square().sum())

    def gradient(self) -> Float[Tensor, " n"]:
        """Compute ``∇f`` at the point of the objective.

        Returns:
            Shape ``(n,)``, dtype of the objective.
        """
        return self.gradient_at(self._point)

    def gradient_at(self, vector: Float[Tensor, " n"]) -> Float[Tensor, " n"]:
        """Compute ``∇f`` at another point.

        Args:
            vector: ``θ``, shape ``(n,)``.

        Returns:
            Shape ``(n,)``, dtype of the objective.

        Raises:
            ShapeError: If the size does not fit.
        """
        vector = self._checked(vector)
        total = self._ranks.sum(self._loss_sum.gradient(vector))
        return total / self._num_examples + self._weight_decay * vector

    @overload
    def hvp(self, vectors: Tensor) -> Tensor: ...

    @overload
    def hvp(self, vectors: Mapping[str, Tensor]) -> dict[str, Tensor]: ...

    def hvp(self, vectors: Tensor | Mapping[str, Tensor]) -> Tensor | dict[str, Tensor]:
        """Multiply the Hessian ``∇²f`` at the point of the objective by one vector or several.

        Args:
            vectors: Shape ``(n,)``, or ``(k, n)`` with a vector in each row; or one vector as a tensor for
                each parameter name.

        Returns:
            The products, in the shape or structure of ``vectors`` and the dtype of the objective.

        Raises:
            ShapeError: If the shape does not fit.
            InputError: If an operation of the model cannot be differentiated twice and ``curvature`` is
                "exact".

        Cost:
            The first call builds the graph of the gradient; later calls differentiate it again, at half to
            two thirds of the time of a product from scratch (measured: ``benchmarks/hvp_speed.py``).
            The rows of a matrix are multiplied together where that is faster, for small models and few
            examples, and one by one otherwise. "finite-difference": two gradients for each vector.
        """
        if isinstance(vectors, Mapping):
            return self.split(self.hvp(self.flatten(vectors)))
        return self._products(self._point, self._checked_rows(vectors), self._graphs_at_point)

    def hvp_at(self, vector: Float[Tensor, " n"], vectors: Float[Tensor, "*k n"]) -> Float[Tensor, "*k n"]:
        """Multiply the Hessian at another point by one vector or several, without keeping any graph.

        For many products at one point use ``objective.at(vector).hvp``.

        Args:
            vector: ``θ``, shape ``(n,)``.
            vectors: Shape ``(n,)``, or ``(k, n)`` with a vector in each row.

        Returns:
            As in `hvp`.

        Raises:
            ShapeError: If a shape does not fit.
            InputError: As in `hvp`.
        """
        vector, vectors = self._checked(vector), self._checked_rows(vectors)
        return self._products(vector, vectors, lambda: self._loss_sum.gradient_graphs(vector))

    def gauss_newton_products(self, vectors: Float[Tensor, "*k n"]) -> Float[Tensor, "*k n"]:
        """Multiply the Gauss-Newton matrix at the point of the objective; see `GaussNewtonOperator`.

        Args:
            vectors: Shape ``(n,)``, or ``(k, n)`` with a vector in each row.

        Returns:
            The products, in the shape of ``vectors`` and the dtype of the objective.

        Raises:
            ShapeError: If the shape does not fit.
            InputError: If an operation of the model cannot be differentiated twice.
        """
        vectors = self._checked_rows(vectors)
        rows = vectors.reshape(-1, self.num_parameters)
        products = self._ranks.sum(self._loss_sum.gauss_newton_products(self._point, rows))
        return self._penalised(products.reshape(vectors.shape), vectors)

    def curvature_standard_error(self, direction: Float[Tensor, " n"]) -> float:
        """Estimate how far ``vᵀ∇²f v`` may be from its value for the population the examples come from.

        Args:
            direction: ``v``, shape ``(n,)``, chosen without looking at the examples of this objective:
                on those that chose it the estimate is biased.

        Returns:
            Standard deviation of ``vᵀ ∇²loss_i v`` over the examples, divided by the root of their number;
            infinity for a single example. About six digits in float64, by second differences.

        Raises:
            ShapeError: If the shape does not fit.

        Cost:
            Three forward sweeps.
        """
        direction = self._checked(direction)
        return standard_error_of_curvature(
            self._loss_sum, self._point, direction, self._ranks, self._num_examples
        )

    def clear_cache(self) -> None:
        """Free the graph that repeated Hessian-vector products keep; the next product builds it again."""
        self._cached_graph = None

    def _graphs_at_point(self) -> Iterator[GradientGraph]:
        if self._cached_graph is not None:
            yield self._cached_graph
            return
        kept: list[GradientGraph] = []
        room = self._max_cache_bytes
        for graph in self._loss_sum.gradient_graphs(self._point):
            if room > 0:
                room -= graph.num_saved_bytes
                kept.append(graph)
            if room <= 0:
                kept.clear()
                # Measuring takes time, and the next product would find the same.
                self._max_cache_bytes = 0
            yield graph
        if kept:
            self._cached_graph = merge_gradient_graphs(kept)

    def _products(
        self, vector: Tensor, vectors: Tensor, graphs: Callable[[], Iterator[GradientGraph]]
    ) -> Tensor:
        if self._curvature != "finite-difference":
            try:
                products = self._ranks.sum(products_of_graphs(graphs(), vectors))
            except NotTwiceDifferentiableError:
                if self._curvature == "exact":
                    raise
                self._curvature = "finite-difference"
            else:
                self._curvature = "exact"
                return self._penalised(products, vectors)
        return products_by_differences(self.gradient_at, vector, vectors)

    def _penalised(self, products: Tensor, vectors: Tensor) -> Tensor:
        return products / self._num_examples + self._weight_decay * vectors

    def _checked(self, vector: Tensor) -> Tensor:
        vector = torch.as_tensor(vector)
        if vector.shape != self._point.shape:
            raise ShapeError(
                f"expected a vector of shape ({self.num_parameters},), got {tuple(vector.shape)}; "
                "flatten in the order of parameter_names"
            )
        return vector.detach().to(device=self.device, dtype=self.dtype)

    def _checked_rows(self, vectors: Tensor) -> Tensor:
        vectors = torch.as_tensor(vectors)
        if vectors.ndim not in (1, 2) or vectors.shape[-1] != self.num_parameters:
            raise ShapeError(
                f"expected vectors of shape ({self.num_parameters},) or (k, {self.num_parameters}), "
                f"got {tuple(vectors.shape)}"
            )
        return vectors.detach().to(device=self.device, dtype=self.dtype)
