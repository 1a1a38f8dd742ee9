// What one sees while speaking: the reading, and the last seconds as they move by.

import { labelColours, theme } from "./colours.js";
import { announce, byId, calm, clock, percent, reasonWords } from "./dom.js";
import { drawClock, drawLoudness, drawProbabilities, drawStrip, prepared } from "./drawing.js";
import { Reading, legend } from "./reading.js";
import { cells, pieces } from "./track.js";

const PEAKS_PER_SECOND = 40;
const PER_PIXEL = 1 / 45; // seconds
const KEPT_SECONDS = 90; // of results, for the picture
const CALM_MS = 1000;
const STATES = {
  connecting: "connecting",
  live: "listening",
  paused: "the browser has paused the microphone",
  reconnecting: "connection lost, trying again",
  closing: "finishing",
};

export class LiveView {
  constructor(live, model) {
    this.live = live;
    this.labels = model.labels;
    this.colours = labelColours(model.labels);
    this.reading = new Reading({ kicker: "Right now", labels: model.labels, colours: this.colours, members: model.members });
    this.reading.silent("no_speech", {}, "listening …");
    byId("live-reading").replaceChildren(this.reading.element);
    this.canvas = byId("live-canvas");
    this.canvas.parentElement.replaceChildren(this.canvas, legend(model.labels, this.colours));
    this.peaks = [];
    this.results = [];
    this.stretches = [];
    this.pieces = [];
    this.spoken = null;
    this.arrived = performance.now();
    live.addEventListener("frame", ({ detail }) => this.#frame(detail));
    live.addEventListener("message", ({ detail }) => this.#message(detail));
    live.addEventListener("state", ({ detail }) => this.#state(detail));
    live.addEventListener("note", ({ detail }) => (byId("live-note").textContent = detail));
    this.#state("connecting");
    byId("live-note").textContent = "";
    byId("live-clock").textContent = clock(0);
    this.#animate();
  }

  end() {
    this.ended = true;
    cancelAnimationFrame(this.request);
  }

  #frame({ peaks }) {
    this.peaks.push(...peaks);
    this.arrived = performance.now();
    byId("live-clock").textContent = clock(this.live.seconds);
  }

  #state(state) {
    this.state = state;
    byId("live-state").textContent = STATES[state];
    if (state === "live" || state === "paused" || state === "reconnecting") announce(STATES[state]);
    if (state === "paused" || state === "reconnecting") this.reading.silent("no_speech", {}, "…");
  }

  #message(message) {
    if (message.type === "result") this.#result(message);
    if (message.type === "utterance.end") this.#utteranceEnd(message);
    if (message.type === "stats" && message.lag_seconds > 1) {
      byId("live-note").textContent = `The server is ${message.lag_seconds.toFixed(1)} s behind.`;
    } else if (message.type === "stats") byId("live-note").textContent = "";
  }

  #result(result) {
    if (this.state !== "paused") this.reading.show(result); // what still comes of before the pause is not "right now"
    const kept = this.live.seconds - KEPT_SECONDS;
    this.results = this.results.filter(
      (each) => each.end > kept && (each.final || !result.final || each.utterance !== result.utterance || each.end > result.end),
    );
    this.results.push(result);
    this.#cut();
    if (result.final) this.#say(result);
  }

  #utteranceEnd({ utterance }) {
    this.results = this.results.filter((each) => each.final || each.utterance !== utterance);
    this.#cut();
    if (this.state !== "paused") this.reading.silent("no_speech");
    this.spoken = null;
  }

  #cut() {
    this.stretches = cells(this.results);
    this.pieces = pieces(this.stretches);
  }

  #say({ label, score, uncertain, reason }) {
    const words = label === null ? reasonWords(reason) : `${label}${uncertain ? ", uncertain" : ""}`;
    if (words === this.spoken) return;
    this.spoken = words;
    announce(label === null ? words : `${words}, ${percent(score)}`);
  }

  #animate() {
    if (this.ended) return;
    this.request = requestAnimationFrame((now) => {
      if (!calm() || now - (this.drawn ?? 0) >= CALM_MS) {
        this.drawn = now;
        this.#draw();
      }
      this.#animate();
    });
  }

  #draw() {
    const height = this.canvas.clientHeight;
    const context = prepared(this.canvas, height);
    const width = this.canvas.clientWidth;
    const ahead = this.state === "live" && !calm() ? Math.min(0.12, (performance.now() - this.arrived) / 1000) : 0;
    const now = Math.max(0, this.live.seconds - 0.1 + ahead);
    const start = Math.max(0, now - width * PER_PIXEL);
    const view = { start, end: start + width * PER_PIXEL, limit: now, width, silence: false };
    const colours = theme();
    const loudness = Math.round(height * 0.42);
    const top = Math.max(0.05, this.peaks.slice(-PEAKS_PER_SECOND * KEPT_SECONDS).reduce((a, b) => Math.max(a, b), 0));
    const peakOf = (from, to) => {
      const first = Math.max(0, Math.floor(from * PEAKS_PER_SECOND));
      if (to <= 0 || first >= this.peaks.length) return null;
      return Math.max(...this.peaks.slice(first, Math.max(first + 1, Math.ceil(to * PEAKS_PER_SECOND)))) / top;
    };
    drawLoudness(context, view, { top: 0, height: loudness }, peakOf, this.stretches, this.colours, colours);
    drawStrip(context, view, { top: loudness + 8, height: 26 }, this.pieces, this.colours, colours);
    const below = loudness + 42;
    drawProbabilities(context, view, { top: below, height: height - below - 26 }, this.stretches, this.labels, this.colours);
    drawClock(context, view, height - 22, colours);
    context.fillStyle = colours.ink;
    context.fillRect(Math.min(width - 2, (now - start) / PER_PIXEL), 0, 2, height - 22);
  }
}
