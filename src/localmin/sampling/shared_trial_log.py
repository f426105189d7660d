"""The finished trials of a search that several launchers share, as one Optuna study in their database."""

from __future__ import annotations

from typing import Any

from localmin.sampling.execution.shared_stages import SharedStages, with_patience
from localmin.sampling.trial_log import add_trial

__all__ = ["SharedTrialLog"]


class SharedTrialLog:
    """Add finished trials to an Optuna study, each of them once whoever saw it first.

    The stages in the database are what launchers go by; the study is the copy for people and tools. Trials
    stand in it in the order in which they were added; their number in the search is an attribute.

    Args:
        shared: Tells who adds a trial.
        parameter_names: One per number of the policies.
    """

    def __init__(self, shared: SharedStages, *, parameter_names: tuple[str, ...]) -> None:
        self._shared, self.parameter_names = shared, parameter_names
        self._trials: dict[int, tuple[list[float], float, dict[str, Any]]] = {}
        self._study = with_patience(self._open, shared.database)

    def record(self, number: int, z: list[float], score: float, attributes: dict[str, Any]) -> None:
        """Add a trial, unless another launcher is doing it."""
        self._trials[number] = z, score, attributes | {"number": number}
        if self._shared.claim(_stage(number)):
            self._add(number)

    def is_complete(self) -> bool:
        """Add what launchers left that are gone; tell whether every trial is there."""
        names = {_stage(number): number for number in self._trials}
        there = self._shared.finished(names)
        for name, number in names.items():
            if name not in there and self._shared.claim(name):
                self._add(number)
        return len(self._shared.finished(names)) == len(names)

    def _add(self, number: int) -> None:
        z, score, attributes = self._trials[number]

        def add() -> None:
            # A launcher that was killed, or whose connection was lost, may have added it.
            known = {trial.user_attrs.get("number") for trial in self._study.get_trials(deepcopy=False)}
            if number not in known:
                add_trial(self._study, self.parameter_names, z, score, attributes)

        with_patience(add, self._shared.database)
        self._shared.publish(_stage(number), ({}, {}))

    def _open(self) -> Any:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        url = self._shared.database.parsed().render_as_string(hide_password=False)
        # Optuna makes its tables when they are missing; only one launcher may be at it.
        with self._shared.alone("optuna-tables"):
            storage = optuna.storages.RDBStorage(url, engine_kwargs={"pool_pre_ping": True})
            return optuna.create_study(
                storage=storage, study_name=self._shared.study, direction="maximize", load_if_exists=True
            )


def _stage(number: int) -> str:
    return f"recorded-{number:03d}"
