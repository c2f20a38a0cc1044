// What of a large causal graph is seen, and how large: zoom, drag, search, folding, the whole window.
"use strict";
window.graphView = (root, canvas, editor) => {
  const FEW = 8, LEAST = 0.3, MOST = 2, FAR = 0.7; // below FAR words are drawn larger and fewer, so that they can be read
  const bar = document.getElementById("graph-view");
  const search = document.getElementById("graph-search");
  const found = document.getElementById("graph-found");
  const show = document.getElementById("graph-show");
  const layers = [...bar.querySelectorAll("[data-layer]")];
  const whole = document.getElementById("graph-whole");
  let scale = 1, around = 0, matches = [], at = -1;

  const tidy = () => { bar.hidden = editor.nodes().length <= FEW && !folds(); whole.hidden = false; };
  const folds = () => Object.keys(fields()).length > 0;

  // ---- zoom --------------------------------------------------------------------------------------------------
  function zoomTo(wanted, x = canvas.clientWidth / 2, y = canvas.clientHeight / 2) {
    const before = scale;
    scale = Math.min(MOST, Math.max(LEAST, wanted));
    const [left, top] = [(canvas.scrollLeft + x) / before, (canvas.scrollTop + y) / before];
    editor.draw();
    canvas.scrollLeft = left * scale - x;
    canvas.scrollTop = top * scale - y;
  }
  const fitting = () => {
    const size = editor.size();
    return Math.min(1, (canvas.clientWidth - 4) / size.width, Math.max(canvas.clientHeight, innerHeight * 0.7) / size.height);
  };
  const fit = () => zoomTo(fitting());
  function begin() {
    // Words on boxes smaller than this say nothing: then rather a part of the graph, with the impact in it.
    scale = fitting() < 0.42 ? 0.75 : fitting();
    editor.draw();
    const impact = canvas.querySelector(".node.impact");
    if (impact) bring(impact);
  }
  function bring(one) {
    const box = one.getBoundingClientRect(), frame = canvas.getBoundingClientRect();
    canvas.scrollLeft += box.left + box.width / 2 - frame.left - frame.width / 2;
    canvas.scrollTop += box.top + box.height / 2 - frame.top - frame.height / 2;
  }
  canvas.addEventListener("wheel", (event) => {
    if (!event.ctrlKey) return;
    event.preventDefault();
    const frame = canvas.getBoundingClientRect();
    zoomTo(scale * Math.exp(-event.deltaY / 400), event.clientX - frame.left, event.clientY - frame.top);
  }, { passive: false });

  // ---- dragging the paper ------------------------------------------------------------------------------------
  let drag = null;
  canvas.addEventListener("pointerdown", (event) => {
    if (event.target.closest("[data-node], [data-edge]") || event.button !== 0 || event.pointerType !== "mouse") return;
    drag = { x: event.clientX + canvas.scrollLeft, y: event.clientY + canvas.scrollTop };
    canvas.classList.add("dragging");
  });
  window.addEventListener("pointermove", (event) => {
    if (!drag) return;
    canvas.scrollLeft = drag.x - event.clientX;
    canvas.scrollTop = drag.y - event.clientY;
  });
  window.addEventListener("pointerup", () => { drag = null; canvas.classList.remove("dragging"); });

  // ---- words and light ---------------------------------------------------------------------------------------
  const far = () => scale < FAR;
  // How many characters fit on a line and how many lines on a box, and their size in the picture's units.
  function type(width, height) {
    if (!far()) return { size: 12, step: 15, wide: 27, most: height > 80 ? 5 : 3, top: 34 };
    const size = 11 / scale;
    return { size, step: size * 1.1, wide: Math.floor((width - 10) / (size * 0.6)), most: Math.max(1, Math.floor((height - 4) / (size * 1.1))), top: size * 1.05 };
  }
  // Ids that have to do with the chosen factor, by arrows in both directions; none when all are equal.
  function related(state, id) {
    if (!id || state.nodes.length <= 12) return null;
    const near = new Set([id]);
    for (const [from, to] of [["cause", "effect"], ["effect", "cause"]]) {
      const waiting = [id];
      while (waiting.length) {
        const here = waiting.pop();
        for (const one of state.edges) if (one[from] === here && !(waiting.includes(one[to]))) { if (!near.has(one[to])) waiting.push(one[to]); near.add(one[to]); }
      }
    }
    return near;
  }

  // ---- search ------------------------------------------------------------------------------------------------
  function look() {
    const words = search.value.trim().toLowerCase();
    matches = words ? editor.nodes().filter((one) => `${one.text} ${one.kind_label} ${one.layer} ${one.change} ${one.change_summary} ${one.cut_by.join(" ")}`.toLowerCase().includes(words)).map((one) => one.id) : [];
    at = -1;
    found.textContent = words ? `${matches.length} of ${editor.nodes().length}` : "";
    editor.draw();
  }
  function next(by) {
    if (!matches.length) return;
    at = (at + by + matches.length) % matches.length;
    editor.show(matches[at]);
    found.textContent = `${at + 1} of ${matches.length}`;
    const one = document.getElementById(`node-${matches[at]}`);
    if (one) bring(one);
  }
  search.addEventListener("input", look);
  search.addEventListener("keydown", (event) => {
    if (event.key === "Enter") { event.preventDefault(); next(event.shiftKey ? -1 : 1); }
    if (event.key === "Escape") { event.stopPropagation(); search.value = ""; look(); editor.focus(); }
    if (event.key === "ArrowDown" && matches.length) { event.preventDefault(); if (at < 0) next(1); editor.focus(); }
  });

  // ---- folding -----------------------------------------------------------------------------------------------
  function fields() {
    const asked = {};
    const hidden = layers.filter((one) => one.getAttribute("aria-pressed") === "false").map((one) => one.dataset.layer);
    if (hidden.length) asked.hide = hidden;
    if (show.value === "around" && around) asked.around = around;
    if (show.value === "open") asked.open = 1;
    return asked;
  }
  async function fold() {
    const answer = await fetch(`${root.dataset.state}?${query(fields())}`).catch(() => null);
    if (!answer || !answer.ok) { editor.say("Not folded: no connection, or you are signed out.", true); return; }
    editor.take(await answer.json());
    if (search.value) look();
    scale = Math.max(fitting(), Math.min(scale, 0.75));
    editor.draw();
    const one = canvas.querySelector(".node.chosen, .node.impact");
    if (one) bring(one);
    editor.say(editor.folded() ? `${editor.folded()} folded away.` : "All shown.");
  }
  function query(asked) {
    const made = new URLSearchParams();
    for (const [key, value] of Object.entries(asked)) for (const one of [].concat(value)) made.append(key, one);
    return made;
  }
  for (const one of layers) one.addEventListener("click", () => { one.setAttribute("aria-pressed", String(one.getAttribute("aria-pressed") === "false")); fold(); });
  show.addEventListener("change", () => {
    around = show.value === "around" ? editor.chosen() : 0;
    if (show.value === "around" && !around) { show.value = ""; editor.say("Choose a factor first, then what belongs to it is shown alone.", true); return; }
    fold();
  });
  function aroundThis(id) {
    if (show.value === "around" && around === id) { show.value = ""; around = 0; } else { show.value = "around"; around = id; }
    fold();
  }

  // ---- the whole window --------------------------------------------------------------------------------------
  function fill(on) {
    root.classList.toggle("whole", on);
    whole.setAttribute("aria-pressed", String(on));
    document.documentElement.classList.toggle("graph-over-all", on);
    for (let one = root; one !== document.body; one = one.parentElement) {
      for (const beside of one.parentElement.children) if (beside !== one) beside.inert = on;
    }
    fit();
  }
  whole.addEventListener("click", () => fill(!root.classList.contains("whole")));

  // ---- keyboard ----------------------------------------------------------------------------------------------
  root.addEventListener("keydown", (event) => {
    if (event.target.closest("input, textarea, select") || event.ctrlKey || event.metaKey || event.altKey) return;
    const used = () => { event.preventDefault(); event.stopPropagation(); };
    const here = event.target.closest("[data-node]");
    if (event.key === "Escape" && root.classList.contains("whole") && !editor.busy()) { used(); fill(false); whole.focus(); }
    if (!canvas.contains(event.target)) return;
    if (event.key === "+" || event.key === "=") { used(); zoomTo(scale * 1.25); }
    else if (event.key === "-") { used(); zoomTo(scale * 0.8); }
    else if (event.key === "0") { used(); fit(); }
    else if (event.key === "/") { used(); search.focus(); search.select(); }
    else if (event.key === "f" && here) { used(); aroundThis(Number(here.dataset.node)); }
  }, true);

  return {
    scale: () => scale, larger: () => zoomTo(scale * 1.25), smaller: () => zoomTo(scale * 0.8),
    fit, begin, far, type, related, fields, fold, folds, tidy,
    matches: (id) => matches.includes(id),
  };
};
