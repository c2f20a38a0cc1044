"""Text that stays text in Markdown, wherever it is pasted. Pure.

GitHub, Confluence and Google Docs read CommonMark with pipe tables, but not alike. Confluence's editor doubles every
backslash before it parses, so that one which escapes would be seen. GitHub links addresses before it takes backslashes
away, so that one inside an address breaks the link, and it makes mentions of names and numbers after all escapes are
gone. Hence: what no reader takes for a sign stays as it is, what one could becomes a character reference, and what
GitHub would notify somebody about gets a zero-width space behind its first character.
"""

import re

_GAP = "\u200b"
_ASCII_SIGNS = r"!-/:-@\[-`{-~"
_TRAILING = ".,:;!?'\")*_~]"
_NAMED = {"<": "&lt;", ">": "&gt;", "&": "&amp;"}
_IDENTIFIER = re.compile(r"[\w.:/@=+-]+")
_RISKY = re.compile(r"[\s()<>\[\]\\|`\"^{}]")
# An address of these characters alone is a link on GitHub and in Confluence as it is.
_EASY_ADDRESS = re.compile(r"(?:[a-z]+://|www\.)[\w.:/?=&%+,;@#-]*[\w/]", re.IGNORECASE | re.ASCII)
_UNEASY = re.compile(r"(?<![^\W_])_|_(?![^\W_])|&#?\w+;")
_PARTS = re.compile(
    r"(?P<address>(?:\b(?:https?|ftp)://|\bwww\.)[^\s<>\"`|\\]+)"
    r"|(?P<code>(?<!`)`(?! )(?:[^`|\\<]|<(?![A-Za-z/!?]))+(?<! )`(?!`))"
    r"|(?P<mention>(?<![\w.+-])@(?=[A-Za-z0-9]))"
    r"|(?P<reference>#(?=\d)|(?<![A-Za-z0-9])GH-(?=\d))"
    r"|(?P<number>^\d{1,9})(?P<after>[.)])(?=\s|$)"
    r"|(?P<sign>"
    rf"\\(?=[{_ASCII_SIGNS}]|$)"  # an escape; a line break
    r"|&(?=#?\w{1,40};)"  # a character reference
    r"|<(?=[A-Za-z/!?]|[^\s<>@]{1,80}@)"  # a tag; a mail address
    r"|(?<!\s)\*|\*(?!\s)"  # emphasis
    r"|(?<!\w)_+|_++(?!\w)"  # emphasis: not inside a word
    r"|(?<![\s(])(?<!^)~|~(?![^\W_])"  # struck out
    r"|`"
    r"|\](?=[(\[:]|$)"  # a link; the definition of one
    r"|(?:(?<=\s)|^)#+(?=\s|$)"  # a heading; its end
    r"|^(?:[-+](?=[\s-]|$)|>|=+$|\[(?=[ xX]\]\s))"  # a list, a quotation, a line under a heading, a task
    r")",
    re.IGNORECASE,
)


def plain(text: object, *, cell: bool = False, linked: bool = False, pipes: bool = False) -> str:
    """`text` on one line, as Markdown that shows just it.

    `cell`: it stands in a table. `linked`: it stands in a link, where no other may. `pipes`: pipes could make a table.
    """

    def part(found: re.Match[str]) -> str:
        kind = found.lastgroup
        if kind == "code":
            return found[0]
        if kind == "address":
            return _address(found, linked=linked)
        if kind == "after":
            return found["number"] + _referred(found["after"])
        return found[0] + _GAP if kind in ("mention", "reference") else _referred(found[0])

    # What is a sign at the start of a block is none in a cell.
    before = "| " if cell else ""
    shown = _PARTS.sub(part, before + " ".join(str(text).split()))[len(before) :]
    return shown.replace("|", "&#124;") if cell or pipes else shown


def code(text: str, *, cell: bool = False) -> str:
    """`text` as a code span; plain where a pipe in a table forbids one."""
    words = " ".join(text.split())
    if not words or (cell and "|" in words):
        return plain(words, cell=cell)
    fence = "`" * (longest_run(words, "`") + 1)
    pad = " " if words[0] == "`" or words[-1] == "`" else ""
    return f"{fence}{pad}{words}{pad}{fence}"


def identifier(text: str) -> str:
    """An id or a hash as a code span; plain where it holds more than ids do."""
    return code(text) if _IDENTIFIER.fullmatch(text) else plain(text)


def link(label: str, address: str) -> str:
    """A link whose text is `label`, which is Markdown already."""
    shown = label.replace("[", "&#91;").replace("]", "&#93;")
    return f"[{shown}]({_RISKY.sub(lambda found: f'%{ord(found[0]):02X}', address)})"


def longest_run(text: str, sign: str) -> int:
    """How many of `sign` stand in a row at most."""
    return max((len(run) for run in re.findall(f"{re.escape(sign)}+", text)), default=0)


def _address(found: re.Match[str], *, linked: bool) -> str:
    address = found[0].rstrip(_TRAILING)
    if found[0][len(address) :][:1] == ")" and address.count("(") > address.count(")"):
        address += ")"
    rest = found[0][len(address) :]
    behind = rest or found.string[found.end() : found.end() + 1]
    tail = "".join(_referred(sign) if sign in "*_~]" else sign for sign in rest)
    easy = _EASY_ADDRESS.fullmatch(address) and not _UNEASY.search(address)
    if easy and (linked or behind in ("", " ")):
        return address + tail
    label = re.sub(r"[*_~`\[\]&]", lambda sign: _referred(sign[0]), address)
    whole = address if "://" in address else f"http://{address}"
    return (label if linked else link(label, whole)) + tail


def _referred(signs: str) -> str:
    """Character references: what CommonMark never takes for a sign of its own."""
    return "".join(_NAMED.get(sign) or f"&#{ord(sign)};" for sign in signs)
