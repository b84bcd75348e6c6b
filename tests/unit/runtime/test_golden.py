"""Plans as text, held against the files beside: what changes in them is seen in a review.

``CASEMATE_REGENERATE=1 pytest tests/unit/runtime/test_golden.py`` writes the files anew.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from unit.runtime.cases import CASES

PLANS = Path(__file__).parent / "plans"


@pytest.mark.parametrize("name", CASES)
def test_a_plan_is_what_it_was(name: str) -> None:
    plan = CASES[name]()
    text = f"namespaces {plan.namespaces:#x}, {plan.stdio}\n{plan.describe()}\n"
    path = PLANS / f"{name}.txt"
    if os.environ.get("CASEMATE_REGENERATE"):
        path.write_text(text)
    assert path.read_text() == text


def test_no_file_is_left_over() -> None:
    assert {p.stem for p in PLANS.iterdir()} == set(CASES)
