"""Whether the tests run in their long form, which takes minutes instead of seconds."""

from __future__ import annotations

import os

# Read when the tests are collected: each test has an environment of its own.
LONG_FORM = os.environ.get("KSM_STORAGE_LONG_TESTS", "") not in ("", "0")
