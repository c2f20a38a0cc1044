"""A small story in the open format for the stand-in, written where a test wants it."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

BEGIN = datetime(2026, 3, 2, tzinfo=UTC)
END = BEGIN + timedelta(days=10)
NAME, ENVIRONMENT = "support-answer", "production"


def write_story(folder: Path, *, traces: int = 60) -> Path:
    """`traces` spread evenly over ten days; prompt 7 from the sixth day on, and lower scores with it."""
    rows = []
    for n in range(traces):
        at = BEGIN + (END - BEGIN) * n / traces
        late = n >= traces * 0.6
        rows.append(
            {
                "id": f"{n:032x}",
                "timestamp": at.isoformat(),
                "name": NAME,
                "environment": ENVIRONMENT,
                "session_id": f"s-{n // 3}",
                "user_id": f"u-{n % 4}",
                "version": "web-2" if n % 5 == 0 else "web-1",
                "facets": {
                    "prompt": "answer",
                    "prompt_version": "7" if late else "6",
                    "model": "atlas-chat",
                    "model_version": "2025-11-04",
                    "index": "help-articles",
                    "index_version": "11",
                    "release": "4.18.2",
                    "region": ["eu", "us"][n % 2],
                    "segment": "consumer",
                },
                "input_tokens": 400 + n,
                "latency": 1.5,
                "time_to_first_token": 0.4,
                "cost": 0.001,
                "scores": {"grounded": 0.0 if late and n % 3 == 0 else 1.0, "helpful": 0.5},
            }
        )
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "traces.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder
