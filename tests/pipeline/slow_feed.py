"""A worker of its own process for test_killed_worker: it pulls a feed from the stand-in at FEED_BASE.

`python -m tests.pipeline.slow_feed setup|work|state`, with DATABASE_URL.
"""

import json
import os
import sys
import time
from datetime import timedelta

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "postmortem.settings")
django.setup()

from postmortem.accounts.models import AuditEntry, Role  # noqa: E402
from postmortem.changes.models import Change, ChangeFeed  # noqa: E402
from postmortem.changes.pulled_feeds import create_pulled_feed  # noqa: E402
from postmortem.pipeline import background  # noqa: E402
from tests.builders import make_feature, make_person  # noqa: E402

if __name__ == "__main__":
    if sys.argv[1] == "setup":
        create_pulled_feed(
            by=make_person("Olga Admin", Role.ADMINISTRATOR), feature=make_feature(), name="GitLab",
            kind="pull_gitlab", base_url=os.environ["FEED_BASE"], options={"project": "shop/assistant"},
        )  # fmt: skip
    elif sys.argv[1] == "work":
        while not ChangeFeed.objects.filter(received=1).exists():
            background.work(once=True, lease=timedelta(seconds=1))
            time.sleep(0.1)
    else:
        feed = ChangeFeed.objects.get()
        added = [entry.after["added"] for entry in AuditEntry.objects.filter(action="changes.import")]
        state = {
            "busy": feed.lease_until is not None, "changes": Change.objects.count(), "received": feed.received,
            "error": feed.last_error, "failures": feed.failures, "audited": sum(added),
        }  # fmt: skip
        print(json.dumps(state))
