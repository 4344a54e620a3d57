"""Run the demo: ``python -m examples.demo``."""

from __future__ import annotations

import sys

from .story import main

sys.exit(main())
