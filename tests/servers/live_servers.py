"""The same checks against the real servers from PyPI. Not among the tests of every run: `make test-servers`."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers import checks, registry, running


@pytest.fixture(scope="module", params=["phoenix", "mlflow"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    folder: Path = tmp_path_factory.mktemp(request.param)
    with getattr(running, request.param)(folder) as base:
        yield request.param, base


@pytest.mark.parametrize("check", checks.ALL, ids=lambda check: check.__name__)
def test_live(server: tuple[str, str], check) -> None:
    check(*server)


def test_live_registry(server: tuple[str, str]) -> None:
    kind, base = server
    if kind != "mlflow":
        pytest.skip("only MLflow has a model registry")
    registry.check_pulls(base)
