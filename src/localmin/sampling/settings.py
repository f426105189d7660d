"""Settings of a search, and the presets."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, get_args

from localmin.errors import InputError
from localmin.sampling.engines.protocol import ENGINES, EngineName
from localmin.sampling.feature_run import FEATURE_SOURCES, FeatureSource
from localmin.sampling.forms import FORMS, NUM_PARAMETERS, FormName
from localmin.sampling.transforms import TRANSFORMS, TransformKind

__all__ = [
    "PRESETS",
    "GuardKind",
    "OpinionKind",
    "Preset",
    "ProxyName",
    "SearchSettings",
    "preset_settings",
    "thinned_cuts",
]

Preset = Literal["standard", "quick", "paper"]
ProxyName = Literal["cross-fit", "warm-start"]
GuardKind = Literal["auto", "halves", "four-fifths", "none"]
OpinionKind = Literal["auto", "none"]

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
        form: Policy form; None chooses ``"a"`` for two classes, ``"e"`` for warm starts, else ``"d"``.
        transform: ``"cdf"`` or ``"cgf"``.
        feature_source: How features are recorded in the first run.
        feature_share: Length of the feature run; with warm-start it is also the shared checkpoint's.
        second_opinion: ``"auto"`` averages the features with those of a ridge regression on images and
            vectors, of n-gram counts on texts, see `localmin.sampling.second_opinion`; ``"none"`` does not.
        opinion_feature_share: Length of the feature run where there is a second opinion.
        fold_share: Share of the examples a trial network is trained on; None chooses a quarter, or a
            half for convolutional networks and language models.
        num_folds: Networks of a trial.
        trial_share: Length of a trial, in passes over its fold relative to the epochs of a training.
        cuts: Quantile cuts of the initial design; the first is uniform.
        starts: Numbers ``z`` of policies found on earlier tasks, tried right after uniform; of the form
            that is searched, without a class prior. They come on top of ``trials``.
        steps: Trials of Bayesian optimisation in each round.
        last_steps: More of them in the last round.
        batch: Proposals made at once.
        rounds: Features are computed anew between rounds, under the best sampler so far.
        refresh_cuts: Cuts tried again after a refresh, those nearest to the best; all if there are fewer.
        top: Samplers averaged by the pick.
        engine: Of the outer search.
        safe_rule: Fall back to uniform when the best cut does not beat it by one paired standard error
            on the items of its trial.
        guard: Full-length comparison of the pick with uniform, ``"auto"`` by kind of network.
        pilot_gate: Lengthen warm-started trials that cannot tell a cut from uniform.
        max_cost: Trainings the search may cost, guard apart; trials that do not fit are not made, but two
            always are. None: no limit.

    Raises:
        InputError: If a name is unknown or a value is out of range.
    """

    preset: Preset = "standard"
    proxy: ProxyName = "cross-fit"
    form: FormName | None = None
    transform: TransformKind = "cdf"
    feature_source: FeatureSource = "epoch-mean"
    feature_share: float = 0.5
    second_opinion: OpinionKind = "auto"
    opinion_feature_share: float = 0.5
    fold_share: float | None = 0.5
    num_folds: int = 2
    trial_share: float = 0.5
    cuts: tuple[float, ...] = ALL_CUTS
    starts: tuple[tuple[float, ...], ...] = ()
    steps: int = 4
    last_steps: int = 0
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
            ("preset", self.preset, get_args(Preset)),
            ("form", self.form or FORMS[0], FORMS),
            ("transform", self.transform, TRANSFORMS),
            ("feature source", self.feature_source, FEATURE_SOURCES),
            ("engine", self.engine, ENGINES),
            ("guard", self.guard, get_args(GuardKind)),
            ("second opinion", self.second_opinion, get_args(OpinionKind)),
            ("proxy", self.proxy, get_args(ProxyName)),
        ):
            if value not in known:
                raise InputError(f"unknown {name} {value!r}; choose one of {', '.join(known)}")
        self._check_counts()
        self._check_shares()
        self._check_cuts()

    def _check_counts(self) -> None:
        for name, low in (
            ("rounds", 1),
            ("steps", 0),
            ("last_steps", 0),
            ("batch", 1),
            ("refresh_cuts", 1),
            ("top", 1),
            ("num_folds", 1),
        ):
            if getattr(self, name) < low:
                raise InputError(f"{name} must be at least {low}, got {getattr(self, name)}")

    def _check_shares(self) -> None:
        for name in ("feature_share", "opinion_feature_share", "trial_share"):
            if not 0 < getattr(self, name) <= 10:
                raise InputError(
                    f"{name} is relative to one training and lies in (0, 10], got {getattr(self, name)}"
                )
        share = self.fold_share
        if share is not None and not (0 < share < 1 and self.num_folds * min(share, 1 - share) <= 1 + 1e-9):
            raise InputError(
                f"{self.num_folds} folds with a share of {share} do not fit into the data: a share up to "
                "1/2 needs room for disjoint folds, a larger one for disjoint complements"
            )
        if share is None and self.num_folds > 2:
            raise InputError(f"give fold_share with more than 2 folds, got {self.num_folds}")
        if self.max_cost is not None and not self.max_cost > 0:
            raise InputError(f"max_cost must be positive, got {self.max_cost}")

    def _check_cuts(self) -> None:
        for z in self.starts:
            if len(z) != NUM_PARAMETERS or not all(0 <= value <= 1 for value in z):
                raise InputError(f"a start has {NUM_PARAMETERS} numbers in [0, 1], got {list(z)}")
        if not self.cuts or self.cuts[0] <= 1:
            raise InputError(
                "the first cut of the design must be uniform (above 1): it is what others must beat"
            )
        if not all(0 < cut <= 1 for cut in self.cuts[1:]) or len(set(self.cuts)) != len(self.cuts):
            raise InputError(f"cuts after the first are distinct and lie in (0, 1], got {list(self.cuts)}")

    @property
    def num_trials(self) -> int:
        """Count the trials of all rounds, without those of a class prior."""
        return self.num_cuts + len(self.starts) + self.rounds * self.steps + self.last_steps

    @property
    def num_cuts(self) -> int:
        """Count the cuts of all rounds."""
        return len(self.cuts) + (self.rounds - 1) * self._num_refreshed

    @property
    def _num_refreshed(self) -> int:
        return min(self.refresh_cuts, len(self.cuts))

    def steps_of(self, number: int) -> int:
        """Count the trials of Bayesian optimisation in round ``number``, from 1."""
        return self.steps + (self.last_steps if number == self.rounds else 0)

    def form_for(self, num_classes: int) -> FormName:
        """Choose the form where none was asked for.

        Two classes leave nothing of the renormed entropy. With fine-tuned trials the grid over both features
        did best of the forms that read both (measured here), else the mixture is what we recommend.

        Args:
            num_classes: Of the task.

        Returns:
            The name of the form.
        """
        if self.form is not None:
            return self.form
        if num_classes <= 2:
            return "a"
        return "e" if self.proxy == "warm-start" else "d"

    def with_trials(self, trials: int) -> SearchSettings:
        """Spread a total number of trials over the design and the rounds, and lift the limit on the cost.

        Args:
            trials: In all, at least 2 (uniform is always the first). A class prior, where there is one,
                adds its three.

        Returns:
            Settings with exactly so many trials: with fewer rounds where they do not fit, and with fewer
            cuts when there are not enough trials for one round of them.

        Raises:
            InputError: If there are fewer than 2 trials.

        Example:
            >>> [SearchSettings().with_trials(trials).num_trials for trials in (2, 7, 13, 40)]
            [2, 7, 13, 40]
        """
        if trials < 2:
            raise InputError(f"--trials counts uniform too and must be at least 2, got {trials}")
        if trials <= len(self.cuts):
            return replace(
                self,
                cuts=thinned_cuts(self.cuts, trials),
                steps=0,
                last_steps=0,
                rounds=1,
                max_cost=None,
            )
        rounds = self.rounds
        while rounds > 1 and len(self.cuts) + (rounds - 1) * self._num_refreshed > trials:
            rounds -= 1
        steps, rest = divmod(trials - len(self.cuts) - (rounds - 1) * self._num_refreshed, rounds)
        return replace(self, rounds=rounds, steps=steps, last_steps=rest, max_cost=None)

    def to_dict(self) -> dict[str, Any]:
        """List the settings, for JSON."""
        return asdict(self)


def thinned_cuts(cuts: tuple[float, ...], count: int) -> tuple[float, ...]:
    """Keep the first cut and others evenly spread, ``count`` in all.

    Args:
        cuts: Of a design, uniform first.
        count: At least 1, at most ``len(cuts)``.

    Returns:
        The cuts that are kept, in order.

    Example:
        >>> thinned_cuts((1.2, 0.9, 0.8, 0.7, 0.6, 0.5), 2), thinned_cuts((1.2, 0.9, 0.8, 0.7, 0.6, 0.5), 4)
        ((1.2, 0.7), (1.2, 0.9, 0.7, 0.5))
    """
    others, wanted = cuts[1:], count - 1
    if wanted <= 1:
        return (cuts[0], *others[len(others) // 2 : len(others) // 2 + wanted])
    places = [round(i * (len(others) - 1) / (wanted - 1)) for i in range(wanted)]
    return (cuts[0], *(others[place] for place in places))


PRESETS: dict[Preset, SearchSettings] = {
    "standard": SearchSettings(),
    "quick": SearchSettings(
        preset="quick",
        feature_source="step-mean",
        opinion_feature_share=0.25,
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
        transform="cgf",
        feature_source="step-mean",
        second_opinion="none",
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
    unknown = set(given) - set(SearchSettings.__dataclass_fields__)
    if unknown:
        raise InputError(
            f"unknown setting {', '.join(sorted(unknown))}; a search has "
            f"{', '.join(SearchSettings.__dataclass_fields__)}"
        )
    settings = replace(PRESETS[preset], **given)
    if trials is None:
        return settings
    spread = settings.with_trials(trials)
    if "rounds" in given and spread.rounds != settings.rounds:
        least = settings.num_cuts
        raise InputError(f"{settings.rounds} rounds need at least {least} trials, got {trials}")
    return spread
