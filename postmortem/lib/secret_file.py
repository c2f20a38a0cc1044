"""A secret kept in a file that only its owner may read."""

import os
import secrets
import tempfile
from pathlib import Path


def read_or_create_secret(path: Path) -> str:
    """Return the secret in `path`; make the file (mode 0600) with a new one if there is none.

    Two processes that start at once agree: the first file stays.
    Raises OSError when the folder cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        # Written beside and then linked, so that nobody ever reads a file that is still empty.
        descriptor, beside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
        try:
            with os.fdopen(descriptor, "w") as file:
                file.write(secrets.token_urlsafe(48))
            os.link(beside, path)
        except FileExistsError:
            pass
        finally:
            Path(beside).unlink()
    return path.read_text().strip()
