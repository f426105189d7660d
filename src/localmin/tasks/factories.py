"""Tasks and networks from a user's own Python file, named as ``file.py:factory``."""

from __future__ import annotations

import hashlib
import inspect
import re
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import nn

from localmin.errors import InputError, LocalminError
from localmin.tasks.kinds import Classification, TaskKind
from localmin.tasks.memory import is_shortage
from localmin.tasks.random_state import seeded
from localmin.tasks.task import ModelFactory, Task

__all__ = [
    "FileModel",
    "FileTask",
    "is_factory",
    "load_model_factory",
    "load_task_factory",
    "open_task",
    "user_modules",
]

_MODULE_PREFIX = "localmin_file_"
_FORM = re.compile(r"(?P<path>.+\.py):(?P<name>[^:/\\]*)")


def is_factory(text: str) -> bool:
    """Tell whether a text has the form ``file.py:factory``; the file need not exist.

    Args:
        text: What the user gave as data or as model.

    Returns:
        Whether `load_task_factory` or `load_model_factory` is meant to read it.

    Example:
        >>> is_factory("tasks/mine.py:make_task"), is_factory("train.csv")
        (True, False)
    """
    return _FORM.fullmatch(text) is not None


@dataclass(frozen=True)
class FileTask:
    """Make tasks with a function of a user's file; can be sent to another process.

    Args:
        path: The Python file, absolute.
        name: A function in it that takes nothing, or ``seed``, and gives a `Task`.
    """

    path: str
    name: str

    def __call__(self, seed: int = 0) -> Task:
        """Call the function; ``seed`` is passed on when it takes one.

        Args:
            seed: Of the task's random choices.

        Returns:
            The task.

        Raises:
            InputError: If the function fails, needs other arguments, or gives something else.
        """
        factory = _find(self.path, self.name)
        arguments = {"seed": seed} if "seed" in _parameters(factory) else {}
        made = _call(self, factory, (), arguments, allowed="nothing or seed")
        if not isinstance(made, Task):
            raise InputError(
                f"{_show(self.path, self.name)} must give a localmin Task, it gave {_type_name(made)}; build "
                "one with localmin.tasks.build_task or localmin.Task"
            )
        return made


@dataclass(frozen=True)
class FileModel:
    """Make networks with a function or class of a user's file; can be sent to another process.

    Args:
        path: The Python file, absolute.
        name: A function or class in it that takes nothing, or ``num_classes``, or ``input_shape`` and
            ``num_classes``, and gives an ``nn.Module``.
        input_shape: Of one example.
        num_classes: Outputs that are expected.
    """

    path: str
    name: str
    input_shape: tuple[int, ...]
    num_classes: int

    def __call__(self) -> nn.Module:
        """Build a new network.

        Returns:
            The module.

        Raises:
            InputError: If the function fails, needs other arguments, or gives something else.
        """
        factory = _find(self.path, self.name)
        known = {"input_shape": self.input_shape, "num_classes": self.num_classes}
        parameters = _parameters(factory)
        named = {
            name: value
            for name, value in known.items()
            if name in parameters and parameters[name].kind is not inspect.Parameter.POSITIONAL_ONLY
        }
        two_others = not named and sum(map(_is_required, parameters.values())) == 2
        made = _call(
            self,
            factory,
            tuple(known.values()) if two_others else (),
            named,
            allowed="nothing, num_classes, or (input_shape, num_classes)",
        )
        if not isinstance(made, nn.Module):
            raise InputError(
                f"{_show(self.path, self.name)} must give a torch.nn.Module, it gave {_type_name(made)}"
            )
        return made


def load_task_factory(spec: str) -> FileTask:
    """Load ``file.py:factory``.

    Args:
        spec: Path of a Python file and the name of a function in it.

    Returns:
        A callable ``(seed=0) -> Task``. It is an `InputError` if the form is wrong, the file is missing
        or fails, or it has no such function.
    """
    path, name = _parse(spec)
    _find(path, name)
    return FileTask(path, name)


def open_task(spec: str, *, seed: int = 0) -> Task:
    """Make the task of ``file.py:factory``.

    Args:
        spec: Path of a Python file and the name of a function in it that gives a `Task`.
        seed: Passed on when the function takes ``seed``.

    Returns:
        The task. Errors are those of `load_task_factory` and of `FileTask`.
    """
    return load_task_factory(spec)(seed=seed)


def load_model_factory(
    spec: str, input_shape: Sequence[int], num_classes: int, *, kind: TaskKind | None = None
) -> ModelFactory:
    """Load ``file.py:factory`` as the network of a task, and try it once.

    Args:
        spec: Path of a Python file and the name of a function or an ``nn.Module`` class in it.
        input_shape: Of one example.
        num_classes: Outputs the data needs.
        kind: Of the task; None is a classification.

    Returns:
        A factory without arguments, see `FileModel`.

    Raises:
        InputError: If the form is wrong, the file is missing or fails, or the network does not map a
            batch of these inputs to ``num_classes`` logits each (or what the kind expects).
    """
    kind = Classification() if kind is None else kind
    path, name = _parse(spec)
    factory = FileModel(path, name, tuple(input_shape), num_classes)
    with seeded(), torch.no_grad(), _in_user_file(path, name):
        network = factory().eval()
        dtype = torch.int64 if kind.needs_raw_inputs else torch.float32
        outputs = network(torch.zeros(2, *input_shape, dtype=dtype))
    shape = tuple(outputs.shape) if isinstance(outputs, torch.Tensor) else _type_name(outputs)
    expected = (2, *kind.output_shape(input_shape, num_classes))
    if shape != expected:
        one_each = ", one per class" if num_classes > 1 else ""
        raise InputError(
            f"{_show(path, name)} maps a batch of 2 examples of shape {tuple(input_shape)} to {shape}; "
            f"expected logits of shape {expected}{one_each}"
        )
    return factory


def user_modules() -> list[ModuleType]:
    """List the modules that no other process can import: users' files, what lies beside them."""
    found: dict[str, bool] = {}
    modules = []
    for name, module in list(sys.modules.items()):
        top = name.partition(".")[0]
        if top not in found:
            found[top] = top in ("__main__", "__mp_main__") or _is_found(top)
        if not found[top] and isinstance(module, ModuleType):
            modules.append(module)
    return modules


def _is_found(name: str) -> bool:
    """Tell whether a fresh process would find a module of this name; those loaded say nothing about it."""
    for finder in sys.meta_path:
        try:
            if finder.find_spec(name, None) is not None:
                return True
        except (ImportError, AttributeError, ValueError):
            continue
    return False


def _parse(spec: str) -> tuple[str, str]:
    match = _FORM.fullmatch(spec)
    if match is None or not match["name"].isidentifier():
        raise InputError(f"{spec!r} is not of the form file.py:factory")
    path = Path(match["path"]).expanduser()
    if not path.is_file():
        raise InputError(f"{path} does not exist; {spec!r} names a function of that file")
    return str(path.resolve()), match["name"]


def _find(path: str, name: str) -> Callable[..., Any]:
    module = _load(path)
    factory = getattr(module, name, None)
    if factory is None:
        own = ", ".join(
            key
            for key, value in vars(module).items()
            if getattr(value, "__module__", "") == module.__name__ and not key.startswith("_")
        )
        raise InputError(f"{path} has no {name!r}; it defines {own or 'nothing'}")
    if not callable(factory):
        raise InputError(f"{_show(path, name)} is {_type_name(factory)}, not a function")
    return factory  # type: ignore[no-any-return]


def _load(path: str) -> ModuleType:
    """Run the file once per version of it; nothing is written beside it."""
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror})") from error
    stamp = hashlib.sha256(path.encode() + b"\0" + content).hexdigest()[:12]
    module_name = f"{_MODULE_PREFIX}{re.sub(r'[^A-Za-z0-9_]', '_', Path(path).stem)}_{stamp}"
    if module_name in sys.modules:
        return sys.modules[module_name]
    module = ModuleType(module_name)
    module.__file__ = path
    # Dataclasses and pickling look their module up by name while it runs.
    sys.modules[module_name] = module
    try:
        with _in_user_file(path, None):
            exec(compile(content, path, "exec"), module.__dict__)
    except BaseException:
        del sys.modules[module_name]
        raise
    return module


def _call(
    source: FileTask | FileModel,
    factory: Callable[..., Any],
    positional: tuple[Any, ...],
    named: dict[str, Any],
    *,
    allowed: str,
) -> Any:
    with _in_user_file(source.path, source.name):
        try:
            inspect.Signature(list(_parameters(factory).values())).bind(*positional, **named)
        except TypeError:
            raise InputError(
                f"{_show(source.path, source.name)} takes ({', '.join(_parameters(factory))}); "
                f"a factory takes {allowed}"
            ) from None
        return factory(*positional, **named)


@contextmanager
def _in_user_file(path: str, name: str | None) -> Iterator[None]:
    """Let the file import its neighbours, write no bytecode, and turn its errors into one line."""
    wrote_bytecode, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    search_path = list(sys.path)
    sys.path.insert(0, str(Path(path).parent))
    try:
        yield
    except (Exception, SystemExit) as error:
        line = _line(error, path)
        if is_shortage(error) or (line is None and isinstance(error, LocalminError)):
            raise
        doing = "cannot be run" if name is None else f"failed in {name}"
        where = path if line is None else f"{path}, line {line}"
        raise InputError(f"{where}: {doing}: {_describe(error)}") from error
    finally:
        sys.dont_write_bytecode = wrote_bytecode
        sys.path[:] = search_path


def _line(error: BaseException, path: str) -> int | None:
    if isinstance(error, SyntaxError) and error.filename == path:
        return error.lineno
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == path]
    return lines[-1] if lines else None


def _describe(error: BaseException) -> str:
    text = str(error.msg if isinstance(error, SyntaxError) else error).strip().split("\n")[0]
    return text if isinstance(error, LocalminError) else f"{_type_name(error)}: {text}"


def _parameters(factory: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    try:
        return dict(inspect.signature(factory).parameters)
    except (TypeError, ValueError):  # a few built-in callables have no signature
        return {}


def _is_required(parameter: inspect.Parameter) -> bool:
    by_place = parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD)
    return by_place and parameter.default is parameter.empty


def _show(path: str, name: str) -> str:
    return f"{path}:{name}"


def _type_name(value: object) -> str:
    return type(value).__name__
