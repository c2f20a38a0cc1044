"""A window is read newest first in spans of time; nothing complete is lost, nothing partial is handed out."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from postmortem.lib.errors import UserError
from postmortem.traces.rows import Row
from postmortem.traces.source_http import TooSlow
from postmortem.traces.source_window import Reading, WindowPage, iter_window

START = datetime(2026, 3, 1, tzinfo=UTC)
END = START + timedelta(days=10)


def trace(name: str, at: datetime, *, length: float = 2, steps: int = 2, root: bool = True) -> list[dict[str, object]]:
    """A root and its steps, spread over `length` seconds."""
    moments = [at + timedelta(seconds=length * n / steps) for n in range(steps + 1)]
    rows: list[dict[str, object]] = [
        {
            "id": f"{name}.{n}",
            "traceId": name,
            "type": "SPAN",
            "startTime": moment.isoformat(),
            "parentObservationId": f"{name}.0" if n else None,
        }
        for n, moment in enumerate(moments)
    ]
    return rows if root else rows[1:]


class Server:
    """Pages of rows, newest first, as the observations endpoint sends them."""

    def __init__(self, *traces: list[dict[str, object]], slower_than_hours: float | None = None) -> None:
        rows = [row for one in traces for row in one]
        self.rows = sorted(rows, key=lambda row: str(row["startTime"]), reverse=True)
        self.slower_than, self.too_slow = slower_than_hours, 0

    def read(self, start: datetime, end: datetime, page: int | None, limit: int) -> Reading:
        if self.slower_than is not None and (end - start) > timedelta(hours=self.slower_than):
            self.too_slow += 1
            raise TooSlow("too large")
        within = [row for row in self.rows if start <= datetime.fromisoformat(str(row["startTime"])) < end]
        first = page or 0
        rows = within[first : first + limit]
        body = json.dumps({"data": rows, "page": first}).encode()
        more = first + limit if first + limit < len(within) else None
        return Reading([Row(0, "observation", row) for row in rows], body, more)

    def window(self, *, cap: int = 10_000, cursor: object = None, limit: int = 7) -> list[WindowPage]:
        return list(
            iter_window(
                self.read,
                lambda ids, rows: [],
                start=START,
                end=END,
                cap=cap,
                cursor=cursor,  # type: ignore[arg-type]
                limit=limit,
            )
        )


def names(pages: list[WindowPage]) -> list[str]:
    return [record.external_id for page in pages for record in page.records]


def every(hours: float, count: int, **more: object) -> list[list[dict[str, object]]]:
    return [trace(f"t{n:03}", START + timedelta(hours=hours * n), **more) for n in range(count)]  # type: ignore[arg-type]


def test_every_trace_comes_once_and_whole() -> None:
    pages = Server(*every(1, 240)).window()
    assert sorted(names(pages)) == [f"t{n:03}" for n in range(240)]
    assert {len(record.observations) for page in pages for record in page.records} == {3}
    assert pages[-1].cursor is None
    assert not pages[-1].truncated
    assert [page.share_done for page in pages] == sorted(page.share_done for page in pages)
    assert pages[-1].share_done == 1


def test_traces_that_run_side_by_side_over_many_pages_stay_whole() -> None:
    pages = Server(*(trace(f"t{n}", START + timedelta(seconds=n), length=600, steps=9) for n in range(40))).window()
    assert len(names(pages)) == 40
    assert {len(record.observations) for page in pages for record in page.records} == {10}


def test_a_trace_without_its_root_comes_too() -> None:
    lost = trace("lost", START + timedelta(days=4), root=False)
    assert "lost" in names(Server(*every(24, 10), lost).window())


def test_a_trace_that_began_before_the_window_is_left_out() -> None:
    early = trace("early", START - timedelta(seconds=1), length=2)
    assert names(Server(early, *every(24, 3)).window()) == ["t002", "t001", "t000"]


def test_a_trace_that_runs_over_the_end_of_the_window_is_whole_and_later_ones_stay_out() -> None:
    over = trace("over", END - timedelta(seconds=60), length=240)
    pages = Server(over, trace("later", END), trace("soon", END + timedelta(minutes=2))).window()
    (record,) = (record for page in pages for record in page.records)
    assert (record.external_id, len(record.observations)) == ("over", 3)


def test_the_cap_spreads_over_the_whole_window() -> None:
    pages = Server(*every(0.25, 960)).window(cap=96)
    found = names(pages)
    assert len(found) == 96
    assert pages[-1].truncated
    days = [int(float(name[1:]) * 0.25 // 24) for name in found]
    per_day = [days.count(day) for day in range(10)]
    assert min(per_day) >= 7
    assert max(per_day) <= 13


def test_what_quiet_spans_leave_of_the_cap_goes_to_the_busy_ones() -> None:
    busy = [trace(f"busy{n}", START + timedelta(days=5, seconds=30 * n)) for n in range(200)]
    pages = Server(*busy, *every(24, 10)).window(cap=210)
    assert len(set(names(pages))) == 210
    assert {len(record.observations) for page in pages for record in page.records} == {3}


def test_a_slow_server_is_asked_for_less_until_it_answers() -> None:
    server = Server(*every(1, 240), slower_than_hours=2)
    assert len(names(server.window(limit=1000))) == 240
    assert server.too_slow > 0


def test_a_server_that_cannot_answer_even_a_minute_is_given_up() -> None:
    with pytest.raises(TooSlow):
        Server(slower_than_hours=0.001).window()


@pytest.mark.parametrize("broken_after", [1, 5, 20, 60])
@pytest.mark.parametrize("cap", [50, 10_000])
def test_going_on_after_a_break_loses_nothing(broken_after: int, cap: int) -> None:
    traces = [trace(f"t{n:03}", START + timedelta(hours=n), length=500, steps=5) for n in range(240)]
    done: list[WindowPage] = []
    for page in iter_window(
        Server(*traces).read, lambda ids, rows: [], start=START, end=END, cap=cap, cursor=None, limit=7
    ):
        done.append(page)
        if len(done) == broken_after:
            break
    cursor = json.loads(json.dumps(done[-1].cursor))
    rest = Server(*traces).window(cap=cap, cursor=cursor) if cursor else []
    found = {record.external_id: record for pages in (rest, done) for page in pages for record in page.records}
    assert len(found) == 240 if cap > 240 else len(found) >= 0.9 * cap
    assert {len(record.observations) for record in found.values()} == {6}


def test_each_page_of_bytes_says_which_of_the_records_it_tells_about() -> None:
    for page in Server(*every(1, 60)).window():
        for record in page.records:
            bodies = [one.body for one in page.pages if record.external_id in (one.trace_ids or ())]
            told = {row["id"] for body in bodies for row in json.loads(body)["data"]}
            assert {item.external_id for item in record.observations} <= told


def test_an_empty_window_is_done_at_once_and_a_reversed_one_refused() -> None:
    (last,) = (page for page in Server().window() if page.cursor is None)
    assert (last.records, last.share_done) == ([], 1.0)
    with pytest.raises(UserError, match="ends before it begins"):
        list(iter_window(Server().read, lambda ids, rows: [], start=END, end=START, cap=5, cursor=None, limit=5))
