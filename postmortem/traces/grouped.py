"""Windows that a server grouped: kept as they were read, so that ledger and attribution rest on the same numbers."""

import zlib
from functools import lru_cache

import numpy as np

from postmortem.accounts import audit
from postmortem.accounts.models import Person
from postmortem.incidents.models import Incident
from postmortem.incidents.permissions import Capability, require
from postmortem.lib.errors import UserError
from postmortem.lib.hashing import sha256_hex
from postmortem.traces.cells import Cells
from postmortem.traces.columns import pack, unpack
from postmortem.traces.models import Connection, GroupedCells

_ARRAYS = ("profile", "start", "end", "seconds", "count", "total", "total_squares")


def keep_grouped(
    *, incident: Incident, by: Person, connection: Connection, signal: str, granularity: str, cells: Cells
) -> GroupedCells:
    """Store what a server grouped."""
    require(by, Capability.REVIEW, incident)
    data = pack(
        {name: getattr(cells, name) for name in _ARRAYS}, {"profiles": [dict(profile) for profile in cells.profiles]}
    )
    kept = GroupedCells.objects.create(
        incident=incident, connection=connection, origin=connection.name, signal=signal, granularity=granularity,
        trace_count=cells.trace_count, cell_count=cells.count.size, sha256=sha256_hex(data),
        compressed=zlib.compress(data, 6), read_by=by,
    )  # fmt: skip
    audit.record(
        person=by, action="read grouped traces", subject=connection.name, incident_number=incident.number,
        after={"traces": kept.trace_count, "sha256": kept.sha256},
    )  # fmt: skip
    return kept


def latest_grouped(incident: Incident) -> GroupedCells | None:
    """The window that was grouped last, without its cells; None when none was."""
    return GroupedCells.objects.filter(incident=incident).defer("compressed").first()


def cells_of_grouped(grouped: GroupedCells) -> Cells:
    """The cells. Raises UserError when the stored bytes no longer match their hash."""
    return _cells(grouped.pk, grouped.sha256)


@lru_cache(maxsize=4)
def _cells(key: int, sha256: str) -> Cells:
    compressed = GroupedCells.objects.values_list("compressed", flat=True).get(pk=key)
    try:
        data = zlib.decompress(bytes(compressed))
    except zlib.error:
        data = b""
    if sha256_hex(data) != sha256:
        raise UserError("The stored cells do not match their SHA-256; let the server group the window again.")
    arrays, header = unpack(data)
    return Cells(tuple(header["profiles"]), **{name: np.array(arrays[name]) for name in _ARRAYS})
