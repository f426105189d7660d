"""Settings of a search, and the presets."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from localmin.errors import InputError
from localmin.sampling.engines.protocol import ENGINES, EngineName
from localmin.sampling.feature_run import FEATURE_SOURCES, FeatureSource
from localmin.sampling.forms import FORMS, FormName
from localmin.sampling.transforms import TRANSFORMS, TransformKind

__all__ = ["PRESETS", "GuardKind", "Preset", "ProxyName", "SearchSettings", "preset_settings"]

Preset = Literal["standard", "quick", "paper"]
ProxyName = Literal["cross-fit", "warm-start"]
GuardKind = Literal["auto", "halves", "four-fifths", "none"]

ALL_CUTS = (1.2, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3)
FEW_CUTS = (1.2, 0.85, 0.7, 0.55, 0.4)


@dataclass(frozen=True)
class SearchSettings:
    """Everything that decides a search, apart from the task and the seed.

    Shares of epochs are relative to one training.

    Args:
        preset: What the other values started from.
        proxy: ``"cross-fit"`` scores candidates by networks trained from scratch on part of the data,
            on what they have not seen; ``"warm-start"`` by fine-tuning shared weights, on validation.
        form: Policy form.
        transform: ``"cdf"`` or ``"cgf"``.
        feature_source: How features are recorded in the first run.
        feature_share: Length of the feature run; with warm-start it is also the shared checkpoint's.
        fold_share: Share of the examples a trial network is trained on; None chooses a quarter, or a
            half for convolutional networks.
        num_folds: Networks of a trial.
        trial_share: Length of a trial, in passes over its fold relative to the epochs of a training.
        cuts: Quantile cuts of the initial design; the first is uniform.
        steps: Trials of Bayesian optimisation in each round.
        batch: Proposals made at once.
        rounds: Features are computed anew between rounds, under the best sampler so far.
        refresh_cuts: Cuts tried again after a refresh, those nearest to the best.
        top: Samplers averaged by the pick.
        engine: Of the outer search.
        safe_rule: Fall back to uniform when the best cut does not beat it by one paired standard error
            on the items of its trial.
        guard: Full-length comparison of the pick with uniform, ``"auto"`` by kind of network.
        pilot_gate: Lengthen warm-started trials that cannot tell a cut from uniform.
        max_cost: Trainings the search may cost; trials that do not fit are not made. None: no limit.
    """

    preset: Preset = "standard"
    proxy: ProxyName = "cross-fit"
    form: FormName = "d"
    transform: TransformKind = "cdf"
    feature_source: FeatureSource = "epoch-mean"
    feature_share: float = 0.5
    fold_share: float | None = 0.5
    num_folds: int = 2
    trial_share: float = 0.5
    cuts: tuple[float, ...] = ALL_CUTS
    steps: int = 4
    batch: int = 2
    rounds: int = 2
    refresh_cuts: int = 4
    top: int = 5
    engine: EngineName = "sampler-process"
    safe_rule: bool = False
    guard: GuardKind = "auto"
    pilot_gate: bool = False
    max_cost: float | None = None

    def __post_init__(self) -> None:
        for name, value, known in (
            ("form", self.form, FORMS),
            ("transform", self.transform, TRANSFORMS),
            ("feature source", self.feature_source, FEATURE_SOURCES),
            ("engine", self.engine, ENGINES),
            ("guard", self.guard, ("auto", "halves", "four-fifths", "none")),
            ("proxy", self.proxy, ("cross-fit", "warm-start")),
        ):
            if value not in known:
                raise InputError(f"unknown {name} {value!r}; choose one of {', '.join(known)}")
        if self.rounds < 1:
            raise InputError(f"a search needs at least one round, got {self.rounds}")
        if not self.cuts or self.cuts[0] <= 1:
            raise InputError(
                "the first cut of the design must be uniform (above 1): it is what others must beat"
            )
        if self.steps < 0:
            raise InputError(f"the number of search steps must not be negative, got {self.steps}")

    @property
    def num_trials(self) -> int:
        """Count the trials of all rounds, without those of a class prior."""
        return len(self.cuts) + (self.rounds - 1) * self.refresh_cuts + self.rounds * self.steps

    def with_trials(self, trials: int) -> SearchSettings:
        """Spread a total number of trials over the design and the rounds.

        Args:
            trials: In all, at least 2 (uniform is always the first).

        Returns:
            Settings with as many cuts and steps as fit.

        Raises:
            InputError: If there are fewer than 2 trials.
        """
        if trials < 2:
            raise InputError(f"--trials counts uniform too and must be at least 2, got {trials}")
        fixed = len(self.cuts) + (self.rounds - 1) * self.refresh_cuts
        if trials >= fixed:
            steps, rest = divmod(trials - fixed, self.rounds)
            return replace(self, steps=steps, cuts=self.cuts) if not rest else _with_rest(self, steps, rest)
        if trials <= len(self.cuts):
            return replace(self, cuts=_thinned(self.cuts, trials), steps=0, rounds=1)
        return replace(self, steps=trials - len(self.cuts), rounds=1)

    def to_dict(self) -> dict[str, Any]:
        """List the settings, for JSON."""
        return asdict(self)


def _with_rest(settings: SearchSettings, steps: int, rest: int) -> SearchSettings:
    # What does not divide evenly becomes repeated cuts after a refresh, where the noise matters most.
    extra = rest if settings.rounds == 1 else 0
    if extra:
        return replace(settings, steps=steps + extra)
    return replace(settings, steps=steps, refresh_cuts=settings.refresh_cuts + rest // (settings.rounds - 1))


def _thinned(cuts: tuple[float, ...], count: int) -> tuple[float, ...]:
    others = cuts[1:]
    chosen = [others[round(i * (len(others) - 1) / max(1, count - 2))] for i in range(count - 1)]
    return (cuts[0], *dict.fromkeys(chosen))


PRESETS: dict[Preset, SearchSettings] = {
    "standard": SearchSettings(),
    "quick": SearchSettings(
        preset="quick",
        feature_source="step-mean",
        fold_share=None,
        num_folds=1,
        trial_share=1.0,
        cuts=FEW_CUTS,
        steps=0,
        rounds=1,
        top=2,
        safe_rule=True,
    ),
    "paper": SearchSettings(
        preset="paper",
        proxy="warm-start",
        form="b",
        transform="cgf",
        feature_source="checkpoint",
        feature_share=0.25,
        trial_share=0.25,
        cuts=FEW_CUTS,
        steps=5,
        batch=1,
        rounds=1,
        engine="optuna-gp",
        pilot_gate=True,
        max_cost=3.0,
    ),
}


def preset_settings(preset: str, **changes: Any) -> SearchSettings:
    """Take a preset and change some of its values.

    Args:
        preset: ``"standard"``, ``"quick"`` or ``"paper"``.
        **changes: Fields of `SearchSettings`, and ``trials``; None leaves a value as it is.

    Returns:
        The settings.

    Raises:
        InputError: If the preset is unknown or a value is out of range.

    Example:
        >>> preset_settings("standard").num_trials, preset_settings("quick", rounds=None).num_trials
        (20, 5)
    """
    if preset not in PRESETS:
        raise InputError(f"unknown preset {preset!r}; choose one of {', '.join(PRESETS)}")
    given = {name: value for name, value in changes.items() if value is not None}
    trials = given.pop("trials", None)
    settings = replace(PRESETS[preset], **given)
    return settings if trials is None else settings.with_trials(trials)
