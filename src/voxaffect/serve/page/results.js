// The answer about a recording: headline, timeline, readings, downloads, table.

import { labelColours } from "./colours.js";
import { byId, clock, element, percent, reasonWords, toned } from "./dom.js";
import { downloads } from "./downloads.js";
import { Reading } from "./reading.js";
import { Timeline } from "./timeline.js";
import { at, tracksOf } from "./track.js";
import { peaksOf } from "./waveform.js";

const MAX_ROWS = 500;

export class Results {
  /** Show `result` about `blob` called `name`; `options` are those that it was judged with. `onchannels(kind)` is asked
   *  for another way to take its channels, `onspeakers()` for who speaks on them. */
  constructor({ result, blob, name, formats, options, onchannels, onspeakers }) {
    Object.assign(this, { result, options, onchannels });
    this.labels = result.model.labels;
    this.colours = labelColours(this.labels);
    this.tracks = tracksOf(result);
    this.duration = result.source?.duration || Math.max(0.1, ...result.segments.map((segment) => segment.end));
    byId("result-name").textContent = name;
    byId("result-facts").textContent = this.#facts();
    byId("result-warnings").replaceChildren(...result.warnings.map(({ message }) => element("li", { text: message })));
    const stem = name.replace(/\.[^.]*$/, "") || "result";
    byId("downloads").replaceChildren(...downloads({ ...result, id: name }, formats, stem));
    byId("moments").querySelector("div").replaceChildren(this.#table());
    byId("moments").open = false;
    this.#readings();
    this.timeline = new Timeline({
      tracks: this.tracks,
      duration: this.duration,
      labels: this.labels,
      colours: this.colours,
      peaks: null,
      onmoment: (seconds) => this.#moment(seconds),
    });
    byId("result-timeline").replaceChildren(this.timeline.element);
    if (result.source?.channels > 1) {
      const who = element("button", { type: "button", id: "who", "aria-haspopup": "dialog", text: "Who speaks?" });
      who.addEventListener("click", onspeakers);
      this.timeline.tools.append(this.#choice(), who);
    }
    if (blob) this.#listen(blob);
  }

  /** Let go of the recording. */
  end() {
    this.ended = true;
    this.timeline.end();
    if (this.url) URL.revokeObjectURL(this.url);
  }

  async #listen(blob) {
    this.url = URL.createObjectURL(blob);
    this.timeline.attach(this.url);
    const peaks = await peaksOf(blob, this.duration);
    if (this.ended) return;
    this.timeline.peaks = peaks;
    this.timeline.draw();
    this.timeline.element.dataset.waveform = peaks ? "drawn" : "none";
  }

  #facts() {
    const { source, model } = this.result;
    const channels = { 1: "mono", 2: "stereo" }[source?.channels] ?? `${source?.channels} channels`;
    const kind = source?.sample_rate ? ` · ${source.container}, ${source.sample_rate / 1000} kHz, ${channels}` : "";
    const { channels: taken, only } = this.options;
    const whom = taken === "split" && only ? `only ${only} ` : "";
    return `${clock(this.duration, this.duration < 60 ? 1 : 0)}${kind} · ${whom}judged by ${model.name} ${model.version}`;
  }

  /** The answer in words. */
  get words() {
    const { label, reason, score, uncertain } = this.result;
    return label === null ? reasonWords(reason) : `${label}, ${percent(score)}${uncertain ? ", uncertain" : ""}`;
  }

  #readings() {
    const facts = { labels: this.labels, colours: this.colours, members: this.result.model.members };
    this.overall = new Reading({ kicker: "In all", ...facts });
    this.overall.show(this.result);
    this.moments = this.tracks.map((track) => new Reading({ kicker: track.name, ...facts }));
    this.single = this.tracks.length === 1;
    const elements = this.moments.map((reading) => reading.element);
    byId("result-overall").replaceChildren(this.overall.element, ...(this.single ? elements : []));
    byId("result-moments").replaceChildren(...(this.single ? [] : elements));
  }

  #moment(seconds) {
    const whole = seconds === 0 && this.timeline?.audio?.paused !== false;
    this.overall.element.hidden = this.single && !whole;
    this.tracks.forEach((track, i) => {
      const reading = this.moments[i];
      reading.element.hidden = whole;
      if (whole) return;
      reading.kicker.textContent = `${track.name ? `${track.name}, ` : ""}at ${clock(seconds, 1)}`;
      const segment = at(track.cells, seconds)?.segment;
      if (segment === reading.shown) return;
      reading.shown = segment;
      if (segment) reading.show(segment);
      else reading.silent("no_speech");
    });
  }

  #choice() {
    const now = this.result.settings.channels === "split" ? "split" : "mix";
    const option = (value, text) =>
      element(
        "label",
        {},
        element("input", { type: "radio", name: "channels", value, checked: value === now, onchange: () => this.onchannels(value) }),
        element("span", { text }),
      );
    return element(
      "fieldset",
      { class: "choice", "aria-label": "Channels" },
      option("mix", "together"),
      option("split", "each channel"),
    );
  }

  #table() {
    const rows = this.tracks.flatMap((track) => track.pieces.map((piece) => ({ track, piece })));
    if (!rows.length) return element("p", { text: reasonWords(this.result.reason ?? "no_speech") });
    rows.sort((a, b) => a.piece.start - b.piece.start);
    const split = this.tracks.some((track) => track.name);
    const heads = ["from", "to", ...(split ? ["who"] : []), "sounds", "score", ""];
    const cell = (text) => element("td", { text });
    const body = rows.slice(0, MAX_ROWS).map(({ track, piece }) =>
      element(
        "tr",
        {},
        cell(clock(piece.start, 1)),
        cell(clock(piece.end, 1)),
        split ? cell(track.name) : null,
        element("td", {}, toned(element("span", { class: "swatch" }), this.colours[piece.label]), piece.label),
        cell(percent(piece.score)),
        cell(piece.uncertain ? "uncertain" : ""),
      ),
    );
    const head = element("tr", {}, ...heads.map((text) => element("th", { scope: "col", text })));
    const more = rows.length > MAX_ROWS ? element("p", { class: "small", text: `${rows.length - MAX_ROWS} more are in the downloads.` }) : "";
    return element("div", {}, element("table", {}, element("thead", {}, head), element("tbody", {}, ...body)), more);
  }
}
