"""A settings class reads its marked fields from the vault, with one request."""

from __future__ import annotations

from typing import Annotated, Any

import pytest
from pydantic import BaseModel, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from ksm_storage.engine import SecretNotFoundError, SecretsManager
from ksm_storage.errors import SettingsError, StorageError
from ksm_storage.integrations.pydantic import Keeper, KeeperSettingsSource
from ksm_storage.wire.base64_forms import new_uid
from tests.engine.conftest import bound, ca_file, certificate, connect, server, waits
from tests.engine.loopback_server import LoopbackServer
from tests.engine.sealed_secrets import login, record

__all__ = ["bound", "ca_file", "certificate", "connect", "server", "waits"]

UID, OTHER = new_uid(), new_uid()


@pytest.fixture
def manager(server: LoopbackServer, bound: SecretsManager) -> SecretsManager:
    """Return a bound client of a server with two records."""
    server.answers["get_secret"] = {
        "records": [
            record(login("Database", password="one"), server.app_key, uid=UID),
            record(login("Queue", password="two"), server.app_key, uid=OTHER),
        ]
    }
    server.asked.clear()
    return bound


def settings_with(*arguments: Any, **keywords: Any) -> type[BaseSettings]:
    """Return a base class whose instances read the vault after the environment."""

    class FromVault(BaseSettings):
        model_config = SettingsConfigDict(hide_input_in_errors=True)

        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            init_settings: PydanticBaseSettingsSource,
            env_settings: PydanticBaseSettingsSource,
            dotenv_settings: PydanticBaseSettingsSource,
            file_secret_settings: PydanticBaseSettingsSource,
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            keeper = KeeperSettingsSource(settings_cls, *arguments, **keywords)
            return init_settings, env_settings, keeper

    return FromVault


def test_marked_and_mapped_fields_are_read_with_one_request(
    manager: SecretsManager, server: LoopbackServer
) -> None:
    class Settings(settings_with(manager=manager, references={"user": f"{UID}/field/login"})):  # type: ignore[misc]
        password: Annotated[SecretStr, Keeper(f"keeper://{UID}/field/password")]
        queue: Annotated[str, Keeper(f"keeper://{OTHER}/field/password")]
        user: str
        debug: bool = False

    settings = Settings()

    assert settings.password.get_secret_value() == "one"
    assert (settings.queue, settings.user, settings.debug) == ("two", "alice", False)
    assert [payload["requestedRecords"] for _, payload in server.asked] == [[UID, OTHER]]


def test_titles_and_aliases(manager: SecretsManager, server: LoopbackServer) -> None:
    class Settings(settings_with(manager=manager)):  # type: ignore[misc]
        one: Annotated[str, Keeper("Database/field/password")] = Field(validation_alias="DB_ONE")
        two: Annotated[str, Keeper("Queue/field/password")]

    settings = Settings()

    assert (settings.one, settings.two) == ("one", "two")
    assert len(server.asked) == 1


def test_what_the_environment_sets_is_not_asked_for(
    manager: SecretsManager, server: LoopbackServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Settings(settings_with("no such file.json")):  # type: ignore[misc]
        password: Annotated[str, Keeper(f"{UID}/field/password")]

    monkeypatch.setenv("PASSWORD", "from the environment")

    assert Settings().password == "from the environment"


def test_a_configuration_that_does_not_open_is_our_error() -> None:
    class Settings(settings_with("no such file.json")):  # type: ignore[misc]
        password: Annotated[str, Keeper(f"{UID}/field/password")]

    with pytest.raises(StorageError, match="does not exist"):
        Settings()


def test_a_reference_that_selects_nothing_is_our_error(manager: SecretsManager) -> None:
    class Settings(settings_with(manager=manager)):  # type: ignore[misc]
        password: Annotated[str, Keeper(f"{UID}/field/nothing")] = "a default"

    with pytest.raises(SecretNotFoundError):
        Settings()


def test_a_mapped_field_must_exist(manager: SecretsManager) -> None:
    class Settings(settings_with(manager=manager, references={"pasword": "x/field/y"})):  # type: ignore[misc]
        password: str = ""

    with pytest.raises(SettingsError, match="Settings has no field 'pasword'"):
        Settings()


@pytest.mark.parametrize("kind", [int, Annotated[SecretStr, Field(min_length=99)]])
def test_a_secret_that_does_not_fit_its_field_is_not_shown(
    manager: SecretsManager, kind: Any
) -> None:
    class Settings(settings_with(manager=manager)):  # type: ignore[misc]
        password: Annotated[kind, Keeper(f"{UID}/field/password")]

    with pytest.raises(ValidationError) as caught:
        Settings()

    assert "password" in str(caught.value)
    assert "one" not in str(caught.value) + repr(caught.value)


@pytest.mark.parametrize("config", [{}, {"hide_input_in_errors": False}])
def test_a_class_whose_errors_would_show_secrets_is_refused(
    manager: SecretsManager, server: LoopbackServer, config: SettingsConfigDict
) -> None:
    class Settings(BaseSettings):
        model_config = config
        password: Annotated[int, Keeper(f"{UID}/field/password")]

    with pytest.raises(SettingsError, match="validation errors of Settings would show secrets"):
        KeeperSettingsSource(Settings, manager=manager)

    assert server.asked == []


def test_a_mark_says_nothing_to_other_models() -> None:
    class Model(BaseModel):
        password: Annotated[str, Keeper(f"{UID}/field/password")]

    assert Model(password="x").password == "x"
