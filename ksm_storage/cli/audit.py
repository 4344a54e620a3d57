"""``ksm-storage audit``: read the file that the built-in audit sink writes."""

from __future__ import annotations

import click

from .audit_show import show
from .audit_verify import verify


@click.group()
def audit() -> None:
    """Show and verify the file named by $KSM_STORAGE_AUDIT_FILE."""


audit.add_command(show)
audit.add_command(verify)
