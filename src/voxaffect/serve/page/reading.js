// What is heard at one moment, or in all: the word, the probabilities, the votes.

import { element, percent, reasonWords, toned } from "./dom.js";

export class Reading {
  /** `kicker` says what this is about; `labels` and `colours` are the model's, `members` how many vote. */
  constructor({ kicker, labels, colours, members }) {
    Object.assign(this, { labels, colours, members });
    this.kicker = element("p", { class: "kicker", text: kicker });
    this.word = element("p", { class: "word" });
    this.sub = element("p", { class: "sub" });
    this.rows = new Map(labels.map((label) => [label, this.#row(label)]));
    const bars = element("dl", { class: "bars" }, ...[...this.rows.values()].map((row) => row.element));
    this.element = element(
      "section",
      { class: "panel reading", "aria-label": kicker },
      element("div", {}, this.kicker, this.word, this.sub),
      bars,
    );
    this.silent("no_speech");
  }

  /** Show an answer: something with label, score, probs, votes, agreement, uncertain; without a label, its reason. */
  show(answer) {
    if (answer.label === null) {
      this.silent(answer.reason, answer.probs);
      return;
    }
    this.#tone(this.colours[answer.label]);
    this.word.textContent = answer.uncertain ? `${answer.label}?` : answer.label;
    this.word.classList.remove("soft");
    const parts = [element("span", { class: "num", text: percent(answer.score) })];
    if (answer.uncertain) parts.push(element("span", { class: "pill", text: "uncertain" }));
    parts.push(this.#votes(answer));
    this.sub.replaceChildren(...parts);
    this.#bars(answer.probs, answer.label);
  }

  /** Show that nothing can be said, and why: it is never one of the labels. */
  silent(reason, probs = {}, words = reasonWords(reason)) {
    this.#tone("var(--silent)");
    this.word.textContent = words;
    this.word.classList.add("soft");
    this.sub.replaceChildren();
    this.#bars(probs, null);
  }

  #tone(colour) {
    toned(this.element, colour);
  }

  #row(label) {
    const bar = element("i");
    const value = element("dd", { class: "value" });
    const made = element(
      "div",
      { "data-label": label },
      element("dt", { text: label }),
      element("dd", { class: "bar", "aria-hidden": "true" }, bar),
      value,
    );
    return { element: toned(made, this.colours[label]), bar, value };
  }

  #bars(probs, first) {
    for (const [label, row] of this.rows) {
      const share = probs[label];
      row.bar.style.transform = `translateX(${100 * (share ?? 0) - 101}%)`;
      row.value.textContent = share === undefined ? "–" : percent(share);
      row.element.classList.toggle("first", label === first);
    }
  }

  #votes({ votes, uncertain }) {
    const counted = Object.entries(votes).sort(([, a], [, b]) => b - a);
    const total = counted.reduce((sum, [, n]) => sum + n, 0);
    if (total <= 1) return element("span", { text: uncertain ? "" : "one model, no vote" });
    const dots = counted.flatMap(([label, n]) =>
      Array.from({ length: Math.min(n, 12) }, () => toned(element("i"), this.colours[label])),
    );
    const words = counted.map(([label, n]) => `${label} ${n}`).join(", ");
    return element(
      "span",
      {},
      element("span", { class: "votes", "aria-hidden": "true" }, ...dots),
      ` ${total} votes: ${words}`,
    );
  }
}

/** What the colours mean, with the marks of doubt and silence. */
export function legend(labels, colours) {
  const mark = (kind, text, tone) =>
    element("li", {}, tone ? toned(element("span", { class: "swatch" }), tone) : element("span", { class: `swatch ${kind}` }), text);
  return element(
    "ul",
    { class: "legend", "aria-label": "Colours" },
    ...labels.map((label) => mark("", label, colours[label])),
    mark("unsure", "striped: uncertain"),
    mark("silence", "no speech"),
    element("li", { text: "wide band: probabilities" }),
  );
}
