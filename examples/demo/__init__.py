"""The demo of ``make demo``; run it with ``python -m examples.demo``."""
