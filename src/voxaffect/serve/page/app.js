// The page of `voxaffect serve`: which of its sections shows, and what leads from one to the other.

import * as api from "./api.js";
import { card } from "./card.js";
import { announce, byId, clock, element, mebibytes, sentence } from "./dom.js";
import { Live } from "./live.js";
import { LiveView } from "./liveview.js";
import { RATE } from "./microphone.js";
import { Results } from "./results.js";
import { askSpeakers } from "./speakers.js";
import { wavOf } from "./waveform.js";

const SECTIONS = ["token-form", "home", "working", "live", "result", "failed"];
const TITLE = document.title;

let server = null; // what GET /v1/models said
let consented = false; // to the microphone's notice, in this tab
let live = null;
let view = null;
let results = null;
let asking = null; // the request that is under way
let again = null; // what "Try again" does

function show(name, title = "") {
  for (const section of SECTIONS) byId(section).hidden = section !== name;
  document.title = title ? `${title} · ${TITLE}` : TITLE;
  const heading = byId(name).querySelector("h1");
  if (heading) {
    heading.focus({ preventScroll: true });
    scrollTo(0, 0);
  }
}

function forget() {
  asking?.abort();
  live?.end();
  view?.end();
  results?.end();
  asking = live = view = results = null;
}

function home() {
  forget();
  byId("file").value = "";
  show("home");
}

/** Show `problem`, of the recording `name` if there is one; `retry` is offered where it may help. */
function fail(problem, retry = null, name = "") {
  if (problem.code === "unauthorised") {
    forget();
    askToken(problem);
    return;
  }
  forget();
  again = retry;
  const about = /^upload\b(.*)$/s.exec(problem.message);  // the server does not look at names; this page knows it
  byId("failed-message").textContent = about && name ? sentence(`“${name}”${about[1]}`) : sentence(problem.message);
  const wait = problem.retryAfter ? `Try again in ${problem.retryAfter} s.` : "";
  byId("failed-hint").textContent = problem.hint ? sentence(problem.hint) : wait;
  byId("failed-code").textContent = problem.code ?? "";
  byId("retry").hidden = retry === null || (problem.status >= 400 && problem.status < 500 && ![408, 429].includes(problem.status));
  show("failed", "Error");
}

function askToken(problem) {
  byId("token-help").textContent = server === null && !byId("token").value
    ? byId("token-help").textContent
    : sentence(problem.message);
  show("token-form");
  byId("token").focus();
}

async function begin() {
  try {
    server = await api.about();
  } catch (problem) {
    fail(problem, begin);
    return;
  }
  byId("card-body").replaceChildren(...card(server));
  byId("card-open").hidden = false;
  const { bytes, seconds } = server.limits;
  byId("drop-help").textContent = `or drop it here: up to ${mebibytes(bytes)}, ${clock(seconds)}`;
  home();
}

/** Have the recording judged with `options`: `channels`, and where they are split `names`, `only` and `lawful`. */
async function judge(blob, name, options = { channels: "mix" }) {
  const position = results?.timeline.position ?? 0;
  forget();
  const retry = () => judge(blob, name, options);
  if (blob.size > server.limits.bytes) {
    const hint = "compress it (opus, m4a, mp3), or use voxaffect predict on the command line";
    const message = `${mebibytes(blob.size)} are more than this server's ${mebibytes(server.limits.bytes)}`;
    fail(new api.Problem({ code: "too_many_bytes", message, hint, status: 413 }), null, name);
    return;
  }
  byId("working-name").textContent = name;
  show("working", "Listening");
  announce(`Listening to ${name}`);
  const request = (asking = new AbortController());
  try {
    const result = await api.predict(blob, { ...options, signal: request.signal });
    if (asking !== request) return;
    present(result, blob, name, options, position);
  } catch (problem) {
    if (asking !== request) return;
    if (!(problem instanceof api.Problem)) throw problem;
    fail(problem, retry, name);
  }
}

function present(result, blob, name, options, position) {
  show("result", name);
  results = new Results({
    result,
    blob,
    name,
    formats: server.formats,
    options,
    onchannels: (channels) => judge(blob, name, { ...options, channels }),
    onspeakers: () => nameSpeakers(result.source.channels, blob, name, options),
  });
  if (position) results.timeline.seek(position);
  announce(`In all: ${results.words}`);
}

async function nameSpeakers(channels, blob, name, options) {
  const before = results;
  before.timeline.audio?.pause();
  try {
    const judgeThem = (asked, signal) => api.predict(blob, { ...asked, signal });
    const answer = await askSpeakers({ channels, options, judge: judgeThem });
    if (!answer || results !== before) return;
    const { position } = before.timeline;
    forget();
    present(answer.result, blob, name, answer.options, position);
  } catch (problem) {
    if (!(problem instanceof api.Problem)) throw problem;
    fail(problem);
  }
}

function take(files) {
  if (files.length) judge(files[0], files[0].name);
}

async function speak() {
  if (!consented && !(await notice())) return;
  consented = true;
  forget();
  show("live", "● Live");
  const stream = (live = new Live(server.limits.bytes));
  view = new LiveView(stream, server.models[0]);
  stream.addEventListener("problem", ({ detail }) => {
    const kept = stream.chunks.length ? recording(stream.chunks) : null;
    if (kept) detail.hint = "what was recorded is still here: try again to have it judged";
    fail(detail, kept ? () => judge(kept.blob, kept.name) : speak);
  });
  stream.addEventListener("full", ({ detail }) => finish(detail));
  byId("stop").disabled = false;
  byId("stop").focus();
  try {
    await stream.start();
  } catch (problem) {
    if (live !== stream) return;
    if (!(problem instanceof api.Problem)) throw problem;
    fail(problem, speak);
  }
}

async function finish(why = "") {
  const stream = live;
  if (!stream || byId("stop").disabled) return;
  byId("stop").disabled = true;
  if (why) byId("live-note").textContent = sentence(why);
  const chunks = await stream.stop();
  if (live !== stream) return;
  if (!chunks.length) {
    home();
    return;
  }
  const { blob, name } = recording(chunks);
  await judge(blob, name);
  if (why && results) byId("result-warnings").prepend(element("li", { text: sentence(why) }));
}

/** What was heard, as a WAV that is called by the time. */
function recording(chunks) {
  const now = new Date();
  const pad = (number) => String(number).padStart(2, "0");
  const day = `${now.getFullYear()}-${pad(now.getMonth() + 1)}-${pad(now.getDate())}`;
  return { blob: wavOf(chunks, RATE), name: `Recording ${day} ${pad(now.getHours())}.${pad(now.getMinutes())}.wav` };
}

/** Whether the microphone may be opened: the notice was read and agreed to. */
function notice() {
  const dialog = byId("notice");
  byId("consent").checked = false;
  dialog.returnValue = "no";
  dialog.showModal();
  byId("consent").focus();
  return new Promise((resolve) =>
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes" && byId("consent").checked), { once: true }),
  );
}

function listenForDrops() {
  const holdsFile = (event) => server && !live && [...(event.dataTransfer?.types ?? [])].includes("Files");
  const curtain = byId("curtain");
  addEventListener("dragover", (event) => {
    event.preventDefault();
    if (holdsFile(event)) curtain.hidden = false;
  });
  addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) curtain.hidden = true;
  });
  addEventListener("drop", (event) => {
    event.preventDefault();
    curtain.hidden = true;
    if (holdsFile(event)) take(event.dataTransfer.files);
  });
}

byId("speak").addEventListener("click", speak);
byId("stop").addEventListener("click", () => finish());
byId("file").addEventListener("change", (event) => take(event.target.files));
byId("cancel").addEventListener("click", home);
byId("retry").addEventListener("click", () => again?.());
byId("card-open").addEventListener("click", () => byId("card").showModal());
byId("card").addEventListener("click", (event) => event.target === event.currentTarget && byId("card").close());
byId("token-form").addEventListener("submit", (event) => {
  event.preventDefault();
  api.setToken(byId("token").value);
  begin();
});
for (const button of document.querySelectorAll(".again")) button.addEventListener("click", home);
addEventListener("pagehide", () => live?.end());
listenForDrops();
begin();
