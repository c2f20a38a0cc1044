"""Markdown as its readers read it: GitHub's own parser, strict CommonMark, and what Confluence's editor does first."""

import html
import re

import cmarkgfm
import pytest
from cmarkgfm.cmark import Options
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from postmortem.lib.markdown import render_markdown
from postmortem.report.markdown_text import plain
from postmortem.report.markdown_writer import people_line, people_markdown

ADDRESS = re.compile(r"(\[([^\]]+)\]\()?((https?|ftp)://[^\s>\"]+)")
CONFLUENCE = MarkdownIt("zero", {"html": False}).enable(
    ["entity", "escape", "blockquote", "hr", "heading", "lheading", "code", "fence", "list", "emphasis", "link",
     "autolink", "reference", "strikethrough", "backticks", "table", "newline"]
)  # fmt: skip


def github(text):
    """Of comments: tables, addresses as links, struck-out text, every line end a break, dangerous tags filtered."""
    return cmarkgfm.github_flavored_markdown_to_html(text, Options.CMARK_OPT_HARDBREAKS)


def strict(text):
    return cmarkgfm.markdown_to_html(text)


def confluence(text):
    """Its editor doubles backslashes and wraps bare addresses in angle brackets, outside code blocks, then parses."""
    lines, inside = [], False
    for line in text.split("\n"):
        inside ^= line.startswith("```")
        if not inside:
            doubled = line.replace("\\", "\\\\")
            lines.append(ADDRESS.sub(lambda found: found[0] if found[1] else f"<{found[0]}>", doubled))
        else:
            lines.append(line)
    return CONFLUENCE.render("\n".join(lines))


READERS = {"github": github, "strict": strict, "confluence": confluence}


def seen(page):
    """The words that a reader sees, without what code spans and zero-width spaces take away."""
    words = html.unescape(re.sub(r"<[^>]*>", "", page))
    return " ".join(words.replace("\u200b", "").replace("`", "").split())


TEXTS = (
    "# no heading", "1. no list", "12) none", "- none", "+ none", "* none", "> none", "--- x", "---", "===", "~~~ x",
    "a_b_c _x_ __y__ *z* 2*3*4 **w**", "~5 min, ~10 min, ~~gone~~ a~b~c", "P <0.01, n < 5, >0.99",
    "<script>alert(1)</script> <b>x</b> <!-- y --> <?php", "&lt;b&gt; &amp; &copy; AT&T &#42;", "C:\\dir\\*.txt \\",
    "[x](javascript:y) [z]: q [a][b] [ ] [x] t ![i](u)", "[ ] open", "[x]: /url", "a | b || c", "`code` `` ` ``", "x #",
    "https://e.org/a_b_c?x=1&y=_z_", "(see https://e.org/x_(y)), and www.e.org/_a_b*c*.", "https://e.org/?a=b&copy=c",
    "Dashboard https://g.org/d/0/q?orgId=1&var-r=eu-west&from=17 shows it", "`SELECT count(*) FROM a WHERE b <> 'c_d'`",
    "fix(retriever): *all* of it (#123)", "…ends with a backslash\\", "$x$ and ${y}", "line\nof\ttwo",
    "返金の案内が古い **重要。**と", "«الإجابة قديمة» #5", "👩‍👧 x_👍_",
)  # fmt: skip


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("text", TEXTS)
def test_text_stays_text(text, reader):
    words = " ".join(text.replace("`", "").split())
    for page in (plain(text), f"# {plain(text)}", f"- {plain(text)}", f"Before: {plain(text)} behind."):
        shown = seen(READERS[reader](page))
        assert shown in (words, f"Before: {words} behind.")
    if reader != "strict":
        table = READERS[reader](f"| A | B |\n| --- | --- |\n| {plain(text, cell=True)} | z |\n")
        cells = re.findall(r"<td>(.*?)</td>", table, re.DOTALL)
        assert [seen(cell) for cell in cells] == [words, "z"]


SIGNS = st.text(alphabet=st.sampled_from(list("ab1 _*~`#[]()<>!&;:|\\-+=.@/'\"$^é東")), max_size=24)


@settings(max_examples=250, deadline=None)
@given(SIGNS)
def test_any_signs_stay_text(text):
    words = " ".join(text.replace("`", "").split())
    line = plain(text)
    cell = f"| A | B |\n| --- | --- |\n| {plain(text, cell=True)} | z |\n"
    for reader in (github, confluence):
        assert seen(reader(line)) == words
        cells = re.findall(r"<td>(.*?)</td>", reader(cell), re.DOTALL)
        assert [seen(one) for one in cells] == [words, "z"]
    assert seen(strict(line)) == words


@pytest.mark.parametrize(
    ("text", "link"),
    [
        ("at https://e.org/a_b_c?x=1&y=2 now", "https://e.org/a_b_c?x=1&amp;y=2"),
        ("at https://e.org/_a_(b)?x=*y*z, now", "https://e.org/_a_%28b%29?x=*y*z"),
    ],
)
def test_addresses_lead_where_they_say(text, link):
    for reader in (github, confluence):
        assert re.findall(r'href="([^"]*)"', reader(plain(text))) == [link]


def test_nobody_is_notified_and_nothing_is_referred_to():
    shown = plain("@everyone @org/team a@b.org #1 GH-2 o/r#3 (#4) by @x, `@code` https://e.org/#5")
    assert re.findall(r"(?<!\w)@(?=\w)", re.sub(r"`.*?`", "", shown)) == []
    assert re.findall(r"(?<!/)#\d|GH-\d", shown) == []
    assert "a@b.org" in shown and "`@code`" in shown and "https://e.org/#5" in shown


WRITTEN = """# Top
Intro **bold** and *slanted*, ~~kept~~ `a < b | c` &amp; 3 < 4
soft line  
hard | break

- one
    - two
    - three @team #9
- four

1. first

2. second `x`

> quoted
> more

| a | b |
|---|---|
| 1 | `x|y` **z** |

```
code <b> | @x
  deep
```

##### deep heading

[l_i_nk](https://e.org/a_(b)) <script>alert(1)</script> [bad](javascript:x) **重要。**と
"""


@pytest.mark.parametrize("reader", READERS)
def test_what_people_wrote_reads_as_in_the_other_formats(reader):
    page = READERS[reader](people_markdown(WRITTEN))
    # Without tables a reader shows their pipes.
    shown, own = (re.sub(r"[\s|]|---", "", seen(one)) for one in (page, render_markdown(WRITTEN)))
    assert shown == own
    assert page.count("<li>") == 6 and "<blockquote>" in page and "<h3>" in page and "<h1>" not in page
    assert "<script" not in page and "javascript:" not in page
    assert '<a href="https://e.org/a_%28b%29">l_i_nk</a>' in page


def test_a_line_of_people_is_one_line():
    assert people_line("**Decide** by *Friday*, see [x](https://e.org)") == (
        "**Decide** by *Friday*, see [x](https://e.org)"
    )
    assert "\n" not in people_line("a  \nb")


def test_columns_keep_their_alignment():
    written = people_markdown("| a | b | c |\n|--:|:-:|---|\n| 1 | 2 | 3 |")
    assert written == "| a | b | c |\n| ---: | :---: | --- |\n| 1 | 2 | 3 |"
    assert '<td align="right">1</td>' in github(written)


def test_deep_nesting_ends():
    text = "> " * 400 + "deep"
    assert "deep" in people_markdown(text)
