"""Fonts for the letters that a text uses beyond those of western Europe. Pure.

Some are large, so a document takes only those that it needs. Each file has a family of its own: embedded under the
name of the text font, their glyphs would be mixed up with its own, so that a Polish name is set with wrong letters.
"""

import re

_SCRIPTS = (
    ("Script arabic", re.compile("[\u0600-\u06ff\u0750-\u077f\u08a0-\u08ff\ufb50-\ufdff\ufe70-\ufeff]"),
     (("noto-sans-arabic-arabic-400-normal.woff2", 400), ("noto-sans-arabic-arabic-700-normal.woff2", 700))),
    ("Script cjk", re.compile("[\u2e80-\u312f\u31a0-\u9fff\uf900-\ufaff\uff00-\uffef]"),
     (("noto-sans-cjk-400-normal.woff2", 400),)),
    ("Script hangul", re.compile("[\u1100-\u11ff\u3131-\u318f\uac00-\ud7a3]"),
     (("noto-sans-kr-400-normal.woff2", 400),)),
    *((f"Script {name}", re.compile(letters),
       tuple((f"noto-sans-{name}-{name}-{weight}-normal.woff2", weight) for weight in (400, 700)))
      for name, letters in (
          ("hebrew", "[\u0591-\u05f4\ufb1d-\ufb4f]"), ("thai", "[\u0e01-\u0e5b]"), ("bengali", "[\u0980-\u09fe]"),
          ("devanagari", "[\u0900-\u097f\ua8e0-\ua8ff]"), ("tamil", "[\u0b82-\u0bfa]"),
          ("georgian", "[\u10a0-\u10ff\u1c90-\u1cbf]"), ("armenian", "[\u0531-\u058f\ufb13-\ufb17]"),
      )),
    ("Script emoji", re.compile("[\u203c\u2049\u231a-\u23ff\u25fb-\u27bf\u2934-\u2b55\U0001f000-\U0001faff]"),
     (("noto-emoji-400-normal.woff2", 400),)),
)  # fmt: skip
# Files that the text fonts (sans, serif, mono) have beside their own, for more letters in the same style.
_SUBSETS = (
    ("latin-ext", re.compile("[\u0100-\u02ba\u02bd-\u02c5\u02c7-\u02cc\u02ce-\u02d7\u02dd-\u02ff\u0304\u0308\u0329"
                             "\u1d00-\u1dbf\u1e00-\u1e9f\u1ef2-\u1eff\u2020\u20a0-\u20ab\u20ad-\u20c0\u2113"
                             "\u2c60-\u2c7f\ua720-\ua7ff]")),
    ("vietnamese", re.compile("[\u0300\u0303\u0309\u0323\u1ea0-\u1ef1]")),
    ("greek", re.compile("[\u0370-\u03ff]")),
    ("cyrillic", re.compile("[\u0301\u0400-\u045f\u0490\u0491\u04b0\u04b1\u2116]")),
)  # fmt: skip
_TEXT_FAMILY = re.compile(r'"(Noto (?:Sans|Serif|Sans Mono))"')
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


def subsets_for(text: str) -> list[str]:
    """Which files of the text fonts `text` needs beside the first: latin-ext, vietnamese, greek, cyrillic."""
    return [name for name, letters in _SUBSETS if letters.search(text)]


def own_family(face: str) -> str:
    """An @font-face rule of a text font under a family of its own, if its file is one of the subsets."""
    for name, _ in _SUBSETS:
        if f"-{name}-" in face:
            return re.sub(r"font-family: '([^']+)'", rf"font-family: '\1 {name}'", face)
    return face


def with_subsets(text: str, subsets: list[str]) -> str:
    """CSS or SVG `text` with the families of `subsets` asked after each text font."""
    if not subsets:
        return text
    text = _TEXT_FAMILY.sub(lambda found: ", ".join(f'"{one}"' for one in _families(found[1], subsets)), text)
    return text.replace("Noto Sans, Signs math,", f"{', '.join(_families('Noto Sans', subsets))}, Signs math,")


def _families(family: str, subsets: list[str]) -> list[str]:
    return [family, *(f"{family} {name}" for name in subsets)]
