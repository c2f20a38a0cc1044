"""Path rules and the other settings of a feed, pure: what fits, what is refused."""

import pytest

from postmortem.changes.feed_options import (
    check_project,
    folders,
    layers_of_everything,
    paths_as_text,
    read_options,
    touched_layers,
)
from postmortem.lib.errors import UserError
from postmortem.lib.layers import Layer


def rules(text):
    return read_options({"paths": text}).paths


@pytest.mark.parametrize(
    ("pattern", "fits", "not_fits"),
    [
        ("prompts/**", ["prompts/a", "prompts/b/c.md"], ["prompts", "x/prompts/a", "promptsx/a"]),
        ("prompts/", ["prompts/a/b"], ["prompt/a"]),
        ("/prompts/*.md", ["prompts/a.md"], ["prompts/b/a.md", "prompts/a.txt"]),
        ("*.prompt", ["a.prompt", "deep/down/a.prompt"], ["a.prompt/b"]),
        ("a/**/b.yaml", ["a/b.yaml", "a/x/b.yaml", "a/x/y/b.yaml"], ["a/b.yml", "b.yaml"]),
        ("src/**/prompts/**", ["src/prompts/x", "src/a/b/prompts/x/y"], ["src/prompts", "prompts/x"]),
        ("**", ["a", "a/b/c"], []),
        ("file?.[ab]", ["file1.a", "x/file2.b"], ["file12.a", "file1.c"]),
    ],
)
def test_patterns(pattern, fits, not_fits):
    found = touched_layers([*fits, *not_fits], rules(f"{pattern} → prompt"))
    assert found == {Layer.PROMPT: fits}


def test_the_first_rule_that_fits_decides_and_layers_are_kept_apart():
    wanted = rules("prompts/secret/** -> infrastructure\nprompts/** = prompt\n\n")
    assert touched_layers(["prompts/a", "prompts/secret/b", "other"], wanted) == {
        Layer.PROMPT: ["prompts/a"], Layer.INFRASTRUCTURE: ["prompts/secret/b"],
    }  # fmt: skip
    assert paths_as_text(wanted) == "prompts/secret/** → infrastructure\nprompts/** → prompt"
    assert layers_of_everything(rules("a/** → prompt\n** → model")) == [Layer.MODEL]


def test_folders_are_what_a_host_can_be_asked_for():
    assert folders(rules("prompts/** → prompt\nretrieval/*.yaml → retrieval\na/b.md → prompt")) == [
        "a/b.md", "prompts", "retrieval",
    ]  # fmt: skip
    assert folders(rules("prompts/** → prompt\n*.yaml → retrieval")) == [""]


def test_a_pattern_of_many_stars_takes_no_time():
    wanted = rules("/".join(["**"] * 60) + "/*a*a*a*a*a*a*b → prompt")
    assert touched_layers(["/".join(["aaaaaaaaaaaaaaaaaaaaaaaa"] * 160)], wanted) == {}


@pytest.mark.parametrize(
    "given",
    [
        {"paths": "prompts/**"}, {"paths": "prompts/** → kitchen"}, {"paths": "a → prompt → model"}, {"paths": 7},
        {"paths": [7]}, {"paths": "\n".join(f"a{n} → prompt" for n in range(51))}, {"paths": "x" * 201 + " → prompt"},
        {"models": ["a" * 251]}, {"models": [1]}, {"environments": {"a": 1}}, {"branch": "a\nb"}, {"project": ["x"]},
        {"facet": "f" * 81}, {"paths": [{"pattern": "a\x00b", "layer": "prompt"}]},
    ],
)  # fmt: skip
def test_what_is_refused_with_a_sentence(given):
    with pytest.raises(UserError):
        read_options(given)


def test_settings_survive_their_storage():
    given = {"project": "a/b", "paths": "x/** → prompt", "environments": "p, q\np", "models": ["m"], "user": "u"}
    options = read_options(given)
    assert options.environments == ("p", "q")
    assert read_options(options.stored()) == options
    assert read_options({}).stored() == {}


@pytest.mark.parametrize(
    ("kind", "project", "good"),
    [
        ("github", "shop/assistant", True), ("github", "shop/.github", True), ("github", "shop", False),
        ("github", "shop/..", False), ("github", "a/b/c", False), ("github", "a/b?x=1", False),
        ("gitlab", "group/sub/project", True), ("gitlab", "42", True), ("gitlab", "project", False),
        ("gitlab", "../projects", False), ("gitlab", "a/../b", False),
    ],
)  # fmt: skip
def test_projects(kind, project, good):
    if good:
        check_project(kind, project)
    else:
        with pytest.raises(UserError):
            check_project(kind, project)
