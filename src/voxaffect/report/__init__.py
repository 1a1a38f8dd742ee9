"""The report of a run: one HTML page with everything that a reader needs to believe its figures, or not to.

Each module of this package writes one section from a `Source`: what is read of a run, an ensemble, a study or anyone's
predictions. The page loads nothing, and the same run gives the same bytes.
"""

from __future__ import annotations

from pathlib import Path

from voxaffect.charts import training_charts
from voxaffect.errors import UsageError
from voxaffect.files import write_text
from voxaffect.html_page import Figure, Part, Section, Stamp, bullets, page
from voxaffect.report import certainty, compared, confusions, headline, members, protocol, speakers, splits
from voxaffect.report.source import read_source
from voxaffect.report.system import Source
from voxaffect.significance import N_BOOTSTRAP
from voxaffect.stamps import plain_fold

ENDINGS = (".html", ".htm")

READING = (
    "WA (weighted accuracy) is right / all. UA (unweighted accuracy) is the mean of the classes’ recalls. macro-F1 is "
    "the mean of the classes’ F1. Figures of several seeds are means over them.",
    "A 95 % interval is the middle of a bootstrap that draws whole speakers, since utterances of one speaker are "
    "alike. With fewer than five speakers it says little about new ones.",
    "A paired test compares two systems on the same utterances: McNemar’s is exact and counts those that only one of "
    "them has right; the bootstrap draws the same speakers for both.",
    "Labels are perceived, mostly acted emotion. The figures say how often a system agrees with them, not what anybody "
    "feels.",
)


def report(run: Path, *, n_bootstrap: int = N_BOOTSTRAP) -> str:
    """The page of what lies in `run`: the folder of a study, ensemble or run, or a predictions CSV.

    `n_bootstrap` draws stand behind each interval. Raises what `read_source` raises.
    """
    return render(read_source(run, n_bootstrap=n_bootstrap), n_bootstrap=n_bootstrap)


def render(source: Source, *, n_bootstrap: int = N_BOOTSTRAP) -> str:
    """The page of `source`."""
    sections = [
        headline.section(source),
        protocol.section(source),
        compared.section(source, n_bootstrap=n_bootstrap),
        members.section(source),
        confusions.section(source),
        compared.printed_section(source),
        speakers.section(source, n_bootstrap=n_bootstrap),
        certainty.section(source),
        certainty.mistakes_section(source),
        splits.section(source),
        _training(source),
        Section("How to read this page", [bullets(READING)]),
    ]
    return page(
        source.title,
        [section for section in sections if section],
        lead=headline.lead(source),
        stamp=_stamp(source),
        footer="Made by voxaffect report. The page is whole in itself: it loads nothing and runs nothing.",
    )


def write_report(run: Path, out: Path | None = None, *, n_bootstrap: int = N_BOOTSTRAP) -> Path:
    """Write the page of `run` and return where: `out`, or else `report_file(run)`.

    Raises:
        UsageError: `report_format` for another ending than .html, `not_a_file` for a folder, `same_file` for `run`.
        ResourceError: `disk_full`, `cannot_write`.
        and what `report` raises.
    """
    out = out or report_file(run)
    if out.suffix.casefold() not in ENDINGS:
        raise UsageError(
            "report_format",
            f"cannot write a report as {out.name!r}; expected a name ending in {list(ENDINGS)}",
        )
    if out.is_dir():
        raise UsageError("not_a_file", f"{out} is a folder", hint="name a file in it")
    if out.exists() and out.samefile(run):
        raise UsageError("same_file", f"{out} is what the report is about", hint="name another file with -o")
    write_text(out, report(run, n_bootstrap=n_bootstrap))
    return out


def report_file(run: Path) -> Path:
    """Where a report goes if nobody says: `report.html` in the run's folder; beside a CSV, its name with `.html`."""
    return run.with_suffix(".html") if run.is_file() else run / "report.html"


def _stamp(source: Source) -> Stamp | None:
    if not source.reasons:
        return None
    why = "; ".join(source.reasons)
    return Stamp("OPTIMISTIC", f"These figures are better than honest ones would be: {why}.")


def _training(source: Source) -> Section | None:
    figures: list[Part] = []
    for system in source.systems:
        if system.epochs:
            rows = [{**row, "fold": plain_fold(row["fold"])} for row in system.epochs]
            of = f" of {system.title}" if len(source.systems) > 1 else ""
            each = "member" if system.vote else "fold"
            figures.append(Figure(training_charts(rows), f"Training curves{of}, one panel for each {each}"))
    return Section("Training", figures) if figures else None
