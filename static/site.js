// Small comforts on top of pages that work without any script.
"use strict";

// The server asks twice before nothing is lost: warn before leaving a changed form.
const changed = new Set();
document.addEventListener("input", (event) => {
  const form = event.target.closest("form[data-guard]");
  if (form && !event.target.dataset.shared) changed.add(form);
});
document.addEventListener("submit", (event) => changed.delete(event.target));
window.addEventListener("beforeunload", (event) => {
  for (const form of changed) if (!form.isConnected) changed.delete(form);
  if (changed.size) event.preventDefault();
});

// What is typed into a search is asked for already; leaving the field must not ask again and take the focus away.
document.addEventListener("change", (event) => {
  if (event.target.matches("form[hx-get] input[type=search]")) event.stopPropagation();
}, true);

// Keyboard: "/" search, "?" help, g + letter for stages, j and k between items, 1 2 3 to choose in the current item.
let prefix = "";
const items = () => [...document.querySelectorAll("[data-item]")];
const current = () => document.activeElement && document.activeElement.closest("[data-item]");
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || document.body.dataset.keys === "off") return;
  if (event.target.closest("input:not([type=radio], [type=checkbox]), textarea, select, dialog")) return;
  const key = event.key;
  if (prefix === "g") {
    prefix = "";
    const stage = document.querySelector(`[data-key="${CSS.escape(key)}"]`);
    if (stage) { event.preventDefault(); stage.click(); }
    return;
  }
  if (key === "g") { prefix = "g"; setTimeout(() => { prefix = ""; }, 1200); return; }
  if (key === "?") { const help = document.getElementById("keys"); if (help) { event.preventDefault(); help.showModal(); } return; }
  if (key === "/") { const search = document.querySelector("input[type=search]"); if (search) { event.preventDefault(); search.focus(); } return; }
  if (key === "j" || key === "k") {
    const all = items();
    if (!all.length) return;
    const at = all.indexOf(current());
    const next = all[Math.min(all.length - 1, Math.max(0, at + (key === "j" ? 1 : -1)))];
    event.preventDefault();
    next.focus();
    next.scrollIntoView({ block: "nearest" });
    return;
  }
  const hot = document.querySelector(`[data-hotkey="${CSS.escape(key)}"]:not([disabled])`);
  if (hot) {
    event.preventDefault();
    const folded = hot.closest("details:not([open])");
    if (folded) folded.open = true;
    if (hot.matches("summary")) hot.parentElement.open = true; // a click would fold what is open
    else hot.click();
    const then = hot.dataset.then && document.getElementById(hot.dataset.then);
    if (then) { then.focus(); then.scrollIntoView({ block: "nearest" }); }
    return;
  }
  const here = current();
  if (here && /^[1-9]$/.test(key)) {
    const choice = here.querySelector(`[data-choice="${key}"]`);
    if (choice) { event.preventDefault(); choice.click(); }
  }
});

// Ctrl and Enter send the form that is being written.
document.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey) || !event.target.form) return;
  event.preventDefault();
  event.target.form.requestSubmit();
});

// A draft from the attribution: chosen and written into the form, to be edited and sent by a person.
document.addEventListener("click", (event) => {
  const offer = event.target.closest("[data-draft]");
  if (!offer) return;
  const box = document.getElementById(offer.dataset.draftInto);
  const choice = offer.form && offer.form.querySelector(`input[value="${CSS.escape(offer.dataset.draftValue)}"]`);
  if (choice) choice.checked = true;
  if (!box.value.includes(offer.dataset.draft)) box.value = [box.value.trim(), offer.dataset.draft].filter(Boolean).join("\n");
  box.dispatchEvent(new Event("input", { bubbles: true }));
  box.focus();
});

document.addEventListener("click", (event) => {
  const opener = event.target.closest("[data-opens]");
  if (opener) document.getElementById(opener.dataset.opens).showModal();
  const closer = event.target.closest("[data-closes]");
  if (closer) closer.closest("dialog").close();
  const copier = event.target.closest("[data-copies]");
  if (copier) navigator.clipboard.writeText(copier.dataset.copies).then(() => { copier.textContent = "Copied"; });
});

// What scrolls sideways can be scrolled by keyboard too, and only that takes a tab stop.
function reachScrollers() {
  for (const one of document.querySelectorAll(".scroll")) {
    if (one.scrollWidth > one.clientWidth + 1) {
      one.tabIndex = 0;
      one.setAttribute("role", "group");
      if (!one.hasAttribute("aria-label")) one.setAttribute("aria-label", "Table, scrolls sideways");
    } else if (one.hasAttribute("tabindex")) {
      one.removeAttribute("tabindex");
    }
  }
}
reachScrollers();
window.addEventListener("resize", reachScrollers);
document.addEventListener("toggle", reachScrollers, true);
document.addEventListener("htmx:afterSwap", reachScrollers);
