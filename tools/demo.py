"""Everything on this machine, with the example incidents: database, pages, worker and a stand-in Langfuse.

Ctrl-C ends all that was started. Data and logs are in var/ (or POSTMORTEM_DATA_DIR); SQLite always, so that
examples never reach a team's database.
"""

import gzip
import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
import webbrowser
from pathlib import Path

from processes import free_port, start, stop, stop_signals_ignored, stop_signals_raise
from serve import prepare, web_command

ROOT = Path(__file__).resolve().parent.parent
FIXTURES = ROOT / "fixtures"
DATA = Path(os.environ.get("POSTMORTEM_DATA_DIR", ROOT / "var"))
LOGS = DATA / "log"
PEOPLE = "helen@example.org"
PASS_PHRASE = "read the traces first"  # noqa: S105, of people who do not exist, on loopback
PROJECT, PUBLIC_KEY, SECRET_KEY = "demo-project", "pk-lf-demo", "sk-lf-demo"  # of fixtures/standin
LINKED_STORIES = ("prompt-canary", "encoder-upgrade")
START_SECONDS = 60


class CannotStart(Exception):
    """One sentence why, with the last lines of the log."""


def main() -> int:
    """Run until Ctrl-C or SIGTERM."""
    children: dict[str, subprocess.Popen[bytes]] = {}
    try:
        with stop_signals_raise():
            environment = {key: value for key, value in os.environ.items() if key != "DATABASE_URL"}
            web_port, langfuse_port = free_port(8000), free_port(8300)
            site, langfuse = f"http://127.0.0.1:{web_port}", f"http://127.0.0.1:{langfuse_port}"
            environment |= {"SITE_URL": site, "POSTMORTEM_DATA_DIR": str(DATA), "PYTHONUNBUFFERED": "1"}
            stories = sorted(path.parent for path in FIXTURES.glob("*/incident.json"))
            shown = [part for story in stories for part in ("--story", str(story))]
            print("Preparing the database and the example incidents …", flush=True)
            prepare(environment)
            stand_in = [sys.executable, "-m", "fixtures.standin", "--port", str(langfuse_port), *shown]
            children["langfuse"] = _start("langfuse", stand_in, environment)
            _wait_for("langfuse", children, f"{langfuse}/api/public/health")
            keys = ["--langfuse", langfuse, "--public-key", PUBLIC_KEY, "--secret-key", SECRET_KEY]
            load = ["load_examples", "--verbosity", "0", "--pass-phrase", PASS_PHRASE, *keys]
            subprocess.run([sys.executable, "manage.py", *load], cwd=ROOT, env=environment, check=True)
            children["worker"] = _start("worker", [sys.executable, "manage.py", "work"], environment)
            children["web"] = _start("web", web_command("127.0.0.1", web_port), environment)
            _wait_for("web", children, f"{site}/")
            _say_where(site, [_link(langfuse, FIXTURES / name) for name in LINKED_STORIES])
            _watch(children)
    except KeyboardInterrupt:
        print("\nStopping.", flush=True)
    except CannotStart as error:
        print(error, file=sys.stderr)
        return 1
    except subprocess.CalledProcessError as error:
        return error.returncode or 1
    finally:
        with stop_signals_ignored():
            stop(list(children.values()))
    return 0


def _start(name: str, command: list[str], environment: dict[str, str]) -> subprocess.Popen[bytes]:
    return start(command, log=LOGS / f"{name}.log", cwd=ROOT, env=environment)


def _wait_for(name: str, children: dict[str, subprocess.Popen[bytes]], url: str) -> None:
    """Until the child answers; any HTTP answer will do."""
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end:
        if children[name].poll() is not None:
            break
        try:
            urllib.request.urlopen(url, timeout=5).close()  # noqa: S310, loopback
            return
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.1)
    raise CannotStart(_last_words(name, "did not start"))


def _watch(children: dict[str, subprocess.Popen[bytes]]) -> None:
    """Return never, unless a child ends by itself."""
    while True:
        for name, child in children.items():
            if child.poll() is not None:
                raise CannotStart(_last_words(name, "ended unexpectedly"))
        time.sleep(0.5)


def _last_words(name: str, what: str) -> str:
    log = LOGS / f"{name}.log"
    lines = log.read_text(errors="replace").splitlines()[-15:] if log.exists() else []
    return "\n".join([f"The {name} process {what}. The end of {log}:", *lines])


def _link(langfuse: str, story: Path) -> str:
    """Address of a trace of the story in which the answer was wrong, as Langfuse's address bar shows it."""
    incident = json.loads((story / "incident.json").read_text(encoding="utf-8"))
    with gzip.open(story / "traces.jsonl.gz", "rt", encoding="utf-8") as lines:
        for line in lines:
            row = json.loads(line)
            late = incident["detected_at"] <= row["timestamp"] <= incident["mitigated_at"]
            if late and row["scores"].get(incident["signal"]) == 0:
                return f"{langfuse}/project/{PROJECT}/traces/{row['id']}?timestamp={row['timestamp']}"
    raise CannotStart(f"No trace of {story.name} fits; run python -m fixtures.generate.")


def _say_where(site: str, links: list[str]) -> None:
    print(
        f"\n  Postmortem is at      {site}\n"
        f"  sign in as            {PEOPLE}\n"
        f"  pass phrase           {PASS_PHRASE}\n\n"
        "  To watch an import, open a new incident and paste one of these trace links\n"
        "  (of a stand-in Langfuse; like the incidents, everything in it is simulated):",
        *(f"    {link}" for link in links),
        "\n  Ctrl-C ends everything.",
        sep="\n",
        flush=True,
    )
    if sys.platform == "darwin" or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"):
        webbrowser.open(site)


if __name__ == "__main__":
    sys.exit(main())
