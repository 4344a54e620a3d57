"""``ksm-storage profile``: several client devices in one sealed file."""

from __future__ import annotations

import click

from .profile_change import add, delete, import_profiles, use
from .profile_read import export_profiles, list_profiles, show


@click.group()
def profile() -> None:
    """Keep several client devices in one sealed file, each under a name.

    The names and the rule of which one is active are those of the official command line:
    --profile, else $KSM_CLI_PROFILE, else the active one.
    """


for _command in (add, delete, export_profiles, import_profiles, list_profiles, show, use):
    profile.add_command(_command)
