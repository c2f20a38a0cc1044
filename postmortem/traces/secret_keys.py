"""Langfuse secret keys at rest: encrypted under a key derived from SECRET_KEY."""

import base64

from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings

from postmortem.lib.errors import UserError


def encrypt(secret: str) -> bytes:
    """`secret` as a Fernet token."""
    return _fernet().encrypt(secret.encode())


def decrypt(token: bytes) -> str:
    """The secret in a token of `encrypt`. Raises UserError when SECRET_KEY is not the one it was stored under."""
    try:
        return _fernet().decrypt(bytes(token)).decode()
    except InvalidToken as error:
        raise UserError(
            "The stored secret key cannot be read, because SECRET_KEY has changed since; "
            "ask an administrator to enter the connection's secret key again."
        ) from error


def _fernet() -> Fernet:
    derived = HKDF(SHA256(), 32, salt=None, info=b"postmortem connection keys").derive(settings.SECRET_KEY.encode())
    return Fernet(base64.urlsafe_b64encode(derived))
