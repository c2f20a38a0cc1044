"""One answer of Langfuse's API: its exact bytes, and what is read from them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from postmortem.lib.errors import UserError
from postmortem.traces.source_http import HttpReader, SourceError
from postmortem.traces.values import load_json, mapping

_IDS_PER_READ = 50


@dataclass(frozen=True)
class Answer:
    """`body` as the server at `base_url` sent it. Reading raises SourceError where it is not what Langfuse sends."""

    base_url: str
    body: bytes
    server: str = "Langfuse"

    @cached_property
    def value(self) -> dict[str, Any]:
        """The JSON object of the body."""
        try:
            value = load_json(self.body, f"The answer of {self.base_url}")
        except UserError as error:
            raise SourceError(
                f"{self.base_url} answered with something other than JSON (a sign-in page?); "
                "check the connection's address."
            ) from error
        if not isinstance(value, dict):
            raise SourceError(
                f"{self.base_url} answered with something other than an object; check that it is {self.server}."
            )
        return value

    @cached_property
    def rows(self) -> list[dict[str, Any]]:
        """The objects of `data`."""
        rows = self.value.get("data")
        if not isinstance(rows, list):
            raise SourceError(
                f"{self.base_url} answered without a list of data; check that it is a {self.server} server."
            )
        return [row for row in rows if isinstance(row, dict)]

    @property
    def cursor(self) -> str | None:
        """How to ask for the next page of the new endpoints; None on the last."""
        cursor = mapping(self.value.get("meta")).get("cursor")
        return cursor if isinstance(cursor, str) and cursor else None

    def has_page_after(self, number: int) -> bool:
        """Whether an old endpoint has a page after this one, which is `number` (from 1)."""
        total = mapping(self.value.get("meta")).get("totalPages")
        return isinstance(total, int) and number < total


def get_answer(
    reader: HttpReader, path: str, params: Mapping[str, Any] | None = None, *, patient: bool = True
) -> Answer:
    """A plain GET below /api/public: for endpoints that the SDK dropped, and for bulk reads.

    The SDK's models take 0.4 s of CPU for a thousand observations, and nothing here needs them.
    """
    body = reader.read(lambda: reader.get(f"api/public/{path}", params or {}), patient=patient)[1]
    return Answer(reader.base_url, body)


def groups_of_ids(identifiers: list[str]) -> Iterator[list[str]]:
    """Ids in lists that fit into an address."""
    group: list[str] = []
    for identifier in identifiers:
        if group and (len(group) == _IDS_PER_READ or sum(map(len, group)) + len(identifier) > 3000):
            yield group
            group = []
        group.append(identifier)
    if group:
        yield group
