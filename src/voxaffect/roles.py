"""Who speaks on which channel, and whom the law says not to analyse.

Regulation (EU) 2024/1689, Article 5(1)(f), which applies since 2 February 2025, prohibits AI systems that infer the
emotions of a natural person in the areas of workplace and education institutions, except for medical or safety reasons.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from voxaffect.errors import UsageError

_WORDS = """
agent employee worker staff colleague coworker operator representative rep csr advisor adviser clerk salesperson
seller cashier driver trainee intern apprentice candidate applicant interviewee jobseeker supervisor manager
student pupil learner schoolchild teacher lecturer tutor professor
mitarbeiter mitarbeiterin angestellter angestellte bewerber bewerberin schüler schülerin lehrer lehrerin azubi
agente empleado empleada estudiante alumno alumna employé employée salarié salariée élève étudiant étudiante
pracownik pracownica uczeń uczennica
"""
PROTECTED = frozenset(_WORDS.split())
"""Words that name people at work, who seek work, or who learn; whole words of a role, in the plural too."""
SAME = 0.999
"""Correlation from which two channels carry one signal: of two talkers it stays near 0, of two microphones in a room
far below."""


def check_roles(
    roles: Mapping[int, str], only: str | None, channels: str | int, lawful_basis: bool
) -> dict[int, str]:
    """The roles of the channels that are to be judged, by channel.

    Raises UsageError `bad_value` for roles that are no names of channels, `unknown_role` if nobody has the role `only`,
    `prohibited_role` if somebody at work or in education would be analysed without a lawful basis.
    """
    for channel, role in roles.items():
        whole = isinstance(channel, int) and not isinstance(channel, bool) and channel >= 0
        if not whole or not isinstance(role, str) or not role.strip():
            raise UsageError(
                "bad_value", f"the role {channel!r}={role!r} is none; expected a channel from 0 and a name"
            )
    judged = dict(roles) if channels == "split" else {c: r for c, r in roles.items() if c == channels}
    if only is not None:
        judged = {channel: role for channel, role in judged.items() if role == only}
        if not judged:
            known = sorted(set(roles.values())) or "none"
            raise UsageError(
                "unknown_role", f"no channel has the role {only!r}; there are {known}", hint="see --roles"
            )
    prohibited = [role for role in dict.fromkeys(judged.values()) if is_protected(role)]
    if prohibited and not lawful_basis:
        raise UsageError(
            "prohibited_role",
            f"the role {prohibited[0]!r} is of somebody at work or in education: EU law (AI Act, Article 5(1)(f)) "
            "prohibits inferring the emotions of such people, except for medical or safety reasons",
            hint="judge the others: --only ROLE; or, where you are allowed to, add --i-have-a-lawful-basis",
        )
    return judged


def is_protected(role: str) -> bool:
    """Whether a role is one of `PROTECTED`, however it is written: "Agent 2", "call_agent", "students"."""
    words = re.findall(r"[^\W\d_]+", role.lower())
    return any(word in PROTECTED or word.removesuffix("s") in PROTECTED for word in words)


def parse_roles(text: str) -> dict[int, str]:
    """Roles from `0=customer,1=agent`; raises ValueError for anything else."""
    roles: dict[int, str] = {}
    for part in text.split(","):
        number, _, role = (piece.strip() for piece in part.partition("="))
        if not number.isdecimal() or not role or int(number) in roles:
            raise ValueError(f"{part!r} is no role of a channel; expected as in 0=customer,1=agent")
        roles[int(number)] = role
    return roles


class Likeness:
    """Whether the channels of a recording are all the same signal, whatever their loudness; of its blocks, in turn."""

    def __init__(self) -> None:
        self._products: npt.NDArray[np.float64] | None = None  # (C, C)

    def feed(self, block: npt.NDArray[np.float32]) -> None:
        """Take the next `block` (n, C)."""
        products = block.T @ block
        self._products = products.astype(np.float64) + (0.0 if self._products is None else self._products)

    @property
    def same(self) -> bool:
        """Whether each channel is the first one, louder or softer; never so of one channel, or of silence."""
        if self._products is None or len(self._products) < 2:
            return False
        power = np.diag(self._products)
        if not (power > 0).all():
            return False
        return bool((self._products[0] / np.sqrt(power * power[0]) >= SAME).all())
