"""load_examples: the simulated incidents of fixtures/, once."""

from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser

from postmortem.pipeline.examples import load_story


class Command(BaseCommand):
    """Load the example incidents; what is there already is left alone."""

    help = "Load the simulated example incidents of fixtures/. Running it twice adds nothing."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--folder", type=Path, default=Path(settings.BASE_DIR) / "fixtures")
        parser.add_argument("--pass-phrase", default="read the traces first", help="for people who are new")

    def handle(self, *args: Any, folder: Path, pass_phrase: str, **options: Any) -> None:
        stories = sorted(path.parent for path in folder.glob("*/incident.json"))
        if not stories:
            self.stderr.write(f"There are no stories in {folder}; run python -m fixtures.generate first.")
            return
        for story in sorted(stories, key=lambda path: path.name):
            loaded = load_story(story, pass_phrase=pass_phrase)
            state = "loaded" if loaded.is_new else "is there already"
            self.stdout.write(f"{loaded.incident.number} {state}: {loaded.incident.title}")
