// How the page asks the server: over HTTP with problems as errors, and the address of the socket.

let token = "";

export function setToken(value) {
  token = value.trim();
}

/** What a server, or this page, has to say about a failure: message and hint. */
export class Problem extends Error {
  constructor({ code, message, hint = null, status = 0, retryAfter = null }) {
    super(message);
    Object.assign(this, { code, hint, status, retryAfter });
  }
}

/** The model, formats and limits; raises a Problem, `unauthorised` where a token is needed. */
export async function about() {
  return (await ask("v1/models")).json();
}

/** The result about the recording `blob`; where its channels are split, `names` (by channel) say who speaks, `only` one
 *  of them is judged, and `lawful` says that this is allowed of people at work or in education. */
export async function predict(blob, { channels = "mix", names = {}, only = "", lawful = false, signal } = {}) {
  const query = new URLSearchParams({ channels });
  const roles = Object.entries(names).map(([channel, name]) => `${channel}=${name}`);
  if (channels === "split" && roles.length) {
    query.set("roles", roles.join(","));
    if (only) query.set("only", only);
    if (lawful) query.set("lawful_basis", "true");
  }
  const headers = { "Content-Type": blob.type || "application/octet-stream" };
  return (await ask(`v1/predict?${query}`, { method: "POST", body: blob, headers, signal })).json();
}

/** `result` as a file of `format`: its bytes and the ending of its name. */
export async function formatted(result, format) {
  const response = await ask(`v1/format?${new URLSearchParams({ format })}`, {
    method: "POST",
    body: JSON.stringify(result),
    headers: { "Content-Type": "application/json" },
  });
  const given = /filename="[^".]*(\.[\w.]+)"/.exec(response.headers.get("Content-Disposition") ?? "");
  return { blob: await response.blob(), extension: given ? given[1] : `.${format}` };
}

/** A socket for a live stream. A page can set no header of it, so the token goes as a subprotocol. */
export function openSocket() {
  const address = new URL("v1/stream", document.baseURI);
  address.protocol = address.protocol.replace("http", "ws");
  const protocols = ["voxaffect.v1"];
  if (token) protocols.push(`voxaffect.bearer.${base64url(token)}`);
  const socket = new WebSocket(address, protocols);
  socket.binaryType = "arraybuffer";
  return socket;
}

async function ask(path, { headers = {}, ...options } = {}) {
  const sent = new Headers(headers);
  if (token) sent.set("Authorization", `Bearer ${token}`);
  let response;
  try {
    response = await fetch(path, { ...options, headers: sent, cache: "no-store", credentials: "omit" });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem({
      code: "no_connection",
      message: "the server does not answer",
      hint: "see whether it still runs and whether you are connected, then try again",
    });
  }
  if (!response.ok) throw await problemOf(response);
  return response;
}

async function problemOf(response) {
  const said = await response.json().catch(() => null);
  const error = said?.error;
  return new Problem({
    code: error?.code ?? `http_${response.status}`,
    message: error?.message ?? said?.detail ?? `the server answers ${response.status}`,
    hint: error?.hint ?? null,
    status: response.status,
    retryAfter: Number(response.headers.get("Retry-After")) || null,
  });
}

function base64url(text) {
  return btoa(text).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}
