"""The benchmarks are no part of the package: they are found from the checkout's root."""

from __future__ import annotations

import os
import sys

_ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(__file__))))
if _ROOT not in sys.path:
    sys.path.insert(0, _ROOT)
