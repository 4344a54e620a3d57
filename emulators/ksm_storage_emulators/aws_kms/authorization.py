"""Decide whether a caller may do something, in the words of the service when not.

The texts: https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_access-denied.html
"""

from ksm_storage_emulators.aws_kms.errors import AwsError
from ksm_storage_emulators.aws_kms.identities import ACCOUNT, AccessKey

_HIDDEN = (
    "because the resource does not exist in this Region, no resource-based policies allow "
    "access, or a resource-based policy explicitly denies access"
)


def refusal(caller: AccessKey, action: str, resource: str) -> str | None:
    """Return why the caller may not, as an IAM message, or None when it may."""
    matching = [s for s in caller.principal.statements if s.covers(action, resource)]
    intro = f"User: {caller.caller_arn} is not authorized to perform: {action}"
    if any(s.effect == "Deny" for s in matching):
        return f"{intro} on resource: {resource} with an explicit deny in an identity-based policy"
    if not matching:
        reason = f"because no identity-based policy allows the {action} action"
        return f"{intro} on resource: {resource} {reason}"
    return None


def authorize(caller: AccessKey, action: str, resource: str) -> None:
    """Raise AccessDeniedException unless the caller's policy allows the action.

    It looks at the name only, before anyone looks whether the resource exists: a caller
    without permission cannot find out.
    """
    if _account_of(resource) not in (ACCOUNT, ""):
        intro = f"User: {caller.caller_arn} is not authorized to perform: {action}"
        raise AwsError("AccessDeniedException", f"{intro} on resource: {resource} {_HIDDEN}")
    message = refusal(caller, action, resource)
    if message is not None:
        raise AwsError("AccessDeniedException", message)


def hidden_ciphertext_key(caller: AccessKey, action: str) -> AwsError:
    """Return the error for a ciphertext whose key is missing, elsewhere or not allowed."""
    intro = f"User: {caller.caller_arn} is not authorized to perform: {action}"
    text = f"{intro} on the resource associated with this ciphertext {_HIDDEN}"
    return AwsError("AccessDeniedException", text)


def _account_of(resource: str) -> str:
    parts = resource.split(":")
    return parts[4] if len(parts) > 5 else ""
