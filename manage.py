#!/usr/bin/env python3
"""Command line of the workbench."""

import os
import sys


def main() -> None:
    """Run a management command against postmortem.settings."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "postmortem.settings")
    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
