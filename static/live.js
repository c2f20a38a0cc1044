// Live pages: others' changes on screen, texts saved while they are typed, nothing lost with the connection.
"use strict";
(() => {
  const root = document.querySelector("[data-live-root]");
  if (!root) return;
  const urls = root.dataset;
  const me = Number(urls.person);
  const tab = sessionStorage.getItem("tab") || `${Date.now().toString(36)}${Math.random().toString(36).slice(2, 10)}`;
  sessionStorage.setItem("tab", tab);
  // The cookie's token is the newest: a sign-in in another tab makes the page's own one stale.
  const csrf = () => (document.cookie.match(/(?:^|; )csrftoken=([^;]+)/) || [])[1]
    || JSON.parse(document.body.getAttribute("hx-headers"))["x-csrftoken"];
  const post = (url, fields, options = {}) => fetch(url, {
    method: "POST", headers: { "x-csrftoken": csrf() }, body: new URLSearchParams(fields), ...options,
  });
  let lastChange = 0;

  // ---- texts -------------------------------------------------------------------------------------------------
  const memory = new Map(); // key → {base, revision, pending, timer, saving, again, wait}
  const boxes = () => [...document.querySelectorAll("textarea[data-shared]")];
  const boxOf = (key) => boxes().find((box) => box.dataset.shared === key);
  const draftName = (key) => `draft ${urls.number} ${me} ${key}`;
  const entry = (box) => {
    const key = box.dataset.shared;
    if (!memory.has(key)) memory.set(key, { base: box.defaultValue, revision: 0, pending: null, wait: 1000 });
    return memory.get(key);
  };
  const lineOf = (box, name) => {
    let line = document.getElementById(`${box.id}-${name}`);
    if (!line) {
      line = document.createElement("p");
      line.id = `${box.id}-${name}`;
      line.className = `tiny text-${name}`;
      line.setAttribute("role", "status");
      box.after(line);
    }
    return line;
  };
  const setBase = (box, state, text) => {
    state.base = text;
    const hidden = box.form && box.form.elements.namedItem(`${box.name}_base`);
    if (hidden) hidden.value = text;
  };
  const say = (box, words, alert = false) => {
    const line = lineOf(box, "state");
    line.textContent = words;
    line.classList.toggle("alert", alert);
  };
  const put = (box, text) => {
    if (box.value === text) return;
    const [start, end, old] = [box.selectionStart, box.selectionEnd, box.value];
    let same = 0;
    while (same < Math.min(old.length, text.length) && old[same] === text[same]) same += 1;
    const move = (at) => (at <= same ? at : Math.max(same, at + text.length - old.length));
    box.value = text;
    if (document.activeElement === box) box.setSelectionRange(move(start), move(end));
  };
  const keepDraft = (box, state) => {
    try {
      if (box.value === state.base && !state.pending) localStorage.removeItem(draftName(box.dataset.shared));
      else localStorage.setItem(draftName(box.dataset.shared), JSON.stringify({ base: state.base, text: box.value, pending: state.pending }));
    } catch { /* private windows have no storage; the page still holds the text */ }
  };
  const later = (box, wait) => {
    const state = entry(box);
    clearTimeout(state.timer);
    state.timer = setTimeout(() => save(box.dataset.shared), wait);
  };
  // Long texts travel as what changed in them: the first `head` and the last `tail` characters stay, `put` is between.
  const patched = (before, patch) => before.slice(0, patch.head) + patch.put + before.slice(before.length - patch.tail);
  const patchOf = (before, after) => {
    if (after.length < 1000 || /[\ud800-\udfff]/.test(before + after)) return { text: after };
    const most = Math.min(before.length, after.length);
    let head = 0;
    while (head < most && before[head] === after[head]) head += 1;
    let tail = 0;
    while (tail < most - head && before[before.length - 1 - tail] === after[after.length - 1 - tail]) tail += 1;
    return { head, tail, put: after.slice(head, after.length - tail) };
  };
  async function save(key) {
    const box = boxOf(key);
    if (!box) return;
    const state = entry(box);
    if (state.saving) { state.again = true; return; }
    if (!state.pending) {
      if (box.value === state.base) { keepDraft(box, state); return; }
      state.pending = { save: `${tab}.${Date.now().toString(36)}`, base: state.base, text: box.value };
    }
    // Until it is answered exactly this is sent: the server counts it once, however often it comes.
    const sent = state.pending;
    state.saving = true;
    keepDraft(box, state);
    say(box, "Saving…");
    try {
      const answer = await post(urls.text, { key, save: sent.save, base: sent.base, ...patchOf(sent.base, sent.text) });
      const isJson = (answer.headers.get("content-type") || "").includes("json");
      if (answer.redirected || answer.status === 403 || (answer.ok && !isJson)) {
        say(box, "Not saved: you are signed out, or may not write here. Sign in in another tab; your text is kept.", true);
        later(box, 15000);
      } else if (answer.status >= 500 || !isJson) {
        throw new Error("The server could not answer.");
      } else {
        const said = await answer.json();
        state.pending = null;
        state.wait = 1000;
        if (answer.ok) {
          if (said.text === undefined) said.text = patched(sent.text, said);
          state.revision = said.revision;
          // What was typed meanwhile was made from what was sent, so that is its base.
          if (box.value !== sent.text) { setBase(box, state, sent.text); state.again = true; } else { put(box, said.text); setBase(box, state, said.text); }
          say(box, `Saved ${said.at ? said.at.slice(11, 16) : ""}`);
        } else if (answer.status === 409) collide(box, state, said);
        else say(box, said.detail, true);
      }
    } catch {
      say(box, "No connection. Your text is kept on this computer and saved when it is back.", true);
      state.wait = Math.min(state.wait * 2, 15000);
      later(box, state.wait);
    } finally {
      state.saving = false;
      keepDraft(box, state);
      if (state.again) { state.again = false; later(box, 300); }
    }
  }
  function collide(box, state, said) {
    say(box, `${said.by || "Somebody"} changed the same words.`, true);
    let both = document.getElementById(`${box.id}-both`);
    if (!both) {
      both = document.createElement("div");
      both.id = `${box.id}-both`;
      both.className = "message error both";
      both.setAttribute("role", "alert");
      box.after(both);
    }
    both.replaceChildren();
    const words = document.createElement("p");
    words.textContent = `${said.by || "Somebody"} changed the same words while you wrote. Theirs:`;
    const theirs = document.createElement("blockquote");
    theirs.textContent = said.text;
    const choices = document.createElement("p");
    choices.className = "cluster";
    const choose = (label, text) => {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = label;
      button.addEventListener("click", () => {
        setBase(box, state, said.text);
        put(box, text());
        both.remove();
        save(box.dataset.shared);
        box.focus();
      });
      choices.append(button);
    };
    choose("Keep theirs", () => said.text);
    choose("Keep mine", () => box.value);
    choose("Keep both", () => `${said.text.trimEnd()}\n\n${box.value}`);
    both.append(words, theirs, choices);
  }
  const mirrors = new Map(); // key → {revision, text}: what the stream told last, whatever was saved here meanwhile
  let missedTimer = 0;
  function heardText(one) {
    const last = mirrors.get(one.key);
    if (last && (last.revision > one.revision || (last.revision === one.revision && one.text === undefined))) return;
    if (one.text === undefined) {
      if (!last || last.revision !== one.from) {
        if (!missedTimer) missedTimer = setTimeout(() => { missedTimer = 0; poll(); }, 300);
        return;
      }
      one.text = patched(last.text, one);
    }
    mirrors.set(one.key, { revision: one.revision, text: one.text });
    theirText(one);
  }
  function theirText(one) {
    const box = boxOf(one.key);
    if (!box) return;
    const state = entry(box);
    if (state.base === one.text || one.revision < state.revision) return;
    if (box.value === state.base && !state.pending) {
      state.revision = one.revision;
      setBase(box, state, one.text);
      put(box, one.text);
      say(box, `${one.by}, ${one.at.slice(11, 16)}`);
    } else {
      later(box, 300); // the server merges mine into theirs, or shows both
    }
  }
  document.addEventListener("input", (event) => {
    const box = event.target.closest("textarea[data-shared]");
    if (!box) return;
    const state = entry(box);
    keepDraft(box, state);
    say(box, "…");
    later(box, document.getElementById(`${box.id}-both`) ? 60000 : 800);
  });
  document.addEventListener("focusout", (event) => {
    const box = event.target.closest && event.target.closest("textarea[data-shared]");
    if (box && box.value !== entry(box).base && !document.getElementById(`${box.id}-both`)) later(box, 0);
  });
  function restoreDrafts() {
    for (const box of boxes()) {
      const state = entry(box);
      let draft = null;
      try { draft = JSON.parse(localStorage.getItem(draftName(box.dataset.shared))); } catch { /* no storage */ }
      if (!draft || (draft.text === box.value && !draft.pending)) { keepDraft(box, state); continue; }
      state.pending = draft.pending;
      setBase(box, state, draft.base);
      put(box, draft.text);
      say(box, "Your text from before the connection was lost.");
      later(box, 50);
    }
  }

  // ---- presence ----------------------------------------------------------------------------------------------
  const field = () => {
    const box = document.activeElement && document.activeElement.closest("textarea[data-shared]");
    return box ? box.dataset.shared : "";
  };
  let told = "";
  const tellHere = (force) => {
    const now = field();
    if (!force && now === told) return;
    told = now;
    post(urls.here, { tab, place: urls.place, field: now }).catch(() => {});
  };
  document.addEventListener("focusin", () => setTimeout(() => tellHere(false), 150));
  document.addEventListener("focusout", () => setTimeout(() => tellHere(false), 400));
  setInterval(() => { if (!document.hidden) tellHere(true); }, 10000);
  window.addEventListener("pagehide", () => post(urls.here, { tab, gone: 1 }, { keepalive: true }).catch(() => {}));
  window.addEventListener("pageshow", () => tellHere(true));

  function showPresent(people) {
    const list = document.getElementById("present");
    if (!list) return;
    list.replaceChildren(...people.map((one) => {
      const item = document.createElement("li");
      item.title = `${one.name}${one.id === me ? " (you)" : ""}${one.place ? `, ${one.place}` : ""}${one.field ? ", writing" : ""}`;
      const short = document.createElement("span");
      short.setAttribute("aria-hidden", "true");
      short.textContent = one.initials;
      const long = document.createElement("span");
      long.className = "visually-hidden";
      long.textContent = item.title;
      item.append(short, long);
      if (one.field) item.classList.add("writing");
      if (one.id === me) item.classList.add("me");
      return item;
    }));
    for (const box of boxes()) {
      const writers = people.filter((one) => one.id !== me && one.field === box.dataset.shared).map((one) => one.name);
      if (writers.length || document.getElementById(`${box.id}-writers`)) lineOf(box, "writers").textContent = writers.length ? `${writers.join(", ")} ${writers.length > 1 ? "are" : "is"} writing here` : "";
      box.classList.toggle("others-write", writers.length > 0);
    }
  }

  // ---- others' changes ---------------------------------------------------------------------------------------
  let refreshTimer = 0;
  let refreshing = false;
  let lastRefresh = 0;
  let stale = false; // a section waits to be redrawn until nobody writes in it
  document.addEventListener("focusout", () => { if (stale) refreshSoon(); });
  function refreshSoon() {
    if (refreshTimer) return;
    const pause = Math.max(150, lastRefresh + 1500 - Date.now()) + Math.random() * 150;
    refreshTimer = setTimeout(refresh, pause);
  }
  // A section as the server drew it: without tokens and running clocks, which differ each time.
  const drawn = (part) => {
    const copy = part.cloneNode(true);
    copy.querySelectorAll("input[name=csrfmiddlewaretoken], [data-clock], [data-ticks]").forEach((one) => one.remove());
    return copy.outerHTML;
  };
  const known = new Map([...document.querySelectorAll("[data-live][id]")].map((part) => [part.id, drawn(part)]));
  const busy = (part) => part.contains(document.activeElement) && document.activeElement.matches("input, textarea, select")
    || [...part.querySelectorAll("textarea[data-shared]")].some((box) => box.value !== entry(box).base)
    || [...part.querySelectorAll("form[data-guard]")].some((form) => [...form.elements].some((e) =>
      e.matches("textarea:not([data-shared]), input:not([type=hidden], [type=radio], [type=checkbox], [type=submit])")
      && e.value !== e.defaultValue));
  async function refresh() {
    refreshTimer = 0;
    if (refreshing) { refreshSoon(); return; }
    refreshing = true;
    stale = false;
    try {
      const answer = await fetch(location.href, { headers: { "x-live-refresh": "1" } });
      if (!answer.ok || answer.redirected) return;
      const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
      for (const part of document.querySelectorAll("[data-live][id]")) {
        const next = fresh.getElementById(part.id);
        if (!next || drawn(next) === known.get(part.id)) continue;
        if (busy(part)) { stale = true; continue; }
        known.set(part.id, drawn(next));
        const open = [...part.querySelectorAll("details[open]")].map((one) => [...part.querySelectorAll("details")].indexOf(one));
        const focused = part.contains(document.activeElement) ? document.activeElement.id || null : null;
        const taken = document.adoptNode(next);
        part.replaceWith(taken);
        open.forEach((at) => { const one = taken.querySelectorAll("details")[at]; if (one) one.open = true; });
        if (focused && document.getElementById(focused)) document.getElementById(focused).focus({ preventScroll: true });
        if (window.htmx) window.htmx.process(taken);
        taken.querySelectorAll("textarea[data-shared]").forEach((box) => memory.delete(box.dataset.shared));
        taken.classList.add("just-changed");
        setTimeout(() => taken.classList.remove("just-changed"), 1600);
      }
    } catch { /* the stream tells when the connection is back */ } finally {
      lastRefresh = Date.now();
      refreshing = false;
    }
  }
  function tell(change) {
    if (change.id <= lastChange) return;
    lastChange = change.id;
    if (change.by_id !== me) {
      const line = document.getElementById("others");
      if (line) line.textContent = `${change.at.slice(11, 16)} ${change.by || "Somebody"} ${change.words} ${change.subject}`.slice(0, 140);
    }
    refreshSoon();
  }
  function everything(state) {
    state.texts.forEach(heardText);
    showPresent(state.present);
    if (lastChange && state.change > lastChange) refreshSoon();
    lastChange = Math.max(lastChange, state.change);
    for (const box of boxes()) if (box.value !== entry(box).base && !document.getElementById(`${box.id}-both`)) later(box, 50);
  }

  // ---- the connection ----------------------------------------------------------------------------------------
  let polling = 0;
  const online = (yes) => {
    document.documentElement.toggleAttribute("data-offline", !yes);
    const line = document.getElementById("connection");
    if (line) line.textContent = yes ? "" : "No connection; what you type is kept.";
  };
  async function poll() {
    try {
      const answer = await fetch(urls.state);
      if (answer.ok) { everything(await answer.json()); online(true); }
    } catch { online(false); }
  }
  function listen() {
    const source = new EventSource(urls.stream);
    const on = (name, act) => source.addEventListener(name, (event) => act(JSON.parse(event.data)));
    source.onopen = () => { clearInterval(polling); polling = 0; online(true); };
    source.onerror = () => {
      if (source.readyState === EventSource.CLOSED) {
        // Refused (too many streams, or signed out): ask now and then, and try the stream again later.
        if (!polling) polling = setInterval(poll, 2000);
        setTimeout(listen, 20000);
      } else online(false);
    };
    on("resync", everything);
    on("text", heardText);
    on("presence", showPresent);
    on("changed", tell);
    on("meeting", refreshSoon);
    on("closed", () => { source.close(); location.reload(); });
    window.addEventListener("pagehide", () => source.close());
  }
  window.addEventListener("online", () => boxes().forEach((box) => later(box, 50)));
  document.body.addEventListener("htmx:afterSwap", () => boxes().forEach((box) => { if (!memory.has(box.dataset.shared)) entry(box); }));

  // ---- clocks ------------------------------------------------------------------------------------------------
  const shown = (seconds) => `${seconds < 0 ? "−" : ""}${Math.floor(Math.abs(seconds) / 60)}:${String(Math.floor(Math.abs(seconds) % 60)).padStart(2, "0")}`;
  setInterval(() => {
    for (const clock of document.querySelectorAll("[data-clock]")) {
      const left = Number(clock.dataset.clock) - (Date.now() - Number(clock.dataset.since || (clock.dataset.since = Date.now()))) / 1000;
      clock.textContent = shown(left);
      clock.classList.toggle("alert", left < 0);
    }
    for (const one of document.querySelectorAll("[data-ticks]")) {
      one.textContent = shown(Number(one.dataset.ticks) + (Date.now() - Number(one.dataset.since || (one.dataset.since = Date.now()))) / 1000);
    }
  }, 1000);

  restoreDrafts();
  listen();
})();
