"""``ksm-storage secret``: read what is shared with the application."""

from __future__ import annotations

import click

from .secret_download import download
from .secret_get import get
from .secret_list import list_secrets
from .secret_notation import notation


@click.group()
def secret() -> None:
    """Read the secrets that are shared with the application.

    Titles, types, uids and names of fields and files are shown; values only with --reveal.
    """


for _command in (download, get, list_secrets, notation):
    secret.add_command(_command)
