"""``ksm-storage vault throttle``: make clients wait."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import click

from ..vault.owner.service_settings import get_throttle, set_throttle
from ..vault.throttle_rule import SERVICE_WINDOW_SECONDS, ThrottleRule
from .options import json_option
from .output import data as print_data
from .output import data_as_json
from .vault_options import open_owner, owner_options, some_seconds

# More than anyone counts, and within what the database holds.
_COUNT = click.IntRange(1, 10**9)


@click.command()
@click.option("--next", "refuse_next", type=_COUNT, help="Refuse so many requests.")
@click.option("--limit", type=_COUNT, help="Requests per client and path.")
@click.option(
    "--per",
    type=click.FloatRange(0, min_open=True),
    callback=some_seconds,
    default=SERVICE_WINDOW_SECONDS,
    show_default=True,
    help="Seconds of silence after which the count starts anew.",
)
@click.option(
    "--retry-after",
    type=click.FloatRange(0),
    callback=some_seconds,
    help="Seconds that the refusal names.",
)
@click.option("--off", is_flag=True, help="Refuse nothing.")
@owner_options
@json_option
def throttle(
    refuse_next: int | None,
    limit: int | None,
    per: float,
    retry_after: float | None,
    off: bool,
    data: Path,
    owner_file: Path | None,
    as_json: bool,
) -> None:
    """Set when the server asks for patience, and print the rule in force.

    The service's own rule is --limit 100 --per 10.
    """
    if off and (refuse_next or limit):
        raise click.UsageError("--off goes with neither --next nor --limit")
    with open_owner(data, owner_file) as session:
        if off or refuse_next or limit:
            set_throttle(session, ThrottleRule(refuse_next or 0, limit, per, retry_after))
        rule = get_throttle(session)
    if as_json:
        data_as_json(dataclasses.asdict(rule))
        return
    print_data(_shown(rule))


def _shown(rule: ThrottleRule) -> str:
    parts = []
    if rule.refuse_next:
        parts.append(f"the next {rule.refuse_next} requests are refused")
    if rule.request_limit is not None:
        parts.append(f"{rule.request_limit} requests pass without {rule.window_seconds:g} s pause")
    if parts and rule.retry_after_seconds is not None:
        parts.append(f"clients are told to wait {rule.retry_after_seconds:g} s")
    return "; ".join(parts) or "off"
