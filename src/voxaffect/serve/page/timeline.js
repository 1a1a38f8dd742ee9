// A recording over time: loudness, strip and probabilities of each channel, played and scrubbed by pointer and keyboard.

import { theme } from "./colours.js";
import { announce, clock, element, percent, toned } from "./dom.js";
import { drawClock, drawLoudness, drawProbabilities, drawStrip, prepared } from "./drawing.js";
import { legend } from "./reading.js";
import { at } from "./track.js";
import { loudness } from "./waveform.js";

const ROWS = { gap: 6, strip: 28, loudness: 84, probabilities: 56 };
const SMALL_ROWS = { gap: 6, strip: 26, loudness: 56, probabilities: 40 };
const CLOCK = 26;
const MAX_ZOOM = 64;
const MIN_VIEW = 2; // seconds
const ICONS = { play: "M8 5v14l11-7z", pause: "M7 5h4v14H7zM13 5h4v14h-4z" };

export class Timeline {
  /** `onmoment(seconds)` is told of each new position; `peaks` are null where the browser has none. */
  constructor({ tracks, duration, labels, colours, peaks, onmoment }) {
    Object.assign(this, { tracks, duration, labels, colours, peaks, onmoment });
    this.audio = null;
    this.position = 0;
    this.zoom = 1;
    this.from = 0;
    this.rows = tracks.length > 2 ? SMALL_ROWS : ROWS;
    this.playhead = element("div", { class: "playhead" });
    this.canvases = tracks.map(() => element("canvas", { "aria-hidden": "true" }));
    this.axis = element("canvas", { "aria-hidden": "true" });
    this.slider = element(
      "div",
      {
        class: "tracks",
        role: "slider",
        tabindex: "0",
        "aria-label": "Position in the recording",
        "aria-describedby": "timeline-keys",
        "aria-valuemin": "0",
        "aria-valuemax": duration.toFixed(2),
        onkeydown: (event) => this.#key(event),
        onpointerdown: (event) => this.#pointer(event),
        onpointermove: (event) => this.#pointer(event),
        onwheel: (event) => this.#wheel(event),
      },
      ...tracks.flatMap((track, i) => [heading(track, colours), this.canvases[i]]),
      this.axis,
      this.playhead,
    );
    this.play = element("button", { class: "play main", type: "button", onclick: () => this.toggle(), disabled: true });
    this.time = element("span", { class: "time num" });
    this.note = element("span", { class: "small" });
    const zoom = (sign, name, factor) =>
      element("button", { class: "zoom", type: "button", "aria-label": name, text: sign, onclick: () => this.#zoomBy(factor) });
    this.zoomOut = zoom("−", "Show more of it", 0.5);
    this.zoomIn = zoom("+", "Show it larger", 2);
    this.tools = element("span", { class: "row" });
    this.element = element(
      "div",
      { class: "panel plot" },
      this.slider,
      element("div", { class: "transport" }, this.play, this.time, this.note, this.tools, element("span", { class: "zooms" }, this.zoomOut, this.zoomIn)),
      legend(labels, colours),
      element("p", { class: "small keys", id: "timeline-keys", text: "Arrow keys move, space plays, + and − zoom." }),
    );
    this.#icon("play");
    this.observer = new ResizeObserver(() => this.draw());
    this.observer.observe(this.slider);
    this.scheme = matchMedia("(prefers-color-scheme: dark)");
    this.redraw = () => this.draw();
    this.scheme.addEventListener("change", this.redraw);
    this.#moved();
  }

  /** Play `url` from now on; `onproblem` is told where the browser cannot. */
  attach(url) {
    this.audio = new Audio();
    this.audio.preload = "auto";
    this.audio.addEventListener("canplay", () => (this.play.disabled = false));
    this.audio.addEventListener("error", () => {
      this.play.disabled = true;
      this.note.textContent = "This browser cannot play this format.";
    });
    this.audio.addEventListener("play", () => {
      this.#icon("pause");
      this.#follow();
    });
    this.audio.addEventListener("pause", () => {
      this.#icon("play");
      this.#moved();
    });
    this.audio.src = url;
  }

  /** Let go of the audio and of the page. */
  end() {
    this.observer.disconnect();
    this.scheme.removeEventListener("change", this.redraw);
    this.audio?.pause();
    this.audio?.removeAttribute("src");
    this.audio = null;
  }

  toggle() {
    if (!this.audio || this.play.disabled) return;
    if (this.audio.paused) {
      if (this.position >= this.duration - 0.05) this.seek(0);
      this.audio.play().catch(() => this.#icon("play"));
    } else this.audio.pause();
  }

  seek(seconds) {
    this.position = Math.min(this.duration, Math.max(0, seconds));
    if (this.audio) this.audio.currentTime = this.position;
    this.#moved();
  }

  draw() {
    const width = this.axis.clientWidth;
    if (!width) return;
    const { view, rows } = { view: { ...this.#view(), width }, rows: this.rows };
    const colours = theme();
    const hasPeaks = this.peaks !== null;
    const height = (hasPeaks ? rows.loudness + rows.gap : 0) + rows.strip + rows.gap + rows.probabilities;
    this.tracks.forEach((track, i) => {
      const canvas = this.canvases[i];
      canvas.style.height = `${height}px`;
      const context = prepared(canvas, height);
      let top = 0;
      if (hasPeaks) {
        const peak = loudness(this.peaks, track.name ? track.channel : null);
        drawLoudness(context, view, { top, height: rows.loudness }, peak, track.cells, this.colours, colours);
        top += rows.loudness + rows.gap;
      }
      drawStrip(context, view, { top, height: rows.strip }, track.pieces, this.colours, colours);
      top += rows.strip + rows.gap;
      drawProbabilities(context, view, { top, height: rows.probabilities }, track.cells, this.labels, this.colours);
    });
    this.axis.style.height = `${CLOCK}px`;
    drawClock(prepared(this.axis, CLOCK), view, 2, colours);
    this.#placeHead();
  }

  #view() {
    const shown = this.duration / this.zoom;
    return { start: this.from, end: this.from + shown, limit: this.duration };
  }

  #moved() {
    const { start, end } = this.#view();
    if (this.zoom > 1 && (this.position < start || this.position > end)) this.#show(this.position);
    this.#placeHead();
    this.time.textContent = `${clock(this.position, this.duration < 60 ? 1 : 0)} / ${clock(this.duration, this.duration < 60 ? 1 : 0)}`;
    const words = this.tracks.map((track) => momentWords(track, this.position));
    if (this.audio?.paused !== false || words.join() !== this.words) {
      this.slider.setAttribute("aria-valuenow", this.position.toFixed(2));
      this.slider.setAttribute("aria-valuetext", `${clock(this.position)} of ${clock(this.duration)}, ${words.join("; ")}`);
      this.words = words.join();
    }
    this.onmoment?.(this.position);
  }

  #placeHead() {
    const { start, end } = this.#view();
    const x = ((this.position - start) / (end - start)) * this.slider.clientWidth;
    this.playhead.style.transform = `translateX(${x}px)`;
    this.playhead.hidden = x < -1 || x > this.slider.clientWidth + 1;
  }

  #follow() {
    if (!this.audio || this.audio.paused) return;
    this.position = Math.min(this.duration, this.audio.currentTime);
    this.#moved();
    requestAnimationFrame(() => this.#follow());
  }

  #pointer(event) {
    if (event.type === "pointerdown") {
      if (event.button !== 0) return;
      this.slider.setPointerCapture(event.pointerId);
    } else if (!(event.buttons & 1)) return;
    const box = this.slider.getBoundingClientRect();
    const { start, end } = this.#view();
    this.seek(start + ((event.clientX - box.left) / box.width) * (end - start));
  }

  #key(event) {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    const step = this.duration > 10 ? 1 : 0.25;
    const leap = Math.max(2, this.duration / 10);
    const moves = {
      ArrowRight: step,
      ArrowUp: step,
      ArrowLeft: -step,
      ArrowDown: -step,
      PageUp: leap,
      PageDown: -leap,
      Home: -Infinity,
      End: Infinity,
    };
    if (event.key === " " || event.key === "Enter") this.toggle();
    else if (event.key === "+" || event.key === "-") this.#zoomBy(event.key === "+" ? 2 : 0.5);
    else if (event.key in moves) this.seek(this.position + moves[event.key]);
    else return;
    event.preventDefault();
  }

  #wheel(event) {
    if (!event.ctrlKey) return; // as pinching a touch pad does
    event.preventDefault();
    this.#zoomBy(event.deltaY < 0 ? 1.25 : 0.8);
  }

  #zoomBy(factor) {
    const most = Math.max(1, Math.min(MAX_ZOOM, this.duration / MIN_VIEW));
    this.zoom = Math.min(most, Math.max(1, this.zoom * factor));
    this.zoomIn.disabled = this.zoom >= most;
    this.zoomOut.disabled = this.zoom <= 1;
    this.#show(this.position);
    if (this.element.isConnected) announce(`${clock(this.from)} to ${clock(this.#view().end)} shown`);
  }

  #show(moment) {
    const shown = this.duration / this.zoom;
    this.from = Math.min(this.duration - shown, Math.max(0, moment - shown / 2));
    this.draw();
  }

  #icon(name) {
    const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    svg.setAttribute("viewBox", "0 0 24 24");
    svg.setAttribute("aria-hidden", "true");
    const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
    path.setAttribute("d", ICONS[name]);
    svg.append(path);
    this.play.replaceChildren(svg);
    this.play.setAttribute("aria-label", name === "play" ? "Play" : "Pause");
  }
}

/** What a track says at a moment, in words. */
export function momentWords(track, seconds) {
  const segment = at(track.cells, seconds)?.segment;
  const who = track.name ? `${track.name}: ` : "";
  if (!segment) return `${who}no speech`;
  return `${who}${segment.label} ${percent(segment.score)}${segment.uncertain ? ", uncertain" : ""}`;
}

function heading({ name, summary }, colours) {
  if (!name) return "";
  const spoken = summary?.speech_seconds ? `${clock(summary.speech_seconds)} of speech` : "no speech";
  const shares = Object.entries(summary?.share ?? {})
    .filter(([, share]) => share > 0)
    .sort(([, a], [, b]) => b - a);
  const parts = shares.map(([label, share]) =>
    element("span", {}, toned(element("span", { class: "swatch" }), colours[label]), `${label} ${percent(share)}`),
  );
  return element("div", { class: "track-name" }, element("strong", { text: name }), element("span", { class: "chips" }, ...parts, spoken));
}
