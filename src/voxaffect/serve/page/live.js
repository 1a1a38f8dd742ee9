// A live stream: what the microphone gives goes to the server, what the server says goes to whoever listens. When the
// connection drops, a new session goes on where the last one ended.

import { openSocket, Problem } from "./api.js";
import { Microphone, RATE } from "./microphone.js";

const INTERVAL = 0.5; // seconds between results
const TRIES = 5; // at a new connection
const CLOSE_MS = 15000; // how long the last results may take
const WAITING_FRAMES = 100; // 10 s that are kept for the next session
const MAX_BUFFERED = 2 ** 20; // bytes that the network has not taken

export class Live extends EventTarget {
  /**
   * Events: `frame` {peaks}, `message` (what the server says, times in seconds of the recording), `state` (connecting,
   * live, paused, reconnecting, closing), `problem` (a Problem; the stream is over), `note` (text), `full`.
   * At most `maxBytes` are recorded.
   */
  constructor(maxBytes) {
    super();
    this.chunks = [];
    this.seconds = 0;
    this.maxSeconds = Math.floor((maxBytes - 44) / (2 * RATE));
    this.waiting = [];
    this.tries = 0;
    this.over = false;
  }

  async start() {
    this.#tell("state", "connecting");
    this.microphone = await Microphone.open({
      onframe: (frame) => this.#frame(frame),
      onend: () => this.#tell("full", "the microphone was disconnected"),
      onpause: (paused) => this.#pause(paused),
    });
    if (this.over) {
      await this.microphone.close();
      return;
    }
    this.#connect();
  }

  /** Close the microphone, wait for the last results, and give all of the recording (Int16Array of 16 kHz). */
  async stop() {
    this.stopping = true;
    this.#tell("state", "closing");
    await this.microphone?.close();
    if (this.ready) {
      const closed = new Promise((resolve) => (this.closed = resolve));
      this.socket.send(JSON.stringify({ type: "session.close" }));
      await Promise.race([closed, new Promise((resolve) => setTimeout(resolve, CLOSE_MS))]);
    }
    this.end();
    return this.chunks;
  }

  /** Drop everything at once. */
  end() {
    this.over = true;
    clearTimeout(this.timer);
    this.microphone?.close();
    this.socket?.close();
  }

  #connect() {
    this.ready = false;
    this.said = false;
    const socket = (this.socket = openSocket());
    socket.onmessage = ({ data }) => this.#message(JSON.parse(data), socket);
    socket.onclose = () => this.#dropped(socket);
  }

  #message(message, socket) {
    if (socket !== this.socket) return;
    if (message.type === "session.created") {
      const update = { type: "session.update", encoding: "pcm_s16le", sample_rate: RATE, channels: 1, interval: INTERVAL };
      socket.send(JSON.stringify(update));
    } else if (message.type === "session.updated") {
      this.ready = true;
      this.tries = 0;
      this.offset = this.waiting.length ? this.waiting[0].at : this.seconds;
      for (const { samples } of this.waiting.splice(0)) socket.send(samples);
      this.#tell("state", this.stopping ? "closing" : this.paused ? "paused" : "live");
    } else if (message.type === "error") {
      if (message.fatal) this.#fail(new Problem(message));
      else this.#tell("note", message.hint ? `${message.message}; ${message.hint}` : message.message);
    } else if (message.type === "session.closed") {
      this.said = true;
      this.ready = false;
      this.closed?.();
      if (!this.stopping && !this.over) this.#closedByServer(message.reason);
    } else {
      const moved = { ...message };
      for (const name of ["start", "end"]) if (name in moved) moved[name] += this.offset;
      this.#tell("message", moved);
    }
  }

  #frame({ samples, peaks }) {
    if (this.over) return;
    if (this.seconds + samples.length / RATE > this.maxSeconds) {
      if (!this.stopping) this.#tell("full", "this is as long as a recording here can be");
      return;
    }
    const at = this.seconds;
    this.chunks.push(samples);
    this.seconds += samples.length / RATE;
    this.#tell("frame", { peaks });
    if (this.ready && this.socket.readyState === WebSocket.OPEN) {
      this.socket.send(samples);
      if (this.socket.bufferedAmount > MAX_BUFFERED) this.#tell("note", "the connection is slow: results come late");
    } else {
      this.waiting.push({ samples, at });
      if (this.waiting.length > WAITING_FRAMES) this.waiting.shift();
    }
  }

  #pause(paused) {
    this.paused = paused;
    if (this.ready && !this.stopping) this.#tell("state", paused ? "paused" : "live");
  }

  #dropped(socket) {
    if (socket !== this.socket || this.over || this.said) return;
    this.ready = false;
    this.closed?.();
    if (this.stopping) return;
    this.tries += 1;
    if (this.tries > TRIES) {
      this.#fail(
        new Problem({
          code: "no_connection",
          message: "the live connection cannot be made",
          hint: "see whether the server still runs, has a free stream, and takes your token",
        }),
      );
      return;
    }
    this.#tell("state", "reconnecting");
    this.timer = setTimeout(() => this.#connect(), 250 * 2 ** this.tries);
  }

  #closedByServer(reason) {
    const words = {
      idle: "nothing came from the microphone for a while",
      server_stopping: "the server is stopping",
      too_long: "this is as long as a stream may be",
    };
    this.#tell("full", words[reason] ?? `the server ended the stream (${reason})`);
  }

  #fail(problem) {
    this.end();
    this.#tell("problem", problem);
  }

  #tell(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}
