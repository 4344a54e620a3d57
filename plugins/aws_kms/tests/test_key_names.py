"""Which names of a key are read, and which may stand for which."""

from __future__ import annotations

import pytest
from ksm_storage_aws_kms import hooks
from ksm_storage_aws_kms.hooks import KeyName

from ksm_storage.errors import SettingsError

ID = "1234abcd-12ab-34cd-56ef-1234567890ab"
OTHER_ID = "0987dcba-09fe-87dc-65ba-ab0987654321"
MRK = "mrk-1234abcd12ab34cd56ef1234567890ab"


def arn(resource: str, *, region: str = "eu-west-1", account: str = "111122223333") -> str:
    return f"arn:aws:kms:{region}:{account}:{resource}"


NAMES = {
    "key ARN": arn(f"key/{ID}"),
    "key ARN in China": f"arn:aws-cn:kms:cn-north-1:111122223333:key/{ID}",
    "key ARN in GovCloud": f"arn:aws-us-gov:kms:us-gov-west-1:111122223333:key/{ID}",
    "multi-Region key ARN": arn(f"key/{MRK}"),
    "alias ARN": arn("alias/ksm/app_1-x"),
    "alias": "alias/ksm/app_1-x",
    "key id": ID,
    "multi-Region key id": MRK,
}

NO_NAMES = {
    "empty": "",
    "name without alias/": "my-key",
    "alias without a name": "alias/",
    "alias with a dot": "alias/a.b",
    "alias with a space": "alias/a b",
    "alias longer than KMS allows": "alias/" + "a" * 251,
    "other service": "arn:aws:s3:eu-west-1:111122223333:key/" + ID,
    "no region": f"arn:aws:kms::111122223333:key/{ID}",
    "no account": f"arn:aws:kms:eu-west-1::key/{ID}",
    "account with a letter": f"arn:aws:kms:eu-west-1:11112222333a:key/{ID}",
    "ARN of a grant": arn(f"grant/{ID}"),
    "key ARN with an alias in it": arn("key/alias/app"),
    "upper-case id": arn(f"key/{ID.upper()}"),
    "id with a byte too many": arn(f"key/{ID}0"),
    "line feed behind": arn(f"key/{ID}\n"),
    "braces": "alias/{0}",
}


@pytest.mark.parametrize("text", NAMES.values(), ids=NAMES)
def test_a_name_is_read_and_written_the_same(text: str) -> None:
    assert str(KeyName.parse(text)) == text


@pytest.mark.parametrize("text", NO_NAMES.values(), ids=NO_NAMES)
def test_what_is_no_name_is_refused(text: str) -> None:
    with pytest.raises(SettingsError, match="not a valid AWS KMS key id"):
        KeyName.parse(text)


@pytest.mark.parametrize("kind", ["key ARN", "key ARN in China", "multi-Region key ARN"])
def test_a_bare_arn_is_recognised(kind: str) -> None:
    assert hooks.recognise_key(NAMES[kind]) == NAMES[kind]


@pytest.mark.parametrize("text", ["alias/app", ID, *NO_NAMES.values()])
def test_what_may_be_something_else_is_not_recognised(text: str) -> None:
    assert hooks.recognise_key(text) is None


COVERED = {
    "itself": (arn(f"key/{ID}"), arn(f"key/{ID}")),
    "replica in another region": (
        arn(f"key/{MRK}", region="us-east-1"),
        arn(f"key/{MRK}", region="eu-west-1"),
    ),
    "alias": ("alias/app", arn(f"key/{ID}")),
    "alias ARN of the same region": (arn("alias/app"), arn(f"key/{ID}")),
    "alias ARN of a replica's region": (
        arn("alias/app", region="us-east-1"),
        arn(f"key/{MRK}", region="eu-west-1"),
    ),
    "key id": (ID, arn(f"key/{ID}")),
    "multi-Region key id": (MRK, arn(f"key/{MRK}")),
}

NOT_COVERED = {
    "another key": (arn(f"key/{OTHER_ID}"), arn(f"key/{ID}")),
    "same id in another region": (arn(f"key/{ID}", region="us-east-1"), arn(f"key/{ID}")),
    "another account": (arn(f"key/{MRK}", account="444455556666"), arn(f"key/{MRK}")),
    "another partition": (f"arn:aws-cn:kms:eu-west-1:111122223333:key/{MRK}", arn(f"key/{MRK}")),
    "alias ARN of another region": (arn("alias/app", region="us-east-1"), arn(f"key/{ID}")),
    "alias ARN of another account": (arn("alias/app", account="444455556666"), arn(f"key/{ID}")),
    "another key id": (OTHER_ID, arn(f"key/{ID}")),
    "an alias that was recorded": ("alias/app", arn("alias/app")),
    "a key id that was recorded": (ID, ID),
    "junk that was recorded": ("alias/app", "junk"),
    "junk that is trusted": ("junk", arn(f"key/{ID}")),
}


@pytest.mark.parametrize(("trusted", "key_id"), COVERED.values(), ids=COVERED)
def test_a_name_covers_a_key_that_it_may_stand_for(trusted: str, key_id: str) -> None:
    assert hooks.key_covers(trusted, key_id) is True


@pytest.mark.parametrize(("trusted", "key_id"), NOT_COVERED.values(), ids=NOT_COVERED)
def test_a_name_does_not_cover_a_key_that_it_cannot_stand_for(trusted: str, key_id: str) -> None:
    assert hooks.key_covers(trusted, key_id) is False
