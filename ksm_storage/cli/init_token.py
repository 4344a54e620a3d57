"""Where ``init`` takes a one-time token from."""

from __future__ import annotations

import sys

import click

from ..errors import SettingsError
from .output import say

PROMPT = "-"
_LONGEST_TOKEN = 4096


def read_token(argument: str) -> str:
    """Return the argument, or for ``-`` what is typed unseen at a terminal or comes from a pipe.

    Raises:
        SettingsError: Nothing came, or too much to be a token.
    """
    if argument != PROMPT:
        say(
            "note: others can see a token among the arguments; leave it out and it is asked for,"
            " or pipe it in"
        )
        return argument
    if sys.stdin.isatty():
        typed: str = click.prompt("one-time token", hide_input=True, err=True)
        return typed.strip()
    read = sys.stdin.buffer.read(_LONGEST_TOKEN + 1)
    if not read.strip() or len(read) > _LONGEST_TOKEN or not read.isascii():
        raise SettingsError(
            "standard input holds no one-time token", hint="pipe the token alone: US:TOKEN"
        )
    return read.decode("ascii").strip()
