"""Every trial of a search in Optuna's own journal format, for its dashboard and for other tools."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from localmin.tasks.storage import naming_write_errors

__all__ = ["TrialLog", "add_trial"]


class TrialLog:
    """Append finished trials to an Optuna study in a journal file.

    The run folder's stages are what a search resumes from; this is the copy for people and tools, so it is
    written anew when a search is taken up, whatever state a killed process left it in. The caller holds the
    lock of the run folder.

    Args:
        path: Of the journal, or None for no log.
        study_name: Within the journal.
        parameter_names: One per number of the policies.
    """

    def __init__(self, path: Path | None, *, study_name: str, parameter_names: tuple[str, ...]) -> None:
        self.parameter_names = parameter_names
        self._path = path
        self._study: Any = None
        if path is None:
            return
        import optuna
        from optuna.storages import JournalStorage
        from optuna.storages.journal import JournalFileBackend

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        with naming_write_errors(path):
            for left in (path, *path.parent.glob(f"{path.name}.lock*")):
                left.unlink(missing_ok=True)
            storage = JournalStorage(JournalFileBackend(str(path)))
            self._study = optuna.create_study(storage=storage, study_name=study_name, direction="maximize")

    def record(self, number: int, z: list[float], score: float, attributes: dict[str, Any]) -> None:
        """Append a trial; they come in order, so Optuna's number is ``number``."""
        del number
        if self._path is not None:
            with naming_write_errors(self._path):
                add_trial(self._study, self.parameter_names, z, score, attributes)

    def is_complete(self) -> bool:
        """Tell that every trial is there: nobody else adds any."""
        return True


def add_trial(
    study: Any, parameter_names: tuple[str, ...], z: list[float], score: float, attributes: dict[str, Any]
) -> None:
    """Add a finished trial to an Optuna study.

    Args:
        study: Of Optuna.
        parameter_names: One per number of ``z``.
        z: The numbers, in [0, 1].
        score: Of the trial.
        attributes: JSON types.
    """
    import optuna

    values = dict(zip(parameter_names, z, strict=True))
    distributions = {name: optuna.distributions.FloatDistribution(0.0, 1.0) for name in values}
    study.add_trial(
        optuna.trial.create_trial(
            params=values, distributions=distributions, value=score, user_attrs=attributes
        )
    )
