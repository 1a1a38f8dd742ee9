"""The table of degradations as aligned text for a terminal, figures in percent and points."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from voxaffect.robustness import Heard, Robustness
from voxaffect.stamps import stamped


def render(r: Robustness) -> str:
    """The text of what was measured: each condition against clean audio, then what is heard at each level."""
    title = f"{r.title} OPTIMISTIC ({r.optimistic})" if r.optimistic else r.title
    seeds = f"{len(r.seeds)} seed{'s' if len(r.seeds) > 1 else ''}"
    judged = f", which vote ({r.vote})" if r.vote else ""
    about = (
        f"  {r.n_utterances} utterances of {r.n_speakers} speakers, {len(r.labels)} classes, {seeds}{judged}"
    )
    parts = [f"{title}\n{about}", _table(r.heard), _levels(r), _notes(r)]
    text = "\n\n".join(part for part in parts if part)
    return stamped(text) if r.optimistic else text


def _table(heard: Sequence[Heard]) -> str:
    width = max(len(h.condition.name) for h in heard)
    head = f"  {'condition':{width}}      UA      WA  UA change  95 % interval        p     ECE"
    lines = [head]
    for h in heard:
        c = h.comparison
        line = f"  {h.condition.name:{width}}  {100 * c.second['UA']:>6.1f}  {100 * c.second['WA']:>6.1f}"
        d = c.difference["UA"]
        span = f"{100 * d.low:+.1f} to {100 * d.high:+.1f}"
        change = f"  {100 * d.value:>+9.1f}  {span:16}{c.p['UA']:>6.3f}"
        line += f"{'':36}" if h is heard[0] else change
        lines.append(f"{line}  {100 * h.ece:>6.1f}")
    d = heard[0].comparison.difference["UA"]
    lines.append(f"  changes are paired with clean audio; intervals resample {d.n_clusters} {d.clusters}")
    if not d.reliable:
        lines.append("  note: too few speakers for the intervals to speak of new ones")
    return "\n".join(lines)


def _levels(r: Robustness) -> str:
    """Mean probabilities at each level: loudness alone should not decide."""
    heard = [h for h in r.heard if h.condition.group in ("clean", "level")]
    if len(heard) < 2:
        return ""
    width = max(len("mean probability of"), *(len(h.condition.name) for h in heard))
    lines = [f"  {'mean probability of':{width}}{''.join(f'{label:>10}' for label in r.labels)}"]
    lines += [f"  {h.condition.name:{width}}{_cells(h.probs)}" for h in heard]
    lines.append(f"  {'share of the truth':{width}}{_cells(r.truth)}")
    return "\n".join(lines)


def _cells(shares: Mapping[str, float]) -> str:
    return "".join(f"{100 * share:>10.1f}" for share in shares.values())


def _notes(r: Robustness) -> str:
    lines = [f"  left out: {name}: {reason}" for name, reason in r.left_out.items()]
    return "\n".join([*lines, *(f"  note: {notice}" for notice in r.notices)])
