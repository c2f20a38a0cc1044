// The editor of the causal graph. The server is the truth: every edit is one POST that answers with the new graph.
"use strict";
(() => {
  const root = document.getElementById("graph-editor");
  const holder = document.getElementById("graph-state");
  if (!root || !holder) return;
  const NS = "http://www.w3.org/2000/svg";
  const BOX = { width: 190, height: 74, gapX: 30, gapY: 46 };
  const STEP = { x: BOX.width + BOX.gapX, y: BOX.height + BOX.gapY };
  const editable = root.hasAttribute("data-editable");
  const canvas = root.querySelector(".graph-canvas");
  const panel = document.getElementById("graph-panel");
  const said = document.getElementById("graph-said");
  const checks = document.getElementById("graph-check");
  const tools = root.querySelector(".graph-tools");
  const glyphs = new Map([...document.getElementById("graph-layers").content.querySelectorAll("option")]
    .map((one) => [one.value, one.dataset.glyph]));
  const csrf = () => (document.cookie.match(/(?:^|; )csrftoken=([^;]+)/) || [])[1]
    || JSON.parse(document.body.getAttribute("hx-headers"))["x-csrftoken"];
  let state = JSON.parse(document.getElementById("graph-data").textContent);
  let selected = { kind: "", id: 0 }; // "node" or "edge"
  let connecting = 0; // the cause of the arrow that is being drawn
  const marked = new Set();

  const el = (name, attributes = {}, ...children) => {
    const one = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) {
      if (key === "on") for (const [event, act] of Object.entries(value)) one.addEventListener(event, act);
      else if (value === true) one.setAttribute(key, "");
      else if (value !== false && value !== null) one.setAttribute(key, value);
    }
    one.append(...children);
    return one;
  };
  const svg = (name, attributes = {}, text = "") => {
    const one = document.createElementNS(NS, name);
    for (const [key, value] of Object.entries(attributes)) one.setAttribute(key, value);
    if (text) one.textContent = text;
    return one;
  };
  const node = (id) => state.nodes.find((one) => one.id === id);
  const edge = (id) => state.edges.find((one) => one.id === id);
  const say = (words, alert = false) => { said.textContent = words; said.classList.toggle("alert", alert); };

  // ---- steps -------------------------------------------------------------------------------------------------
  async function step(act, fields = {}, after = null) {
    const body = new URLSearchParams({ act });
    for (const [key, value] of [...Object.entries(fields), ...Object.entries(view.fields())]) for (const one of [].concat(value)) body.append(key, one);
    say("Saving…");
    try {
      const answer = await fetch(root.dataset.edit, { method: "POST", headers: { "x-csrftoken": csrf() }, body });
      if (!(answer.headers.get("content-type") || "").includes("json")) throw new Error("no answer");
      const told = await answer.json();
      take(told.state);
      if (answer.ok) {
        say(!told.selected || node(told.selected) ? told.said : `${told.said} It is folded away now.`);
        if (told.selected && node(told.selected)) select("node", told.selected, true);
        else if (after) after();
        else draw();
      } else { draw(); say(told.said, true); }
      return answer.ok;
    } catch {
      say("Not saved: no connection, or you are signed out. Nothing of the graph is lost; try again.", true);
      return false;
    }
  }
  // Of many factors all are seen only small: taller boxes then hold a third line.
  function measure() {
    BOX.height = state.nodes.length > 20 ? 112 : 74;
    STEP.y = BOX.height + BOX.gapY;
  }
  function take(fresh) {
    state = fresh;
    measure();
    for (const id of [...marked]) if (!node(id)) marked.delete(id);
    if (selected.kind === "node" && !node(selected.id) || selected.kind === "edge" && !edge(selected.id)) selected = { kind: "", id: 0 };
    if (connecting && !node(connecting)) connecting = 0;
  }

  // ---- drawing -----------------------------------------------------------------------------------------------
  const place = (one) => ({ x: 16 + one.x * STEP.x, y: 8 + one.y * STEP.y });
  function lines(text, width, most) {
    const found = [""];
    for (const word of text.split(/\s+/)) {
      const last = found[found.length - 1];
      if (`${last} ${word}`.trim().length <= width) found[found.length - 1] = `${last} ${word}`.trim();
      else found.push(word.slice(0, width));
    }
    const kept = found.filter(Boolean);
    if (kept.length > most) kept.splice(most - 1, kept.length, `${kept.slice(most - 1).join(" ").slice(0, width - 1).trimEnd()}…`);
    return kept;
  }
  function draw() {
    const width = Math.max(state.width, 1) * STEP.x + 32;
    const height = Math.max(state.rows, 1) * STEP.y;
    const scale = view.scale();
    const picture = svg("svg", { width: width * scale, height: height * scale, viewBox: `0 0 ${width} ${height}`, role: "group", "aria-label": `Causal graph, ${state.nodes.length} factors`, class: `${view.far() ? "far" : ""}${state.nodes.length > 20 ? " many" : ""}` });
    const openNodes = new Set(state.check.open_nodes);
    const open = { has: (one) => openNodes.has(one.cause) && openNodes.has(one.effect) };
    const chosenEdge = selected.kind === "edge" ? edge(selected.id) : null;
    const near = view.related(state, selected.kind === "node" ? selected.id : chosenEdge ? chosenEdge.effect : 0);
    const shownEdges = [...state.edges].sort((one, other) => open.has(one) - open.has(other));
    for (const one of shownEdges) {
      const cause = node(one.cause), effect = node(one.effect);
      if (!cause || !effect) continue;
      const from = place(cause), to = place(effect);
      const points = [[from.x, from.y + BOX.height]];
      for (const [x, y] of one.route) { const at = place({ x, y }); points.push([at.x, at.y], [at.x, at.y + BOX.height]); }
      points.push([to.x, to.y - 8]);
      let path = `M${points[0][0]} ${points[0][1]}`;
      for (let at = 1; at < points.length; at += 1) {
        const [px, py] = points[at - 1], [x, y] = points[at];
        path += at % 2 ? `C${px} ${py + BOX.gapY / 2} ${x} ${y - BOX.gapY / 2} ${x} ${y}` : `L${x} ${y}`;
      }
      const chosen = selected.kind === "edge" && selected.id === one.id;
      const dim = near && !(near.has(one.cause) && near.has(one.effect));
      const words = ["edge", open.has(one) ? "open" : "", chosen ? "chosen" : "", dim ? "dim" : "", one.id ? "" : "bridge"].filter(Boolean).join(" ");
      const told = `“${cause.text}” led to “${effect.text}”${one.claim ? `: ${one.claim}` : ""}`;
      const group = svg("g", one.id ? { class: words, tabindex: chosen ? "0" : "-1", role: "button", id: `edge-${one.id}`, "aria-label": told, "data-edge": one.id } : { class: words, role: "img", "aria-label": told });
      group.append(svg("title", {}, told), svg("path", { class: "line", d: path }), svg("path", { class: "tip", d: `M${to.x - 5} ${to.y - 8}h10l-5 8z` }));
      if (one.id) group.append(svg("path", { class: "grip", d: path }));
      picture.append(group);
    }
    for (const one of state.nodes) picture.append(box(one, openNodes, near));
    const focusedId = canvas.contains(document.activeElement) ? document.activeElement.id : "";
    const at = [canvas.scrollLeft, canvas.scrollTop];
    canvas.replaceChildren(state.nodes.length ? picture : empty());
    [canvas.scrollLeft, canvas.scrollTop] = at;
    if (focusedId && document.getElementById(focusedId)) document.getElementById(focusedId).focus({ preventScroll: true });
    checks.replaceChildren(...state.check.sentences.map((words) => el("li", { class: "alert" }, words)),
      ...(state.check.good ? [el("li", {}, "No circle, nothing leads nowhere, and every path is cut.")] : []));
    toolbar();
    view.tidy();
    if (!panel.contains(document.activeElement) || !dirty()) showPanel();
  }
  const empty = () => el("p", { class: "empty" }, el("strong", {}, "Nothing led to the impact yet. "), editable ? "Add a factor, or take one that the findings suggest." : "");
  function box(one, openNodes, near) {
    const { x, y } = place(one);
    const left = x - BOX.width / 2;
    const chosen = selected.kind === "node" && selected.id === one.id;
    const first = !selected.kind && one === state.nodes[0];
    const words = ["node", one.kind === "impact" ? "impact" : "", openNodes.has(one.id) ? "open" : "", chosen ? "chosen" : "",
      marked.has(one.id) ? "marked" : "", connecting === one.id ? "connecting" : "", state.check.orphans.includes(one.id) ? "orphan" : "",
      near && !near.has(one.id) ? "dim" : "", view.matches(one.id) ? "found" : "", state.check.cut_suggestion.includes(one.id) ? "cut-here" : ""];
    const told = [`${one.kind_label}${one.layer ? `, ${one.layer}` : ""}: ${one.text}`, one.cut_by.length ? `cut by ${one.cut_by.join(", ")}` : openNodes.has(one.id) ? "on a path that nothing cuts" : "", state.check.cut_suggestion.includes(one.id) ? "one of the fewest cuts" : "", marked.has(one.id) ? "marked" : ""];
    const group = svg("g", { class: words.filter(Boolean).join(" "), tabindex: chosen || first ? "0" : "-1", role: "button", id: `node-${one.id}`, "aria-label": told.filter(Boolean).join("; "), "aria-pressed": String(chosen), "data-node": one.id });
    group.append(svg("title", {}, one.text), svg("rect", { x: left, y, width: BOX.width, height: BOX.height }),
      svg("rect", { x: left - 5, y: y - 5, width: BOX.width + 10, height: BOX.height + 10, class: "ring" }));
    const type = view.type(BOX.width, BOX.height);
    const small = view.far();
    if (!small) {
      if (one.layer) group.append(svg("text", { x: left + 8, y: y + 16, class: `glyph glyph-${one.layer}` }, glyphs.get(one.layer)));
      group.append(svg("text", { x: left + (one.layer ? 24 : 8), y: y + 16, class: "kind" }, one.kind_label));
      if (one.cut_by.length) group.append(svg("text", { x: left + BOX.width - 8, y: y + 16, class: "cut", "text-anchor": "end" }, one.cut_by[0].startsWith("risk accepted") ? "risk accepted" : `cut: ${one.cut_by.join(", ")}`.slice(0, 16)));
      else if (state.check.cut_suggestion.includes(one.id)) group.append(svg("text", { x: left + BOX.width - 8, y: y + 16, class: "cut-hint", "text-anchor": "end" }, "cut here"));
    }
    const mark = small && one.layer ? `${glyphs.get(one.layer)} ` : small && one.cut_by.length ? "✂ " : "";
    lines(`${mark}${one.text}`, type.wide, type.most).forEach((line, at) => {
      const words = svg("text", { x: left + (small ? 5 : 8), y: y + type.top + type.step * at, class: "words" });
      words.style.fontSize = `${type.size}px`;
      if (mark && !at && line.startsWith(mark.trim())) {
        const glyph = svg("tspan", { class: one.layer ? `glyph-${one.layer}` : "" }, mark.trim());
        words.append(glyph, line.slice(mark.trim().length));
      } else words.textContent = line;
      group.append(words);
    });
    if (small && one.cut_by.length) group.append(svg("path", { class: "cut-bar", d: `M${left} ${y + BOX.height}h${BOX.width}` }));
    return group;
  }

  // ---- panel -------------------------------------------------------------------------------------------------
  const dirty = () => [...panel.querySelectorAll("input:not([type=hidden]), textarea")].some((one) => one.value !== one.defaultValue);
  const options = (id, value, none = "") => {
    const list = el("select", {});
    if (none) list.append(el("option", { value: "" }, none));
    list.append(document.getElementById(id).content.cloneNode(true));
    list.value = value;
    return list;
  };
  const field = (label, control, name) => {
    control.id = `graph-${name}`;
    control.name = name;
    return el("div", { class: "field" }, el("label", { for: control.id }, label), control);
  };
  const button = (label, act, attributes = {}) => el("button", { type: "button", on: { click: act }, ...attributes }, label);
  const values = (form) => Object.fromEntries(new FormData(form));
  const form = (act, ...children) => el("form", { class: "stack-small", on: { submit: (event) => { event.preventDefault(); act(event.target); } } }, ...children);
  function showPanel() {
    if (marked.size) panel.replaceChildren(...regroupPanel());
    else if (selected.kind === "node") panel.replaceChildren(...nodePanel(node(selected.id)));
    else if (selected.kind === "edge") panel.replaceChildren(...edgePanel(edge(selected.id)));
    else panel.replaceChildren(...startPanel());
  }
  function nodePanel(one) {
    const parts = [el("h3", {}, one.kind === "impact" ? "The impact" : one.kind_label)];
    if (!editable) return [...parts, el("p", { class: "wrap" }, one.text), ...(one.cut_by.length ? [el("p", { class: "small" }, `Cut: ${one.cut_by.join(", ")}`)] : [])];
    const text = el("textarea", { rows: 3, maxlength: 300, required: true });
    text.defaultValue = one.text;
    const inputs = [field("What contributed", text, "text")];
    if (one.kind !== "impact") inputs.push(field("Kind", options("graph-kinds", one.kind), "kind"), field("Layer", options("graph-layers", one.layer), "layer"), field("Change", options("graph-changes", one.change, "none"), "change"));
    parts.push(form((made) => step("update", { id: one.id, revision: one.revision, ...values(made) }, () => focusNode(one.id)), ...inputs, el("div", { class: "form-foot" }, el("button", {}, "Save"))));
    if (one.kind !== "impact") {
      const open = state.check.uncut_paths.some((way) => way.includes(one.id));
      const links = el("p", { class: "cluster small" }, el("a", { href: `${root.dataset.action}?cuts=${one.id}`, ...(open ? { class: "strong" } : {}) }, "Add an action that cuts it"));
      parts.push(links, el("p", { class: "cluster small" }, button("Connect to…", () => startConnect(one.id)), button("Take it out", () => remove(), { class: "danger" })));
      const out = state.edges.filter((each) => each.cause === one.id);
      if (out.length) parts.push(el("p", { class: "small quiet" }, "Led to"), el("ul", { class: "rows small" }, ...out.map((each) => el("li", {}, button(node(each.effect).text.slice(0, 60), () => select("edge", each.id, true), { class: "link" }), each.claim ? ` ${each.claim}` : " no claim yet"))));
    }
    parts.push(el("p", { class: "small" }, button("Add what led to this", () => addPanel(one.id))));
    return parts;
  }
  function edgePanel(one) {
    const cause = node(one.cause), effect = node(one.effect);
    const parts = [el("h3", {}, "Led to"), el("p", { class: "small wrap" }, `“${cause.text}” → “${effect.text}”`)];
    if (!editable) return [...parts, el("p", { class: "small" }, one.claim)];
    const claim = el("textarea", { rows: 2, maxlength: 300 });
    claim.defaultValue = one.claim;
    parts.push(form((made) => step("claim", { id: one.id, ...values(made) }), field("How it is known", claim, "claim"), el("div", { class: "form-foot" }, el("button", {}, "Save"))),
      el("p", { class: "small" }, el("a", { href: `${root.dataset.action}?cuts=${one.cause}&edge=${one.id}` }, "Add an action here")),
      el("p", { class: "small" }, button("Disconnect", () => remove(), { class: "danger" })));
    return parts;
  }
  function regroupPanel() {
    return [el("h3", {}, `${marked.size} marked`),
      form((made) => { const ids = [...marked]; step("regroup", { id: ids, ...values(made) }).then((ok) => { if (ok) { marked.clear(); draw(); } }); },
        field("Move to the layer", options("graph-layers", "", "as it is"), "layer"), field("Make them", options("graph-kinds", "", "as they are"), "kind"), el("div", { class: "form-foot" }, el("button", {}, "Regroup"), button("Unmark all", () => { marked.clear(); draw(); })))];
  }
  function startPanel() {
    const parts = [];
    if (editable) parts.push(el("p", { class: "small quiet" }, "Choose a factor, or drag from one to what it led to."));
    if (editable && state.suggestions.length) {
      parts.push(el("h3", {}, "The findings suggest"), el("ul", { class: "rows small" }, ...state.suggestions.map((one) => el("li", {},
        el("p", { class: "wrap" }, one.layer ? `${glyphs.get(one.layer)} ` : "", one.text, " ", el("span", { class: "quiet" }, `${one.kind.replaceAll("_", " ")}, ${one.why}`)),
        button("Add it", () => step("adopt", { key: one.key }))))));
    }
    return parts;
  }
  function addPanel(leadsTo) {
    if (!editable) return;
    const target = node(leadsTo) || state.nodes.find((one) => one.kind === "impact");
    const text = el("textarea", { rows: 3, maxlength: 300, required: true });
    const layer = options("graph-layers", target && target.layer ? target.layer : "retrieval");
    const made = form((filled) => step("add", { leads_to: target ? target.id : "", ...values(filled) }),
      el("h3", {}, target ? `What led to “${target.text.slice(0, 50)}”?` : "What contributed?"),
      field("A condition or an event, never a person", text, "text"), field("Kind", options("graph-kinds", "trigger"), "kind"), field("Layer", layer, "layer"), field("Change", options("graph-changes", "", "none"), "change"),
      el("div", { class: "form-foot" }, el("button", { class: "primary" }, "Add it"), button("Leave", () => { text.value = ""; showPanel(); focusNode(leadsTo); })));
    panel.replaceChildren(made);
    text.focus();
  }
  function toolbar() {
    tools.hidden = false;
    const able = editable ? [
      button("Add a factor", () => addPanel(selected.kind === "node" ? selected.id : 0), { id: "graph-tool-add" }),
      button("Undo", () => step("undo"), { disabled: !state.may_undo, id: "graph-tool-undo" }),
      button("Redo", () => step("redo"), { disabled: !state.may_redo, id: "graph-tool-redo" })] : [];
    const focused = tools.contains(document.activeElement) ? document.activeElement.id : "";
    tools.replaceChildren(...able, button("Fit", view.fit, { id: "graph-tool-fit" }), button("Larger", view.larger, { id: "graph-tool-in" }), button("Smaller", view.smaller, { id: "graph-tool-out" }));
    if (focused && document.getElementById(focused)) document.getElementById(focused).focus();
  }

  // ---- choosing, connecting, removing ------------------------------------------------------------------------
  const focusNode = (id) => { const one = document.getElementById(`node-${id}`); if (one) { one.focus(); one.scrollIntoView({ block: "nearest", inline: "nearest" }); } };
  function select(kind, id, focus = false) {
    if (connecting && kind === "node") { finishConnect(id); return; }
    selected = { kind, id };
    draw();
    if (focus) { const one = document.getElementById(`${kind}-${id}`); if (one) { one.focus(); one.scrollIntoView({ block: "nearest", inline: "nearest" }); } }
  }
  function startConnect(id) {
    if (!editable || node(id).kind === "impact") return;
    connecting = id;
    draw();
    focusNode(id);
    say("Choose what it led to: click it, or go there with the arrow keys and press Enter. Esc leaves it.");
  }
  function finishConnect(id) {
    const cause = connecting;
    connecting = 0;
    if (cause === id) { draw(); say(""); return; }
    step("connect", { cause, effect: id });
  }
  function remove() {
    if (!editable) return;
    if (selected.kind === "node") step("remove", { id: selected.id }, () => { draw(); const first = canvas.querySelector("[data-node]"); if (first) first.focus(); });
    if (selected.kind === "edge") step("disconnect", { id: selected.id });
  }
  function neighbour(from, key) {
    const here = place(from);
    let best = null, least = Infinity;
    for (const one of state.nodes) {
      if (one === from) continue;
      const at = place(one), dx = at.x - here.x, dy = at.y - here.y;
      const [along, aside] = { ArrowUp: [-dy, dx], ArrowDown: [dy, dx], ArrowLeft: [-dx, dy], ArrowRight: [dx, dy] }[key];
      if (along <= 1) continue;
      const far = along + 2.5 * Math.abs(aside);
      if (far < least) { least = far; best = one; }
    }
    return best;
  }

  // ---- mouse -------------------------------------------------------------------------------------------------
  let drag = null;
  canvas.addEventListener("pointerdown", (event) => {
    const group = event.target.closest("[data-node]");
    if (group && editable && event.button === 0 && event.pointerType === "mouse") drag = { id: Number(group.dataset.node), x: event.clientX, y: event.clientY, line: null };
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!drag || Math.hypot(event.clientX - drag.x, event.clientY - drag.y) < 6) return;
    const picture = canvas.querySelector("svg");
    const frame = picture.getBoundingClientRect();
    if (!drag.line) { drag.line = svg("line", { class: "drag" }); picture.append(drag.line); }
    const from = place(node(drag.id));
    const points = { x1: from.x, y1: from.y + BOX.height / 2, x2: (event.clientX - frame.left) / view.scale(), y2: (event.clientY - frame.top) / view.scale() };
    for (const [key, value] of Object.entries(points)) drag.line.setAttribute(key, value);
  });
  window.addEventListener("pointerup", (event) => {
    if (!drag) return;
    const { id, line } = drag;
    drag = null;
    if (!line) return;
    line.remove();
    const target = document.elementFromPoint(event.clientX, event.clientY);
    const group = target && target.closest("[data-node]");
    suppress = true;
    setTimeout(() => { suppress = false; }, 0);
    if (group && Number(group.dataset.node) !== id) step("connect", { cause: id, effect: Number(group.dataset.node) });
  });
  let suppress = false;
  canvas.addEventListener("click", (event) => {
    if (suppress) return;
    const one = event.target.closest("[data-node]"), line = event.target.closest("[data-edge]");
    if (one && event.shiftKey && editable) toggleMark(Number(one.dataset.node));
    else if (one) select("node", Number(one.dataset.node), true);
    else if (line) select("edge", Number(line.dataset.edge), true);
    else { connecting = 0; selected = { kind: "", id: 0 }; draw(); }
  });
  canvas.addEventListener("dblclick", (event) => { if (event.target.closest("[data-node]")) editWords(); });
  const editWords = () => { const box = panel.querySelector("textarea"); if (box) { box.focus(); box.select(); } };
  function toggleMark(id) {
    if (node(id).kind === "impact") return;
    if (marked.has(id)) marked.delete(id); else marked.add(id);
    draw();
    focusNode(id);
    say(`${marked.size} marked.`);
  }

  // ---- keyboard ----------------------------------------------------------------------------------------------
  root.addEventListener("keydown", (event) => {
    const writing = event.target.closest("input, textarea, select");
    if (event.key === "Escape") {
      if (connecting) { connecting = 0; draw(); say(""); } else if (writing) { panel.querySelectorAll("textarea").forEach((one) => { one.value = one.defaultValue; }); showPanel(); focusNode(selected.id); }
      return;
    }
    if (writing) {
      if (event.key === "Enter" && event.target.matches("textarea") && !event.shiftKey) { event.preventDefault(); event.target.form.requestSubmit(); }
      return;
    }
    if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "z" && editable) {
      event.preventDefault();
      step(event.shiftKey ? "redo" : "undo");
      return;
    }
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const group = event.target.closest("[data-node]"), line = event.target.closest("[data-edge]");
    if (!group && !line) return;
    const here = group ? node(Number(group.dataset.node)) : null;
    const used = () => { event.preventDefault(); event.stopPropagation(); };
    if (here && event.key.startsWith("Arrow")) {
      used();
      const next = neighbour(here, event.key);
      if (!next) return;
      if (connecting) { focusNode(next.id); return; }
      select("node", next.id, true);
    } else if (event.key === "Enter" || event.key === " ") {
      used();
      if (connecting && here) finishConnect(here.id);
      else if (here) { if (selected.id !== here.id || selected.kind !== "node") select("node", here.id, true); editWords(); } else editWords();
    } else if (editable && (event.key === "Delete" || event.key === "Backspace")) {
      used();
      if (here) selected = { kind: "node", id: here.id };
      remove();
    } else if (editable && here && event.key === "n") { used(); selected = { kind: "node", id: here.id }; addPanel(here.id); }
    else if (editable && here && event.key === "c") { used(); selected = { kind: "node", id: here.id }; startConnect(here.id); }
    else if (editable && here && event.key === "x") { used(); toggleMark(here.id); }
    else if (editable && event.key === "a") {
      const id = here ? here.id : edge(Number(line.dataset.edge)).cause;
      if (node(id).kind !== "impact") { used(); location.assign(`${root.dataset.action}?cuts=${id}`); }
    }
  });

  // ---- others' edits -----------------------------------------------------------------------------------------
  // A live page puts a new element in the place of the old one; what this page drew itself is not news.
  let seen = document.getElementById("graph-data");
  new MutationObserver(() => {
    const data = document.getElementById("graph-data");
    if (!data || data === seen) return;
    seen = data;
    if (view.folds()) { view.fold(); return; }
    take(JSON.parse(data.textContent));
    draw();
  }).observe(holder.parentNode, { childList: true, subtree: true });

  const view = window.graphView(root, canvas, {
    draw, take, say,
    nodes: () => state.nodes,
    folded: () => state.total - state.nodes.length,
    chosen: () => (selected.kind === "node" ? selected.id : 0),
    show: (id) => { selected = { kind: "node", id }; draw(); },
    focus: () => focusNode(selected.kind === "node" ? selected.id : state.nodes.length ? state.nodes[0].id : 0),
    busy: () => connecting > 0,
    size: () => ({ width: Math.max(state.width, 1) * STEP.x + 32, height: Math.max(state.rows, 1) * STEP.y }),
  });
  measure();
  view.begin();
})();
