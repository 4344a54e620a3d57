"""``ksm-storage recovery``: a key whose secret lies on paper or in a safe."""

from __future__ import annotations

import click

from .recovery_create import create
from .recovery_drill import drill
from .recovery_use import use


@click.group()
def recovery() -> None:
    """Make, prove and use a key whose secret is kept offline.

    Its public part is its URI: 'rewrap --add-key URI' adds it to a file without the secret.
    """


for _command in (create, drill, use):
    recovery.add_command(_command)
