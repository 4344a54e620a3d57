"""Rules from outside the code: each source can demand more, and none can loosen another."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ksm_storage.errors import SettingsError
from ksm_storage.keys import setting_sources
from ksm_storage.keys.trust_rules import TrustRule, all_rules, parse_rules, strictest
from ksm_storage.storage.open_policy import OpenPolicy
from tests.unit.storage import forked

KEY = "key-file:///keys/app.key"
OTHER_KEY = "key-file:///keys/other.key"


@pytest.fixture
def policy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "etc"
    folder.mkdir(mode=0o755)
    path = folder / "policy.toml"
    monkeypatch.setattr(setting_sources, "POLICY_FILE", str(path))
    return path


def rules_for(path: str | None) -> tuple[TrustRule, ...]:
    return tuple(rule for rule in all_rules() if rule.applies_to(path))


def write_policy(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o644)


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a policy of root's")


def test_without_any_source_there_is_no_rule(policy: Path) -> None:
    assert rules_for("/srv/c.json") == ()


@needs_root
def test_the_environment_adds_to_the_policy_and_replaces_nothing(
    policy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_policy(policy, f'[[trust]]\nkeys = ["{KEY}"]\ncontext = {{ env = "prod" }}\n')
    monkeypatch.setenv("KSM_STORAGE_TRUST", OTHER_KEY)
    monkeypatch.setenv("KSM_STORAGE_CONTEXT", "team=payments, env=test")

    rules = rules_for("/srv/c.json")

    assert [rule.source for rule in rules] == [
        str(policy),
        "$KSM_STORAGE_TRUST",
        "$KSM_STORAGE_CONTEXT",
    ]
    assert [str(key) for key in rules[0].keys or ()] == [KEY]
    assert rules[0].context == {"env": "prod"}
    assert [str(key) for key in rules[1].keys or ()] == [OTHER_KEY]
    assert rules[2].context == {"team": "payments", "env": "test"}


def test_the_users_settings_file_has_rules_too(settings: Path) -> None:
    settings.write_text('[[trust]]\npath = "/srv/**"\nmemory = "/var/lib/seen"\n')

    (rule,) = rules_for("/srv/a/c.json")

    assert (rule.source, rule.memory) == (str(settings), "/var/lib/seen")
    assert rules_for("/opt/c.json") == ()
    assert rules_for(None) == ()


@needs_root
@pytest.mark.parametrize("loosened", ["file mode", "folder mode", "file owner", "folder owner"])
def test_a_policy_that_others_can_change_is_refused(policy: Path, loosened: str) -> None:
    write_policy(policy, "[[trust]]\n")
    place = policy if loosened.startswith("file") else policy.parent
    if loosened.endswith("mode"):
        place.chmod(0o777)
    else:
        os.chown(place, 65534, -1)

    with pytest.raises(SettingsError, match="can be changed by others than root") as caught:
        rules_for("/srv/c.json")

    # The fixture's other owner is the one that a rootless container does not know.
    cure = "put the policy into the image" if loosened.endswith("owner") else "subPath"
    assert cure in str(caught.value.hint)


@needs_root
def test_a_link_in_the_place_of_the_policy_is_refused(policy: Path, tmp_path: Path) -> None:
    real = tmp_path / "real.toml"
    write_policy(real, "[[trust]]\n")
    policy.symlink_to(real)

    with pytest.raises(SettingsError, match="cannot read the policy") as caught:
        rules_for("/srv/c.json")

    assert "subPath" in str(caught.value.hint)


def test_a_folder_in_the_place_of_the_policy_is_refused(policy: Path) -> None:
    policy.mkdir()

    with pytest.raises(SettingsError):
        rules_for("/srv/c.json")


@needs_root
@pytest.mark.parametrize("mode", [0o700, 0o755])
def test_a_policy_that_a_user_cannot_see_is_refused_and_not_skipped(
    policy: Path, tmp_path: Path, mode: int
) -> None:
    write_policy(policy, "[[trust]]\n")
    policy.chmod(0o600)
    policy.parent.chmod(mode)
    for folder in (tmp_path, *tmp_path.parents[:2]):
        folder.chmod(folder.stat().st_mode | 0o011)

    def opens() -> None:
        with pytest.raises(SettingsError, match="cannot read the policy"):
            OpenPolicy.from_args(None, None, None)

    assert forked.run_as_nobody(opens) == 0


@needs_root
def test_no_variable_names_another_policy(policy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_policy(policy, '[[trust]]\ncontinuity = "refuse"\n')
    for name in ("KSM_STORAGE_POLICY", "KSM_STORAGE_SETTINGS", "KSM_STORAGE_CONTINUITY"):
        monkeypatch.setenv(name, os.devnull if name.endswith("SETTINGS") else "off")

    assert strictest(rule.continuity for rule in rules_for("/srv/c.json")) == "refuse"


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[[trust]]\nkey = []\n", "unknown field: 'key'"),
        ("[[trust]]\nkeys = []\n", "'keys'"),
        ('[[trust]]\nkeys = "key-file:///k"\n', "'keys'"),
        ("[[trust]]\nkeys = [1]\n", "'keys'"),
        ('[[trust]]\nkeys = ["no key"]\n', "in policy"),
        ("[[trust]]\npath = []\n", "'path'"),
        ('[[trust]]\npath = "c.json"\n', "'path'"),
        ("[[trust]]\ncontext = { env = 1 }\n", "'context'"),
        ('[[trust]]\ncontext = "env=prod"\n', "'context'"),
        ('[[trust]]\ncontinuity = "never"\n', "'continuity'"),
        ('[[trust]]\nmemory = "seen"\n', "'memory'"),
        ("[trust]\nkeys = []\n", r"\[\[trust\]\]"),
        ("trust = 1\n", r"\[\[trust\]\]"),
        ("[[trust]", "not valid TOML"),
        ("[" * 100_000, "not valid TOML"),
    ],
)
def test_an_invalid_rule_is_an_error_that_names_it(text: str, named: str) -> None:
    with pytest.raises(SettingsError, match=named):
        parse_rules(text.encode(), source="policy")


OUTSIDE_A_RULE = {
    "list": f'keys = ["{KEY}"]\n',
    "value": 'continuity = "refuse"\n',
    "field that is a table": 'context = { env = "prod" }\n',
    "misspelt rule": f'[[trsut]]\nkeys = ["{KEY}"]\n',
    "beside a rule": f'memory = "/var/lib/seen"\n[[trust]]\nkeys = ["{KEY}"]\n',
}
TABLE_OF_A_PLUGIN = '[key-file]\npermissions = "any"\n'


@pytest.mark.parametrize("text", [*OUTSIDE_A_RULE.values(), TABLE_OF_A_PLUGIN])
def test_a_policy_with_anything_outside_a_rule_is_an_error(text: str) -> None:
    with pytest.raises(SettingsError, match=r"unknown name .* at the top of 'policy'"):
        parse_rules(text.encode(), source="policy")


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, policy: Path) -> Path:
    path = tmp_path / "settings.toml"
    path.touch(mode=0o600)
    monkeypatch.setenv("KSM_STORAGE_SETTINGS", str(path))
    return path


@pytest.mark.parametrize("text", OUTSIDE_A_RULE.values(), ids=OUTSIDE_A_RULE)
def test_settings_refuse_at_the_top_what_can_belong_to_no_plugin(settings: Path, text: str) -> None:
    settings.write_text(text)

    with pytest.raises(SettingsError, match=r"unknown name .* at the top of '.*settings\.toml'"):
        rules_for(None)


@pytest.mark.parametrize(
    ("table", "meant"),
    [
        ("[trsut]", "did you mean [[trust]]?"),
        ("[[trusts]]", "did you mean [[trust]]?"),
        ("[cahce]", "did you mean [cache]?"),
        ("[keyfile]", "did you mean [key-file]?"),
        ("[aws_kms]", "did you mean [aws-kms]?"),
        ('["not-installed://x"]', "write [[trust]] above the fields of each rule"),
    ],
)
def test_a_misspelt_table_of_the_settings_is_an_error_that_names_the_right_one(
    settings: Path, table: str, meant: str
) -> None:
    settings.write_text(f"{table}\nx = 1\n")

    with pytest.raises(SettingsError, match="unknown name") as caught:
        rules_for(None)

    assert caught.value.hint == meant


@pytest.mark.parametrize("value", ["-1", "86401", "1.5", "true", '"60"'])
def test_an_invalid_time_for_the_start_cache_is_an_error(value: str) -> None:
    with pytest.raises(SettingsError, match=r"'max_cache_seconds' .* 0 \(off\) to 86400"):
        parse_rules(f"[[trust]]\nmax_cache_seconds = {value}\n".encode(), source="policy")


def test_settings_may_have_tables_of_plugins_and_keys_beside_the_rules(settings: Path) -> None:
    settings.write_text(
        f'{TABLE_OF_A_PLUGIN}["{KEY}"]\n[audit]\n[cache]\n[tpm2]\n[[trust]]\nkeys = ["{KEY}"]\n'
    )

    (rule,) = rules_for(None)

    assert [str(key) for key in rule.keys or ()] == [KEY]


def test_bytes_that_are_not_utf_8_are_no_policy() -> None:
    with pytest.raises(SettingsError, match="not valid TOML") as caught:
        parse_rules(b"\xff\xfesecret", source="policy")

    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


@pytest.mark.parametrize(
    ("pattern", "path", "fits"),
    [
        ("/etc/app/*.json", "/etc/app/c.json", True),
        ("/etc/app/*.json", "/etc/app/x/c.json", False),
        ("/etc/**/c.json", "/etc/c.json", True),
        ("/etc/**/c.json", "/etc/a/b/c.json", True),
        ("/etc/**", "/etc/a/b/c.json", True),
        ("/etc/**", "/etcetera/c.json", False),
        ("/etc/app?/c.json", "/etc/app1/c.json", True),
        ("/etc/app?/c.json", "/etc/app/c.json", False),
        ("/etc/a.c", "/etc/abc", False),
        ("/etc/[a]", "/etc/a", False),
        ("/etc/c.json", "/etc/x/../c.json", True),
    ],
)
def test_a_pattern_names_files(pattern: str, path: str, fits: bool) -> None:
    (rule,) = parse_rules(f'[[trust]]\npath = "{pattern}"\n'.encode(), source="policy")

    assert rule.applies_to(path) is fits


def test_a_rule_applies_to_the_link_and_to_what_it_leads_to(tmp_path: Path) -> None:
    target = tmp_path / "real" / "c.json"
    target.parent.mkdir()
    target.touch()
    link = tmp_path / "link.json"
    link.symlink_to(target)

    for name in (link, target):
        (rule,) = parse_rules(f'[[trust]]\npath = "{name}"\n'.encode(), source="policy")
        assert rule.applies_to(str(link))


@pytest.mark.parametrize("text", ["env", "=prod", "env=", "env=a,env=b", "a=b,,"])
def test_a_malformed_context_variable_is_an_error(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KSM_STORAGE_CONTEXT", text)

    with pytest.raises(SettingsError, match="NAME=VALUE"):
        rules_for(None)


def test_the_strictest_action_holds() -> None:
    assert strictest(["warn", None, "refuse", "off"]) == "refuse"
    assert strictest(["off", "warn"]) == "warn"
    assert strictest([None]) is None
