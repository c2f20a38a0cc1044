"""The house rules, checked from the source itself: who imports whom, what stays pure, how long a module is."""

import ast
import re
from pathlib import Path

import pytest
from importlinter.cli import EXIT_STATUS_SUCCESS, lint_imports

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "postmortem"
ROOMS = [
    "lib", "accounts", "incidents", "traces", "changes", "attribution", "review", "actions", "report", "insights",
    "pipeline", "api", "web",
]  # fmt: skip
SIDE_BY_SIDE = {"api", "web"}
MOST_LINES = 420
WITH_DATABASE = {"models", "services", "selectors", "replays", "apps", "admin"}
PURE = [
    "lib/**/*.py",
    *(f"traces/{name}.py" for name in ("records", "links", "normalise", "tree", "files", "signals", "redaction")),
    *(f"changes/{name}.py" for name in ("records", "parse", "exposure", "reconcile", "prompts")),
    "changes/manifests/*.py",
    "attribution/*.py",
    "review/checklist.py",
    "review/causal_graph.py",
    "review/differences.py",
    "review/suggesting.py",
    "review/timeline.py",
    "actions/similarity.py",
    "actions/verification.py",
    "report/gate.py",
    "report/charts/*.py",
    "incidents/clocks.py",
    "incidents/windows.py",
]


def pure_modules() -> list[Path]:
    found = {path for pattern in PURE for path in PACKAGE.glob(pattern)}
    return sorted(path for path in found if path.stem not in WITH_DATABASE)


def modules(*, tests: bool = False) -> list[Path]:
    found = [path for path in PACKAGE.rglob("*.py") if "migrations" not in path.parts]
    return found + (list((ROOT / "tests").rglob("*.py")) if tests else [])


def imported(path: Path) -> set[str]:
    """Every module that a file imports anywhere, inside functions too, except for type checking only."""
    names: set[str] = set()
    for node in ast.walk(_without_type_checking(ast.parse(path.read_text()))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def _without_type_checking(tree: ast.Module) -> ast.Module:
    class Drop(ast.NodeTransformer):
        def visit_If(self, node: ast.If) -> ast.AST | None:
            return None if "TYPE_CHECKING" in ast.unparse(node.test) else self.generic_visit(node)

    return Drop().visit(tree)


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0]


def where(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_rooms_import_downwards_only():
    assert lint_imports(config_filename=str(ROOT / "pyproject.toml"), cache_dir=None) == EXIT_STATUS_SUCCESS


def test_every_folder_is_a_known_room():
    folders = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert folders == set(ROOMS)


@pytest.mark.parametrize(
    "path", sorted(PACKAGE.glob("*/migrations/*.py")) + sorted(PACKAGE.glob("*/models.py")), ids=where
)
def test_foreign_keys_given_as_text_point_downwards(path):
    """A string like "review.Verdict" escapes the import checker, so it is read here."""
    room = room_of(path)
    above = ROOMS[ROOMS.index(room) + 1 :]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            match = re.fullmatch(r"([a-z_]+)\.([A-Za-z]+)", node.value)
            assert not (match and match[1] in above), f"{where(path)} line {node.lineno} points up to {node.value}"


@pytest.mark.parametrize("path", pure_modules(), ids=where)
def test_pure_modules_need_no_django(path):
    """Nor does anything of the product that they import, however far down."""
    seen: set[Path] = set()
    todo = [path]
    while todo:
        current = todo.pop()
        seen.add(current)
        for name in imported(current):
            assert name.split(".")[0] not in {"django", "rest_framework"}, f"{where(current)} imports {name}"
            if name.startswith("postmortem."):
                file = ROOT / (name.replace(".", "/") + ".py")
                if file.exists() and file not in seen:
                    todo.append(file)


def test_the_list_of_pure_modules_is_not_out_of_date():
    empty = [pattern for pattern in PURE if not list(PACKAGE.glob(pattern))]
    assert not empty


@pytest.mark.parametrize(
    ("library", "home"),
    [("langfuse", "postmortem/traces/langfuse_source.py"), ("weasyprint", "postmortem/report/pdf.py")],
)
def test_a_big_library_has_one_door(library, home):
    users = {where(path) for path in modules() if any(name.split(".")[0] == library for name in imported(path))}
    assert users == {home}


def test_only_the_settings_read_the_environment():
    # Setting a default for a library is not reading.
    readers = {
        where(path)
        for path in modules()
        if re.search(r"os\.(environ(?!\.setdefault)|getenv)", path.read_text()) and path.name != "settings.py"
    }
    assert not readers


def test_no_module_is_too_long():
    long = {where(path): count for path in modules() if (count := len(path.read_text().splitlines())) > MOST_LINES}
    assert not long


def test_no_drawer_for_everything():
    assert not [where(path) for path in modules(tests=True) if path.stem in {"utils", "helpers", "misc", "common"}]


@pytest.mark.parametrize("name", ["requirements.txt", "tests/requirements.txt"])
def test_requirements_are_pinned_and_say_what_for(name):
    lines = [line for line in (ROOT / name).read_text().splitlines() if line and not line.startswith(("#", "-r"))]
    for line in lines:
        assert re.fullmatch(r"[A-Za-z0-9_.\-]+(\[[a-z,]+\])?==[0-9][^\s]*\s+# \S.*", line), line
    names = [re.split(r"[\[=]", line)[0].lower() for line in lines]
    assert len(names) == len(set(names))


def test_no_signals_and_no_logic_in_save():
    for path in modules():
        assert "django.db.models.signals" not in imported(path), where(path)
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef) and any("Model" in ast.unparse(base) for base in node.bases):
                overridden = {item.name for item in node.body if isinstance(item, ast.FunctionDef)} & {"save", "delete"}
                assert path.name != "models.py" or not overridden, f"{where(path)}: {node.name}"
