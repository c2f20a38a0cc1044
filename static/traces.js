// Reading by keyboard: Enter or → opens the observation in focus, ← closes it.
"use strict";
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, textarea, select, dialog, summary, a, button")) return;
  const item = event.target.closest("[data-item]");
  const details = item && item.querySelector("details");
  if (details && (event.key === "Enter" || event.key === "ArrowRight")) { event.preventDefault(); details.open = true; }
  if (details && event.key === "ArrowLeft") { event.preventDefault(); details.open = false; }
});

// Labelling: 1 failing, 2 fine, 3 skip, u take the last one back; the next trace is there at once.
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input:not([type=hidden]), textarea, select, dialog")) return;
  const choice = document.querySelector(`[data-labels] [data-label-key="${CSS.escape(event.key)}"]`);
  if (choice) { event.preventDefault(); choice.click(); }
});
document.addEventListener("htmx:afterSwap", () => {
  const next = document.getElementById("label-trace");
  if (next && !next.contains(document.activeElement)) { next.focus({ preventScroll: true }); window.scrollTo(0, 0); }
});
