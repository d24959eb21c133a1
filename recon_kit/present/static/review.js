// The review screen. Records come and go by messages and live only in this page while they are
// shown; nothing is kept in the notebook. All text is set as text, never as markup.

const KEYS = {
  s: "same", n: "not_same", x: "no_counterpart", u: "unsure", z: "undo", j: "next",
  ArrowRight: "next", k: "previous", ArrowLeft: "previous", r: "remember", f: "find", m: "unmask",
  e: "evidence", t: "note", "?": "help",
};
const VERDICTS = ["same", "not_same", "no_counterpart", "unsure"];
const ACTIONS = [
  ["same", "s", "Same"], ["not_same", "n", "Not the same"],
  ["no_counterpart", "x", "No counterpart: close it"], ["unsure", "u", "Unsure"],
];
const MOVES = [
  ["previous", "k", "Previous"], ["next", "j", "Next"], ["undo", "z", "Undo"],
  ["remember", "r", "Remember"], ["find", "f", "Find"], ["note", "t", "Note"], ["help", "?", "Keys"],
];
const HELP = [
  ["s", "same: both tell one story"], ["n", "not the same: never join them"],
  ["x", "no counterpart: it has none, is open no more and not asked again; z takes it back"], ["u", "unsure: somebody else decides"],
  ["j or →", "next, without an answer"], ["k or ←", "previous"],
  ["z", "undo the newest decision"], ["1 to 9", "put this candidate beside it"],
  ["r", "propose a rule from the newest decision"], ["f", "find a counterpart by its id"],
  ["t", "write a note that is kept with your answer"], ["m", "show personal fields in full"], ["e", "show or hide the evidence"],
  ["?", "show or hide these keys"], ["Esc", "close this, or leave a field"],
];
const SIGNS = { same: "=", near: "≈", differs: "≠" };
const SILENT_MS = 6000;
let views = 0;

/** An element with attributes, listeners (`on...`) and children; strings become text. */
function h(tag, attributes, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) {
      element.setAttribute(name, String(value));
    }
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

/** Put children in place of what an element holds; there may be gaps among them. */
function fill(element, children) {
  element.replaceChildren(...children.filter((child) => child !== null));
}

function render({ model, el }) {
  const view = (views += 1);
  const open = { evidence: true, help: false, form: null };
  let state = null;
  let pending = null;
  let count = 0;
  let silence = 0;

  const alertLine = h("p", { class: "rkr-alert", role: "alert" });
  const spoken = h("p", { class: "rkr-spoken", role: "status", "aria-live": "polite" });
  const head = h("div", { class: "rkr-head" });
  const bar = h("div", { class: "rkr-actions", role: "group", "aria-label": "Decide" });
  const note = h("span", {});
  const line = h("p", { class: "rkr-note" }, note, h("span", { class: "rkr-hint" },
    "Click here, or press Tab until this box is framed: then the keys work."));
  const body = h("div", { class: "rkr-body" });
  const root = h("div", {
    class: "rkr", role: "region", tabindex: "0", "aria-label": "Review matches",
    "data-lm-suppress-shortcuts": "true", onkeydown: pressed,
  }, head, bar, line, alertLine, spoken, body);
  const buttons = new Map();
  bar.append(group(ACTIONS, "rkr-verdicts"), group(MOVES, "rkr-moves"));
  el.append(root);

  function group(actions, className) {
    return h("div", { class: className }, actions.map(([name, key, label]) => {
      const button = h("button", {
        type: "button", class: "rkr-button", "aria-keyshortcuts": key, "data-action": name,
        onclick: () => act(name),
      }, h("kbd", { "aria-hidden": "true" }, key), h("span", {}, label));
      buttons.set(name, button);
      return button;
    }));
  }

  // --- talking to the kernel -------------------------------------------------------------------
  function ask(type, details) {
    if (pending) return;
    count += 1;
    pending = { n: `${view}.${count}`, type, at: performance.now() };
    const question = state && state.question && type !== "hello" ? state.question.id : null;
    root.setAttribute("aria-busy", "true");
    silence = setTimeout(() => say(
      "The kernel has not answered yet. If it is busy, this goes on by itself; if it was " +
      "restarted, run this cell again. Whatever was shown as saved is kept."), SILENT_MS);
    model.send({ type, n: pending.n, question, ...details });
  }

  function heard(message) {
    if (message.type !== "state" && message.type !== "failed") return;
    const mine = pending && message.reply_to === pending.n;
    const asked = mine ? pending : null;
    if (mine) {
      clearTimeout(silence);
      pending = null;
      root.removeAttribute("aria-busy");
    }
    if (message.type === "failed") {
      if (mine) say(message.message);
      return;
    }
    const moved = !state || !state.question || !message.question ||
      state.question.id !== message.question.id;
    state = message;
    if (asked || moved) open.form = null;
    say("");
    draw();
    if (asked) {
      // For whoever measures: how long the answer to a key took, and to which one it was.
      root.dataset.answered = asked.n;
      root.dataset.answeredTo = asked.type;
      root.dataset.answeredMs = (performance.now() - asked.at).toFixed(1);
    }
  }

  function say(text) {
    alertLine.textContent = text;
  }

  // --- keys ------------------------------------------------------------------------------------
  function pressed(event) {
    const where = event.target;
    const typing = where.matches("input:not([type=radio]), select, textarea");
    if (event.key !== "Tab") event.stopPropagation();
    if (event.key === "Escape") {
      if (open.form || open.help) { event.preventDefault(); close(); } else if (typing) root.focus();
      return;
    }
    if (typing || event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
    if (where.matches("input[type=radio]") && event.key.startsWith("Arrow")) return;
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    if (/^[1-9]$/.test(key) && state && state.question) {
      event.preventDefault();
      choose(Number(key) - 1);
    } else if (KEYS[key]) {
      event.preventDefault();
      act(KEYS[key]);
    }
  }

  function allowed(name) {
    if (name === "undo" || name === "previous" || name === "help") return true;
    if (name === "remember") return Boolean(state && state.remembers);
    if (!state || !state.question) return false;
    if (name === "note") return true;
    if (name === "unmask") return state.question.personal && !state.question.unmasked;
    if (name === "evidence") return Boolean(state.question.evidence);
    return state.question.actions.includes(name);
  }

  function act(name) {
    if (pending) return;
    if (!allowed(name)) {
      if (!state || !state.question || name === "remember") return;
      const owed = state.question.candidates.length && ["next", "not_same"].includes(name);
      say(owed ? "This question cannot be passed over: choose the counterpart, or say that there is none or that you are unsure."
        : "That is not possible for this question.");
      return;
    }
    say("");
    if (VERDICTS.includes(name)) {
      const chosen = state.question.candidates.find((c) => c.chosen);
      ask("decide", { verdict: name, candidate: chosen ? chosen.key : null });
    } else if (name === "help") {
      open.help = !open.help;
      draw();
    } else if (name === "evidence") {
      open.evidence = !open.evidence;
      draw();
    } else if (name === "unmask" || name === "find" || name === "note") {
      open.form = open.form === name ? null : name;
      draw();
      const field = body.querySelector(".rkr-form input");
      if (field) field.focus();
    } else ask(name, {});
  }

  function choose(place) {
    const candidate = state.question.candidates[place];
    if (candidate && !candidate.chosen) ask("choose", { candidate: candidate.key });
  }

  function close() {
    open.form = null;
    open.help = false;
    draw();
    root.focus();
  }

  // --- drawing ---------------------------------------------------------------------------------
  function draw() {
    const active = root.getRootNode().activeElement;
    const kept = active && root.contains(active) ? active.dataset.focus || "root" : null;
    fill(head, drawHead());
    for (const [name, button] of buttons) button.setAttribute("aria-disabled", String(!allowed(name)));
    buttons.get("help").setAttribute("aria-expanded", String(open.help));
    bar.hidden = !state;
    buttons.get("remember").hidden = !state || !state.remembers;
    note.textContent = state ? state.note : "";
    fill(body, state && state.question ? drawQuestion() : drawNothing());
    spoken.textContent = state ? [state.note, state.question ? state.question.ask : "Nothing waits.",
      `${state.progress.left} left.`].filter(Boolean).join(" ") : "";
    if (kept && !root.contains(root.getRootNode().activeElement)) {
      const again = kept === "root" ? null : root.querySelector(`[data-focus="${kept}"]`);
      (again || root).focus({ preventScroll: true });
    }
  }

  function drawHead() {
    if (!state) return [h("p", { class: "rkr-soft" }, "Asking the kernel …")];
    const { done, left, minutes, pace_seconds: pace, tally } = state.progress;
    const time = pace ? `, about ${minutes} min at your ${pace} s each` : "";
    return [
      h("div", { class: "rkr-progress" },
        h("strong", {}, `${left} left`), h("span", {}, `${done} done${time}`),
        h("progress", { max: Math.max(done + left, 1), value: done,
          "aria-label": `${done} of ${done + left} done` })),
      h("p", { class: "rkr-tally" }, tally.map(([name, number]) =>
        h("span", {}, `${name} `, h("b", {}, String(number))))),
      h("div", { class: "rkr-filters", role: "group", "aria-label": "Queue" },
        state.filters.map(drawFilter)),
    ];
  }

  function drawFilter(filter) {
    const select = h("select", {
      "data-focus": `filter-${filter.name}`,
      onchange: (event) => ask("filter", { name: filter.name, value: event.target.value }),
    }, filter.options.map(([value, label]) =>
      h("option", { value, selected: value === filter.value }, label)));
    return h("label", {}, h("span", {}, filter.label), select);
  }

  function drawNothing() {
    if (!state) return [];
    const { done } = state.progress;
    const filtered = state.filters.some((f) => f.name !== "order" && f.value);
    return [drawHelp(), h("div", { class: "rkr-empty" },
      h("p", { class: "rkr-ask" }, filtered ? "Nothing waits behind these filters." : "Nothing waits."),
      h("p", { class: "rkr-soft" }, done
        ? "Your decisions are in the ledger. Reconcile again (bench.reconcile()) to apply them."
        : "Every question has been answered, or no run has left any."))];
  }

  function drawQuestion() {
    const q = state.question;
    return [
      drawHelp(), drawForm(q),
      h("div", { class: "rkr-question" },
        h("div", {},
          h("p", { class: "rkr-ask" }, q.ask),
          h("p", { class: "rkr-soft" }, q.why)),
        q.at_risk ? h("p", { class: "rkr-risk" }, h("span", {}, "At risk"), h("b", {}, q.at_risk)) : null),
      q.said ? h("p", { class: "rkr-said" }, q.said) : null,
      state.remark ? h("p", { class: "rkr-said" }, `Your note: ${state.remark}`) : null,
      drawRecords(q), drawMembers(q), drawCandidates(q), drawEvidence(q),
    ];
  }

  function drawHelp() {
    if (!open.help) return null;
    const told = HELP.filter(([key]) => key !== "r" || (state && state.remembers));
    return h("section", { class: "rkr-help", "aria-label": "Keys" },
      h("dl", {}, told.map(([key, text]) => h("div", {}, h("dt", {}, h("kbd", {}, key)), h("dd", {}, text)))));
  }

  function drawForm(q) {
    if (!open.form) return null;
    const unmask = open.form === "unmask";
    const [label, press] = {
      unmask: ["Why do you need to see the personal fields? The reason is kept in the ledger.", "Show them"],
      find: ["Id of the counterpart (as its file prints it)", "Find"],
      note: ["A note that is kept with your answer, for whoever reads it later", "Keep it"],
    }[open.form];
    const field = h("input", { type: "text", "data-focus": "form", autocomplete: "off", maxlength: "200" });
    if (open.form === "note") field.value = state.remark;
    const send = (event) => {
      event.preventDefault();
      ask(open.form, unmask ? { reason: field.value } : { text: field.value });
    };
    return h("form", { class: "rkr-form", onsubmit: send },
      h("label", {}, h("span", {}, label), field),
      h("button", { type: "submit", class: "rkr-button" }, press),
      h("button", { type: "button", class: "rkr-button", onclick: close }, "Cancel"));
  }

  function pieces(list) {
    return list.map(([text, differs]) => (differs ? h("mark", {}, text) : text));
  }

  function column(record, fallback) {
    if (!record) return h("th", { scope: "col" }, fallback);
    return h("th", { scope: "col" }, h("span", { class: "rkr-title" }, record.title),
      h("span", { class: "rkr-soft" }, record.source));
  }

  function drawRecords(q) {
    const personal = q.rows.some((row) => row.personal);
    const table = h("table", { class: "rkr-records" },
      h("caption", { class: "rkr-spoken" }, "Both records, field by field"),
      h("thead", {}, h("tr", {}, h("th", { scope: "col" }, h("span", { class: "rkr-spoken" }, "Field")),
        column(q.left, ""), column(q.right, "no candidate"), h("th", { scope: "col" }, "Difference"))),
      h("tbody", {}, q.rows.filter((row) => row.outcome !== "one_sided").map((row) => h("tr", { class: `rkr-${row.outcome}` },
        h("th", { scope: "row" }, row.label),
        h("td", {}, pieces(row.left)), h("td", {}, pieces(row.right)),
        h("td", { class: "rkr-words" }, row.words ? [h("span", { "aria-hidden": "true", class: "rkr-sign" },
          SIGNS[row.outcome] || ""), row.words] : null))), drawOneSided(q), drawFiles(q)));
    const button = h("button", { type: "button", class: "rkr-button rkr-quiet",
      "aria-keyshortcuts": "m", "data-focus": "unmask", onclick: () => act("unmask") },
      h("kbd", { "aria-hidden": "true" }, "m"), h("span", {}, "Show personal fields in full"));
    const said = h("span", { class: "rkr-soft" }, q.unmasked ? "Personal fields are shown in full."
      : "Personal fields are masked; they are compared in full.");
    return h("div", { class: "rkr-scroll" }, table,
      personal ? h("p", { class: "rkr-masked" }, said, q.unmasked ? null : button) : null);
  }

  /** What only one of the two tells, side by side in one row: it cannot be compared. */
  function drawOneSided(q) {
    const rows = q.rows.filter((row) => row.outcome === "one_sided");
    if (!rows.length) return null;
    const list = (side) => h("td", {}, rows.filter((row) => row.words === `only ${side}`).map((row) =>
      h("span", { class: "rkr-lone" }, h("span", { class: "rkr-soft" }, `${row.label} `), pieces(row[side]))));
    return h("tr", { class: "rkr-one-sided" }, h("th", { scope: "row" }, "Only here"), list("left"), list("right"),
      h("td", {}));
  }

  function drawFiles(q) {
    const files = [q.left.file, q.right ? q.right.file : ""];
    if (!files[0] && !files[1]) return null;
    return h("tr", { class: "rkr-files" }, h("th", { scope: "row" }, "Told in"),
      files.map((file) => h("td", { class: "rkr-soft" }, file)), h("td", {}));
  }

  function drawMembers(q) {
    if (!q.members) return null;
    const m = q.members;
    return h("div", { class: "rkr-scroll" }, h("table", { class: "rkr-members" },
      h("caption", {}, m.caption),
      h("thead", { class: "rkr-spoken" }, h("tr", {}, ["Member", "Date", "Amount"].map((t) => h("th", { scope: "col" }, t)))),
      h("tbody", {}, m.rows.map(([name, date, amount]) => h("tr", {},
        h("th", { scope: "row" }, name), h("td", {}, date), h("td", { class: "rkr-number" }, amount)))),
      h("tfoot", {}, m.totals.map(([name, words, amount]) => h("tr", {},
        h("th", { scope: "row" }, name), h("td", {}, words), h("td", { class: "rkr-number" }, amount))))));
  }

  function drawCandidates(q) {
    if (q.candidates.length < 2) return null;
    const name = `rkr-candidates-${view}`;
    return h("fieldset", { class: "rkr-candidates" },
      h("legend", {}, `${q.candidates.length} candidates`),
      q.candidates.map((c, place) => h("label", {},
        h("input", { type: "radio", name, checked: c.chosen, "data-focus": `candidate-${place}`,
          onchange: () => choose(place) }),
        place < 9 ? h("kbd", { "aria-hidden": "true" }, String(place + 1)) : h("span", {}),
        h("span", { class: "rkr-title" }, c.title),
        h("span", {}, [c.facts, c.note].filter(Boolean).join(" · ")),
        h("span", { class: "rkr-score" }, [c.score, c.said].filter(Boolean).join(", ")))));
  }

  function drawEvidence(q) {
    if (!q.evidence) return q.keys ? h("p", { class: "rkr-soft" }, `By their keys: ${q.keys}.`) : null;
    const { steps, total, probability, margin } = q.evidence;
    let sum = 0;
    const spans = steps.map((step) => {
      const from = sum;
      sum += step.weight;
      return [from, sum];
    });
    spans.push([0, sum]);
    const ends = spans.flat().concat(0);
    const low = Math.min(...ends);
    const width = Math.max(...ends) - low || 1;
    const bars = spans.map(([a, b], i) => h("span", {
      class: `rkr-bar ${i === steps.length ? "rkr-sum" : b < a ? "rkr-against" : "rkr-for"}`,
      style: `left:${(100 * (Math.min(a, b) - low)) / width}%;width:${(100 * Math.abs(b - a)) / width}%`,
    }));
    const weighed = (label, found, text, i) => h("tr", {}, h("th", { scope: "row" }, label),
      h("td", {}, found), h("td", { class: "rkr-track", "aria-hidden": "true" }, bars[i]),
      h("td", { class: "rkr-number" }, text));
    const sure = [probability ? `${probability} probable` : null, margin].filter(Boolean).join(", ");
    return h("details", { class: "rkr-evidence", open: open.evidence,
      ontoggle: (event) => { open.evidence = event.target.open; } },
      h("summary", { "data-focus": "evidence" }, "What speaks for it and against it ",
        h("span", { class: "rkr-soft" }, sure)),
      h("table", {}, h("caption", { class: "rkr-spoken" }, "Bits: each doubles the odds that the two tell one story"),
        h("tbody", {}, steps.map((step, i) => weighed(step.label, step.found, step.text, i)),
          weighed("all together", "bits: each doubles the odds; plus is commoner among counterparts than among strangers", total, steps.length))));
  }

  model.on("msg:custom", heard);
  draw();
  ask("hello", {});
  return () => {
    clearTimeout(silence);
    model.off("msg:custom", heard);
  };
}

export default { render };
