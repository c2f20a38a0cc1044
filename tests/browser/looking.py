"""Looking at a page as axe does, and for what axe does not see: focus, reflow, motion."""

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
WIDE, NARROW = 1440, 390
LOOKS = (("light", WIDE), ("dark", NARROW), ("dark", WIDE), ("light", NARROW))
_BEATS = """() => {
  // A page asked for less motion: nothing may still move by itself.
  return document.getAnimations().filter((one) => one.playState === "running"
    && one.effect.getComputedTiming().duration > 1).map((one) => one.effect.target.outerHTML.slice(0, 100));
}"""
_UNSEEN_FOCUS = """async () => {
  const found = [], kinds = new Set();
  const styles = ["outlineStyle", "outlineWidth", "outlineColor", "boxShadow", "borderColor", "backgroundColor",
    "textDecorationLine", "fill", "stroke", "strokeWidth"];
  const look = (one) => { const style = getComputedStyle(one); return styles.map((name) => style[name]).join("|"); };
  const seen = (one) => { const box = one.getBoundingClientRect(); return box.width > 0 && box.height > 0; };
  const controls = "a[href], button, input:not([type=hidden]), select, textarea, summary, [tabindex='0']";
  for (const one of document.querySelectorAll(controls)) {
    const kind = `${one.tagName} ${one.getAttribute("class")} ${one.type || ""}`;
    if (kinds.has(kind) || one.disabled || !seen(one)) continue;
    kinds.add(kind);
    const around = [one, one.parentElement, ...one.children];
    const before = around.map(look).join();
    one.focus({ focusVisible: true, preventScroll: true });
    if (document.activeElement !== one) continue;
    if (before === around.map(look).join()) found.push(one.outerHTML.slice(0, 120));
    one.blur();
  }
  return found;
}"""


def unfold(page: Page) -> None:
    """Open everything that is folded, so that it is looked at too."""
    page.locator("details").evaluate_all("all => all.forEach((one) => { one.open = true; })")


def broken(page: Page, rules: list[str] | None = None) -> list[str]:
    """WCAG 2.2 AA violations that axe finds: rule and first element."""
    only = {"type": "rule", "values": rules} if rules else RULES
    found = Axe().run(page, options={"runOnly": only, "resultTypes": ["violations"]}).response["violations"]
    return [f"{one['id']} ({len(one['nodes'])}): {one['nodes'][0]['html'][:160]}" for one in found]


def unseen_focus(page: Page) -> list[str]:
    """Kinds of controls that look the same with the focus and without (WCAG 2.4.7)."""
    return [f"focus is not seen: {html}" for html in page.evaluate(_UNSEEN_FOCUS)]


def moving(page: Page) -> list[str]:
    """What moves by itself although less motion was asked for."""
    return [f"moves: {html}" for html in page.evaluate(_BEATS)]


def overflowing(page: Page) -> list[str]:
    """Whether the page scrolls sideways (WCAG 1.4.10), and by how much."""
    wide = page.evaluate("() => document.documentElement.scrollWidth - document.documentElement.clientWidth")
    return [f"scrolls sideways by {wide} px"] if wide > 1 else []
