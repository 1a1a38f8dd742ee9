"""`voxaffect doctor`: what is installed, what works, what to do, and how many live streams this machine holds."""

from __future__ import annotations

import argparse
import json
import sys
from typing import TYPE_CHECKING

from voxaffect.cli import add_model_arguments

if TYPE_CHECKING:
    from voxaffect.doctor import Finding, Timing

EPILOG = """\
exit codes: 0 all that is needed works, 4 a package or a codec does not, 5 the model is missing, damaged or refused.
What is only marked as a note may not be needed.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.epilog = EPILOG
    add_model_arguments(parser)
    parser.add_argument("--json", action="store_true", help="everything as JSON (default: lines of text)")
    parser.add_argument(
        "--no-timing",
        dest="timing",
        action="store_false",
        help="do not measure how fast it is (default: measure, for a few seconds)",
    )


def run(args: argparse.Namespace) -> int:
    """Examine, print; the first failure gives the exit code."""
    from voxaffect.doctor import FAILED, examine, timed
    from voxaffect.errors import ExitCode

    findings = []
    for finding in examine(args.model, args.device):
        findings.append(finding)
        if not args.json:
            print(_line(finding), flush=True)
    failed = [finding for finding in findings if finding.state == FAILED]
    timing = timed(args.model) if args.timing and not failed else None
    if args.json:
        print(json.dumps(_data(findings, timing), indent=2))
    else:
        if timing:
            print(_speed(timing))
        if failed and not args.quiet:
            print(f"voxaffect: {len(failed)} of {len(findings)} do not work", file=sys.stderr)
    return failed[0].exit_code if failed else ExitCode.OK


def _line(finding: Finding) -> str:
    from voxaffect.audio_input import printable

    hint = f"; {finding.hint}" if finding.hint else ""
    return printable(f"{finding.state:<7} {finding.name:<20} {finding.message}{hint}")


def _speed(timing: Timing) -> str:
    from voxaffect.doctor import RESERVE

    return (
        f"speed   {'one core':<20} {timing.times_real_time:.0f} times real time of unbroken speech "
        f"({timing.engine_ms:.1f} ms to find it and {timing.model_ms:.1f} ms to judge it, a second)\n"
        f"speed   {'live streams':<20} about {timing.streams} with a result a second, in one server "
        f"on {timing.cores} cores, {RESERVE:.0%} of them left for sockets and the rest of the machine"
    )


def _data(findings: list[Finding], timing: Timing | None) -> dict[str, object]:
    data: dict[str, object] = {
        "findings": [
            {"name": f.name, "state": f.state, "message": f.message, "hint": f.hint} for f in findings
        ],
        "timing": None,
    }
    if timing:
        data["timing"] = {
            "engine_ms": round(timing.engine_ms, 3),
            "model_ms": round(timing.model_ms, 3),
            "times_real_time": round(timing.times_real_time, 1),
            "cores": timing.cores,
            "streams": timing.streams,
        }
    return data
