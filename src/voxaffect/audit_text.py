"""An audit as aligned text for a terminal: a row for each kind of leak, examples of what was found, a verdict."""

from __future__ import annotations

from collections.abc import Sequence

from voxaffect.audit import BETWEEN, Audit, KindReport
from voxaffect.corpora.text import counted

MOST_TWINS = 10
MOST_LETTERS = 60
"""Longer examples are cut."""


def render(a: Audit) -> str:
    """The text of an audit."""
    parts = [_head(a), _table(a), _examples(a), _recordings(a), _verdict(a)]
    return "\n\n".join(part for part in parts if part)


def _head(a: Audit) -> str:
    stamp = f" OPTIMISTIC ({', '.join(a.optimistic)})" if a.optimistic else ""
    speakers = f" of {counted(a.n_speakers, 'speaker')}" if a.n_speakers else ""
    sizes = ", ".join(
        f"{part} {_span([getattr(f, part) for f in a.folds])}" for part in ("train", "dev", "test")
    )
    seeds = len({f.seed for f in a.folds})
    split = counted(len(a.folds), "split") + (f" ({seeds} seeds)" if seeds > 1 else "")
    return f"{a.source}{stamp}\n  {counted(a.n_utterances, 'utterance')}{speakers} in {split}: {sizes}"


def _table(a: Audit) -> str:
    header = ["what is shared", *(f"{first} and {second}" for first, second in BETWEEN), ""]
    rows = []
    for kind in a.kinds:
        if kind.kind == "label":
            continue
        if not kind.checked:
            rows.append([kind.kind, "not checked", "", "", kind.note])
            continue
        cells = [_cell(kind, between, len(a.folds)) for between in BETWEEN]
        failed = "LEAK" if kind.kind in a.failed else "reported only" if kind.findings else ""
        rows.append([kind.kind, *cells, ", ".join(filter(None, (failed, kind.note)))])
    return _left(header, rows)


def _cell(kind: KindReport, between: tuple[str, str], n_folds: int) -> str:
    """`12.5 % in 3 folds`: the share of the second part over the folds where anything is shared."""
    found = [f for f in kind.findings if f.between == between]
    if not found:
        return "-"
    share = 100 * sum(f.n for f in found) / sum(f.of for f in found)
    return f"{share:.3g} % of {between[1]}" + (
        "" if len(found) == n_folds else f" in {len(found)} of {n_folds}"
    )


def _examples(a: Audit) -> str:
    lines = []
    for kind in a.kinds:
        of_test = [f for f in kind.findings if f.between[1] == "test"]
        worst = max(kind.leaks or of_test, key=lambda f: f.n / f.of, default=None)
        if worst is None:
            continue
        first, second = worst.between
        some = ", ".join(_short(e) for e in worst.examples)
        more = (
            f" and {worst.n_values - len(worst.examples)} more"
            if worst.n_values > len(worst.examples)
            else ""
        )
        fold = f" of fold {worst.fold!r}" if worst.fold else ""
        lines.append(
            f"  {kind.kind}: {worst.n} of {worst.of} {second} utterances{fold} share with {first}: {some}{more}"
        )
    return "\n".join(lines)


def _recordings(a: Audit) -> str:
    lines = []
    if a.twins:
        lines.append(f"  {counted(len(a.twins), 'pair')} of recordings that are the same:")
        for t in a.twins[:MOST_TWINS]:
            how = "equal samples" if t.exact else f"another copy, waveforms agree to {t.agreement:.2f}"
            lines.append(f"    {t.first} = {t.second} ({how})")
        if len(a.twins) > MOST_TWINS:
            lines.append(f"    and {len(a.twins) - MOST_TWINS} more, see --json")
    for ids in a.contradictions[:MOST_TWINS]:
        lines.append(f"  one recording under several labels: {', '.join(ids)}")
    return "\n".join(lines)


def _verdict(a: Audit) -> str:
    if a.failed:
        return f"  LEAKS: {', '.join(a.failed)}"
    asked = set(a.fail_on)
    checked = [k.kind for k in a.kinds if k.checked and k.kind in asked]
    unchecked = [k.kind for k in a.kinds if not k.checked and k.kind in asked]
    rest = f"; not checked: {', '.join(unchecked)}" if unchecked else ""
    return f"  clean: nothing found of {', '.join(checked) or 'what was asked for'}{rest}"


def _span(sizes: Sequence[int]) -> str:
    return str(sizes[0]) if min(sizes) == max(sizes) else f"{min(sizes)} to {max(sizes)}"


def _short(example: str) -> str:
    return example if len(example) <= MOST_LETTERS else example[: MOST_LETTERS - 1] + "…"


def _left(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    return "\n".join(
        "  " + "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )
