"""``ksm-storage profile list``, ``show`` and ``export``."""

from __future__ import annotations

from collections.abc import Mapping

import click

from ..config.document import ACTIVE_PROFILE, UNNAMED
from ..config.fields import is_secret
from ..storage.open_policy import OpenPolicy
from ..storage.profiles import read_document, require_profile
from .export import export
from .options import json_option, path_argument, setting_option, trusted_key_option
from .output import data_as_json, table

_Settings = Mapping[str, Mapping[str, object]]


@click.command(name="list")
@path_argument
@trusted_key_option
@setting_option
@json_option
def list_profiles(path: str, keys: tuple[str, ...], settings: _Settings, as_json: bool) -> None:
    """List the profiles in PATH; the active one has a star."""
    document = read_document(path, OpenPolicy.from_args(keys or None, None, settings))
    active = document.settings.get(ACTIVE_PROFILE)
    rows = [
        {
            "profile": name,
            "active": name == active,
            "bound": "appKey" in config,
            "hostname": config.get("hostname"),
        }
        for name, config in sorted(document.profiles.items())
        if name != UNNAMED
    ]
    if as_json:
        data_as_json(rows)
        return
    table(["", "PROFILE", "STATE", "HOSTNAME"], [_as_row(row) for row in rows])


@click.command(short_help="Show what a profile holds.")
@path_argument
@click.argument("name", required=False)
@click.option("--reveal", is_flag=True, help="Show the secret values too.")
@trusted_key_option
@setting_option
@json_option
def show(
    path: str,
    name: str | None,
    reveal: bool,
    keys: tuple[str, ...],
    settings: _Settings,
    as_json: bool,
) -> None:
    """Show what the profile NAME in PATH holds; the active one if no name is given."""
    document = read_document(path, OpenPolicy.from_args(keys or None, None, settings))
    if name is not None:
        require_profile(document, name)
    chosen = document.chosen(name)
    config = {
        field: None if is_secret(field) and not reveal else value
        for field, value in sorted(document.profiles[chosen].items())
    }
    if as_json:
        data_as_json({"profile": chosen or None, "config": config})
        return
    shown = [[field, value or "(hidden; see --reveal)"] for field, value in config.items()]
    table(["FIELD", "VALUE"], shown)


@click.command(name="export", short_help="Write profiles in the clear, as keeper.ini.")
@path_argument
@click.argument("name", required=False)
@click.option("--output", metavar="FILE", help="Write to this new file, readable by you alone.")
@click.option("--reveal", is_flag=True, help="Write to stdout.")
@trusted_key_option
@setting_option
@click.pass_context
def export_profiles(
    ctx: click.Context,
    path: str,
    name: str | None,
    output: str | None,
    reveal: bool,
    keys: tuple[str, ...],
    settings: _Settings,
) -> None:
    """Write the profile NAME in PATH, or all of them, in the clear as keeper.ini."""
    ctx.invoke(
        export,
        path=path,
        form="ini",
        output=output,
        reveal=reveal,
        profile=name,
        keys=keys,
        settings=settings,
    )


def _as_row(row: Mapping[str, object]) -> list[str]:
    state = "bound" if row["bound"] else "not bound"
    return ["*" if row["active"] else "", str(row["profile"]), state, str(row["hostname"] or "-")]
