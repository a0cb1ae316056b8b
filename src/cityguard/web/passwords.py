"""What a password must be, and how one for a single login is made."""

from __future__ import annotations

import secrets

from cityguard.errors import InputError

MIN_LENGTH, MAX_LENGTH = 12, 128
COMMON = frozenset(
    (
        "password1234",
        "1234567890ab",
        "qwertyuiop12",
        "administrator1",
        "admin1234567",
        "passw0rd1234",
        "1qaz2wsx3edc",
        "p@ssw0rd1234",
        "huawei@123456",
        "admin@123456",
        "abcd1234abcd",
        "abcd@1234567",
    )
)


def check_password(name: str, password: str) -> None:
    """Hold a password against the policy.

    Raises:
        InputError: too short, too long, too simple, the name, or among the commonest.
    """
    kinds = [str.islower, str.isupper, str.isdigit]
    classes = sum(any(kind(c) for c in password) for kind in kinds) + any(not c.isalnum() for c in password)
    if not MIN_LENGTH <= len(password) <= MAX_LENGTH:
        raise InputError(f"a password has {MIN_LENGTH} to {MAX_LENGTH} characters")
    if classes < 3 and len(password) < 20:
        raise InputError("a password below 20 characters mixes three of: lower, upper, digit, other")
    if len(set(password)) < 6 or password.lower() in COMMON or (len(name) > 3 and name.lower() in password.lower()):
        raise InputError("the password is too easy to guess")


def one_time_password() -> str:
    """A password to be changed at the first login; always passes ``check_password``."""
    return f"{secrets.token_urlsafe(12)}-Aa1"
