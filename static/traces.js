// Reading by keyboard: Enter or → opens the observation in focus, ← closes it.
"use strict";
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, textarea, select, dialog, summary, a, button")) return;
  const item = event.target.closest("[data-item]");
  const details = item && item.querySelector("details");
  if (details && (event.key === "Enter" || event.key === "ArrowRight")) { event.preventDefault(); details.open = true; }
  if (details && event.key === "ArrowLeft") { event.preventDefault(); details.open = false; }
});
