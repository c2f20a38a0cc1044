"""A JSON client of the API, signed in by token, that says what it got when a test expects otherwise."""

from typing import Any

from knox.models import AuthToken
from rest_framework.test import APIClient

from postmortem.accounts.models import Person


class Api:
    """`api.get("incidents/")` answers with (status, body)."""

    def __init__(self, person: Person | None, number: str = "") -> None:
        self.client = APIClient()
        self.number = number
        if person is not None:
            _, token = AuthToken.objects.create(user=person)
            self.client.credentials(HTTP_AUTHORIZATION=f"Token {token}")

    def ask(self, method: str, address: str, body: Any = None, *, expect: int = 200, format: str = "json") -> Any:
        """`address` is below the incident when it starts with "./", else below /api/."""
        path = f"/api/incidents/{self.number}/{address[2:]}" if address.startswith("./") else f"/api/{address}"
        response = getattr(self.client, method)(path, body, format=format if body is not None else None)
        assert response.status_code == expect, (method, path, response.status_code, response.content[:600])
        if "json" not in response.headers.get("Content-Type", ""):
            return response
        return response.json()

    def get(self, address: str, body: Any = None, *, expect: int = 200) -> Any:
        path = f"/api/incidents/{self.number}/{address[2:]}" if address.startswith("./") else f"/api/{address}"
        response = self.client.get(path, body)
        assert response.status_code == expect, (path, response.status_code, response.content[:600])
        return response.json() if "json" in response.headers.get("Content-Type", "") else response

    def post(self, address: str, body: Any = None, *, expect: int = 201, format: str = "json") -> Any:
        return self.ask("post", address, {} if body is None else body, expect=expect, format=format)

    def patch(self, address: str, body: Any, *, expect: int = 200) -> Any:
        return self.ask("patch", address, body, expect=expect)

    def put(self, address: str, body: Any, *, expect: int = 200) -> Any:
        return self.ask("put", address, body, expect=expect)

    def delete(self, address: str, *, expect: int = 204) -> Any:
        return self.ask("delete", address, expect=expect)
