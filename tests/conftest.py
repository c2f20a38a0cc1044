"""Shared set-up of the tests."""

import os

# Playwright's loop and Django's ORM share a thread in the browser tests.
os.environ.setdefault("DJANGO_ALLOW_ASYNC_UNSAFE", "true")
