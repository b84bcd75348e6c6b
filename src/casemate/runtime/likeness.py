"""What containers that are alike have in common when they start."""

from __future__ import annotations

from typing import NamedTuple

from casemate.linux.cgroups.values import Limits
from casemate.runtime.plan import OpenStartFile, Plan


class Likeness(NamedTuple):
    """The plan, its file without the program that is run, and the limits of the cgroup."""

    plan: Plan
    file: OpenStartFile
    limits: Limits
