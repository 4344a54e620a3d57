"""The tests of the core; what several of them use lies here, beside `conftest.py`."""
