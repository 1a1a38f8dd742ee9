"""Runs side by side on the utterances that all of them predict, and every pair of them tested.

`compare_runs(...).to_dict()`, which `voxaffect compare --json` prints:

    {"schema": "voxaffect.comparison/1", "n_shared": utterances that all predict,
     "runs": [{"name", "n": utterances of its own, "evaluation": as `voxaffect evaluate --json`, on the shared ones}],
     "pairs": [{"first", "second" (names), "n_shared", "n_first", "n_second",
                "difference": {"UA": second minus first with its interval, ...}, "p": {"UA", "WA", "macro-F1"},
                "mcnemar": {"only_first", "only_second", "p"}, "optimistic": [reason of each],
                "speakers": {"first_better", "second_better", "p", "first", "second": means of their UAs} or null,
                "p_holm": {"UA", "WA", "macro-F1", "mcnemar"}: corrected over the pairs}]}
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations

from voxaffect.errors import CorpusError, UsageError
from voxaffect.evaluation import Evaluation, evaluate
from voxaffect.predictions import Predictions
from voxaffect.significance import MEASURES, N_BOOTSTRAP, Comparison, compare, holm

SCHEMA = "voxaffect.comparison/1"


@dataclass(frozen=True)
class Pair:
    """Two runs tested; `p_holm` are the p of each measure, and of `mcnemar`, corrected over all pairs."""

    first: str
    second: str
    tests: Comparison
    p_holm: Mapping[str, float]


@dataclass(frozen=True)
class RunComparison:
    """Runs by name: how many utterances each predicts, its figures on those that all predict, and the pairs."""

    sizes: Mapping[str, int]
    evaluations: Mapping[str, Evaluation]
    n_shared: int
    pairs: tuple[Pair, ...]

    @property
    def shares_all(self) -> bool:
        """Whether all runs predict the very same utterances."""
        return set(self.sizes.values()) == {self.n_shared}

    def to_dict(self) -> dict[str, object]:
        """All of it as JSON values, see the module."""
        return {
            "schema": SCHEMA,
            "n_shared": self.n_shared,
            "runs": [
                {"name": name, "n": self.sizes[name], "evaluation": e.to_dict()}
                for name, e in self.evaluations.items()
            ],
            "pairs": [
                {"first": p.first, "second": p.second, **_without_figures(p.tests), "p_holm": dict(p.p_holm)}
                for p in self.pairs
            ],
        }

    def render(self) -> str:
        """The comparison as aligned text for a terminal."""
        from voxaffect.comparison_text import render  # the text needs this class

        return render(self)


def compare_runs(
    runs: Mapping[str, Predictions], *, n_bootstrap: int = N_BOOTSTRAP, seed: int = 0
) -> RunComparison:
    """Compare two runs or more on the utterances that all of them predict.

    Raises:
        UsageError: `one_run` for fewer than two.
        CorpusError: `nothing_shared`, and what `voxaffect.significance.compare` finds.
    """
    if len(runs) < 2:
        raise UsageError("one_run", f"a comparison needs two runs or more, got {len(runs)}")
    shared = set.intersection(*(set(p.ids) for p in runs.values()))
    if not shared:
        first = ", ".join(f"{p.ids[0]!r} in {name}" for name, p in runs.items())
        raise CorpusError("nothing_shared", f"no utterance is in all {len(runs)} runs; first ids: {first}")
    kept = {name: p.select([i for i, u in enumerate(p.ids) if u in shared]) for name, p in runs.items()}
    tests = [
        (a, b, compare(kept[a], kept[b], n_bootstrap=n_bootstrap, seed=seed))
        for a, b in combinations(kept, 2)
    ]
    corrected = {name: holm([t.p[name] for *_, t in tests]) for name in MEASURES}
    corrected["mcnemar"] = holm([t.mcnemar.p for *_, t in tests])
    return RunComparison(
        sizes={name: len(set(p.ids)) for name, p in runs.items()},
        evaluations={name: evaluate(p, n_bootstrap=n_bootstrap, seed=seed) for name, p in kept.items()},
        n_shared=len(shared),
        pairs=tuple(
            Pair(a, b, test, {name: values[i] for name, values in corrected.items()})
            for i, (a, b, test) in enumerate(tests)
        ),
    )


def _without_figures(tests: Comparison) -> dict[str, object]:
    """The tests without the figures of each, which stand in the runs' evaluations."""
    return {key: value for key, value in tests.to_dict().items() if key not in ("first", "second")}
