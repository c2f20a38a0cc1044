"""Fonts for the scripts that a text uses beyond Latin, Greek and Cyrillic. Pure.

They are large, so a document takes only those that it needs. Each has a family of its own: embedded under the name
of the text font, their glyphs would be mixed up with its own.
"""

import re

_SCRIPTS = (
    ("Script arabic", re.compile("[\u0600-\u06ff\u0750-\u077f\u08a0-\u08ff\ufb50-\ufdff\ufe70-\ufeff]"),
     (("noto-sans-arabic-arabic-400-normal.woff2", 400), ("noto-sans-arabic-arabic-700-normal.woff2", 700))),
    ("Script cjk", re.compile("[\u2e80-\u312f\u31a0-\u9fff\uf900-\ufaff\uff00-\uffef]"),
     (("noto-sans-cjk-400-normal.woff2", 400),)),
    ("Script hangul", re.compile("[\u1100-\u11ff\u3131-\u318f\uac00-\ud7a3]"),
     (("noto-sans-kr-400-normal.woff2", 400),)),
    ("Script emoji", re.compile("[\u203c\u2049\u231a-\u23ff\u25fb-\u27bf\u2934-\u2b55\U0001f000-\U0001faff]"),
     (("noto-emoji-400-normal.woff2", 400),)),
)  # fmt: skip
_SELECTORS = re.compile("[\ufe00-\ufe0f\U000e0100-\U000e01ef\U0001f3fb-\U0001f3ff]")


def fonts_for(text: str, base: str) -> tuple[list[str], str]:
    """Families that `text` needs and the @font-face rules that bring them; `base` goes before the file names."""
    families, rules = [], []
    for family, characters, files in _SCRIPTS:
        if characters.search(text):
            families.append(family)
            rules += [
                f"@font-face {{ font-family: '{family}'; font-weight: {weight}; src: url({base}{name}); }}"
                for name, weight in files
            ]
    return families, "\n".join(rules)


def with_families(text: str, families: list[str]) -> str:
    """CSS or SVG `text` with `families` asked after the signs of the text font.

    Variation selectors go: the fonts have one form of each sign, and no glyph for the selector itself.
    """
    text = _SELECTORS.sub("", text)
    if not families:
        return text
    quoted = ", ".join(f'"{family}"' for family in families)
    text = text.replace('"Signs math"', f'"Signs math", {quoted}')
    return text.replace("Noto Sans, Signs math,", f"Noto Sans, Signs math, {', '.join(families)},")
