// What is drawn over time: loudness, the strip of emotions, the probabilities, the clock. A view is
// `{start, end, width}`: seconds, and the pixels that they take.

import { inkOn } from "./colours.js";
import { clock } from "./dom.js";
import { at } from "./track.js";

const BAR = 3;
const GAP = 1.5;
const STEPS = [0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200];
const UNSURE = 0.5;
const SILENT_BAR = 1.2;

const xOf = (view, seconds) => ((seconds - view.start) / (view.end - view.start)) * view.width;

/** A context for `canvas` at its size on the screen, cleared, in CSS pixels. */
export function prepared(canvas, height) {
  const width = canvas.clientWidth;
  const scale = Math.min(3, devicePixelRatio || 1);
  if (canvas.width !== Math.round(width * scale) || canvas.height !== Math.round(height * scale)) {
    canvas.width = Math.round(width * scale);
    canvas.height = Math.round(height * scale);
  }
  const context = canvas.getContext("2d");
  context.setTransform(scale, 0, 0, scale, 0, 0);
  context.clearRect(0, 0, width, height);
  context.font = '12px system-ui, -apple-system, "Segoe UI", Arial, sans-serif';
  return context;
}

/** Loudness as bars around the middle; `loudest(from, to)` is the peak, 0 to 1, between two moments. */
export function drawLoudness(context, view, { top, height }, loudest, stretches, colours, theme) {
  const middle = top + height / 2;
  const step = BAR + GAP;
  const perPixel = (view.end - view.start) / view.width;
  const first = Math.floor(view.start / (step * perPixel));  // bars stand still in time while the view moves
  for (let i = first; (i - 1) * step * perPixel < view.end; i++) {
    const from = i * step * perPixel;
    const to = from + step * perPixel;
    const peak = loudest(from, to);
    if (peak === null) continue;
    const segment = at(stretches, (from + to) / 2)?.segment;
    const known = segment && segment.label !== null;
    const half = Math.max(1, (peak ** 0.75 * height) / 2);
    context.globalAlpha = known && segment.uncertain ? UNSURE : 1;
    context.fillStyle = known ? colours[segment.label] : theme.edge;  // thin, so that it is not taken for a grey label
    const thick = known ? BAR : SILENT_BAR;
    context.beginPath();
    context.roundRect(xOf(view, from) + (step - thick) / 2, middle - half, thick, 2 * half, thick / 2);
    context.fill();
  }
  context.globalAlpha = 1;
}

/** The strip: a block for each piece, striped where it is uncertain, dots where there is none. */
export function drawStrip(context, view, { top, height }, pieces, colours, theme) {
  const shown = pieces.filter((piece) => piece.end > view.start && piece.start < view.end);
  let silentFrom = view.start;
  for (const piece of [...shown, { start: Math.min(view.end, view.limit ?? view.end), end: view.end, label: null }]) {
    drawSilence(context, view, { top, height }, silentFrom, piece.start, theme);
    silentFrom = piece.end;
    if (piece.label === null) continue;
    const left = Math.max(-4, xOf(view, piece.start));
    const right = Math.min(view.width + 4, xOf(view, piece.end));
    const wide = Math.max(1, right - left - 1);
    context.save();
    context.beginPath();
    context.roundRect(left, top, wide, height, 4);
    context.clip();
    context.fillStyle = piece.uncertain ? theme.panel : colours[piece.label];
    context.fillRect(left, top, wide, height);
    if (piece.uncertain) hatch(context, left, top, wide, height, colours[piece.label]);
    label(context, piece, left, top, wide, height, colours, theme);
    context.restore();
  }
}

function hatch(context, left, top, wide, height, colour) {
  context.strokeStyle = colour;
  context.lineWidth = 3.2;
  context.beginPath();
  for (let x = Math.floor(left / 8) * 8 - height; x < left + wide; x += 8) {
    context.moveTo(x, top + height);
    context.lineTo(x + height, top);
  }
  context.stroke();
  context.lineWidth = 4;
  context.beginPath();
  context.roundRect(left, top, wide, height, 4);
  context.stroke();
  context.lineWidth = 1;
}

function label(context, piece, left, top, wide, height, colours, theme) {
  const text = piece.uncertain ? `${piece.label}?` : piece.label;
  const needed = context.measureText(text).width;
  const [from, to] = [Math.max(2, left), Math.min(left + wide, left + wide)];
  if (needed + 14 > to - from) return;
  const middle = top + height / 2;
  if (piece.uncertain) {
    context.fillStyle = theme.panel;
    context.beginPath();
    context.roundRect(from + 4, top + 4, needed + 8, height - 8, 3);
    context.fill();
  }
  context.fillStyle = piece.uncertain ? theme.ink : inkOn(colours[piece.label]);
  context.textBaseline = "middle";
  context.textAlign = "left";
  context.fillText(text, from + 8, middle + 0.5);
}

function drawSilence(context, view, { top, height }, from, to, theme) {
  const [left, right] = [Math.max(0, xOf(view, from)) + 3, Math.min(view.width, xOf(view, to)) - 3];
  if (right - left < 2) return;
  const middle = top + height / 2;
  const text = "no speech";
  const needed = context.measureText(text).width;
  const named = needed + 24 < right - left && view.silence !== false;
  context.fillStyle = theme.edge;
  for (let x = left; x < right; x += 6) {
    if (named && x > (left + right - needed) / 2 - 8 && x < (left + right + needed) / 2 + 5) continue;
    context.fillRect(x, middle - 1, 2, 2);
  }
  if (!named) return;
  context.fillStyle = theme.soft;
  context.textBaseline = "middle";
  context.textAlign = "center";
  context.fillText(text, (left + right) / 2, middle + 0.5);
}

/** The probabilities of `labels`, one on the other, between the centres of windows; nothing where there is none. */
export function drawProbabilities(context, view, { top, height }, stretches, labels, colours) {
  for (const run of runs(stretches)) {
    if (run.end < view.start || run.start > view.end) continue;
    const points = pointsOf(run);
    let low = points.map(() => 0);
    for (const name of labels) {
      const high = points.map(({ probs }, i) => low[i] + (probs[name] ?? 0));
      context.beginPath();
      points.forEach(({ x }, i) => context.lineTo(xOf(view, x), top + height * (1 - low[i])));
      for (let i = points.length - 1; i >= 0; i--) {
        context.lineTo(xOf(view, points[i].x), top + height * (1 - Math.min(1, high[i])));
      }
      context.closePath();
      context.fillStyle = colours[name];
      context.globalAlpha = 0.85;
      context.fill();
      low = high;
    }
  }
  context.globalAlpha = 1;
}

function runs(stretches) {
  const found = [];
  for (const cell of stretches) {
    if (cell.segment.label === null) continue;
    const last = found.at(-1);
    if (last && cell.start - last.end < 0.002) {
      last.end = cell.end;
      if (last.segments.at(-1) !== cell.segment) last.segments.push(cell.segment);
    } else found.push({ start: cell.start, end: cell.end, segments: [cell.segment] });
  }
  return found;
}

function pointsOf({ start, end, segments }) {
  const inner = segments.map((segment) => ({
    x: Math.min(end, Math.max(start, (segment.start + segment.end) / 2)),
    probs: segment.probs,
  }));
  return [{ x: start, probs: inner[0].probs }, ...inner, { x: end, probs: inner.at(-1).probs }];
}

/** The clock below: ticks at whole steps with their times. */
export function drawClock(context, view, top, theme) {
  const room = Math.max(2, Math.floor(view.width / 84));
  const step = STEPS.find((each) => (view.end - view.start) / each <= room) ?? STEPS.at(-1);
  context.fillStyle = theme.soft;
  context.strokeStyle = theme.line;
  context.textBaseline = "top";
  for (let k = Math.ceil(Math.max(0, view.start) / step); k * step <= view.end; k++) {
    const x = xOf(view, k * step);
    context.beginPath();
    context.moveTo(x, top);
    context.lineTo(x, top + 5);
    context.stroke();
    const text = clock(k * step, step < 1 ? 1 : 0);
    const half = context.measureText(text).width / 2;
    context.textAlign = "center";
    context.fillText(text, Math.min(view.width - half, Math.max(half, x)), top + 8);
  }
}
