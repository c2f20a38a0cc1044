"""load_examples: the simulated incidents of fixtures/, once."""

import json
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from postmortem.lib.errors import UserError
from postmortem.pipeline.examples import connect_stand_in, load_story


class Command(BaseCommand):
    """Load the example incidents; what is there already is left alone."""

    help = "Load the simulated example incidents of fixtures/. Running it twice adds nothing."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--folder", type=Path, default=Path(settings.BASE_DIR) / "fixtures")
        parser.add_argument("--pass-phrase", default="read the traces first", help="for people who are new")
        parser.add_argument("--langfuse", metavar="URL", help="connect the stand-in Langfuse that answers there")
        parser.add_argument("--public-key", default="")
        parser.add_argument("--secret-key", default="")

    def handle(self, *args: Any, folder: Path, pass_phrase: str, **options: Any) -> None:
        stories = list(folder.glob("*/incident.json"))
        if not stories:
            raise CommandError(f"There are no stories in {folder}; run python -m fixtures.generate first.")
        try:
            for path in sorted(stories, key=_number):
                loaded = load_story(path.parent, pass_phrase=pass_phrase)
                state = "loaded" if loaded.is_new else "is there already"
                if options["verbosity"]:
                    self.stdout.write(f"{loaded.incident.number} {state}: {loaded.incident.title}")
            if options["langfuse"]:
                connect_stand_in(
                    base_url=options["langfuse"], public_key=options["public_key"], secret_key=options["secret_key"]
                )
        except UserError as error:
            raise CommandError(str(error)) from error


def _number(path: Path) -> str:
    return str(json.loads(path.read_text(encoding="utf-8"))["number"])
