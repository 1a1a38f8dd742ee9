// The microphone, opened only when asked: frames of 16-bit samples at 16 kHz, as the worklet gives them.

import { Problem } from "./api.js";

export const RATE = 16000;
const PLAIN = { echoCancellation: false, noiseSuppression: false, autoGainControl: false };
const REFUSALS = {
  NotAllowedError: ["microphone_denied", "the browser may not use the microphone", "allow it for this page beside the address, then try again"],
  NotFoundError: ["no_microphone", "there is no microphone", "connect one, or choose a recording"],
  NotReadableError: ["microphone_busy", "the microphone cannot be opened", "close the other program that uses it"],
};

export class Microphone {
  /**
   * `onframe({samples, peaks})` gets each frame, `onend` is told when the device goes away, `onpause(paused)` when the
   * browser stops the sound, as some do while the tab is hidden, and when it goes on.
   */
  static async open({ onframe, onend, onpause }) {
    if (!navigator.mediaDevices?.getUserMedia || !window.AudioWorkletNode) {
      throw new Problem({
        code: "no_microphone_here",
        message: "the browser opens no microphone for this page",
        hint: "use a current browser and https, or http://localhost on this machine",
      });
    }
    let media;
    try {
      media = await navigator.mediaDevices.getUserMedia({ audio: PLAIN });
    } catch (error) {
      const [code, message, hint] = REFUSALS[error.name] ?? ["microphone_failed", `the microphone does not open (${error.name})`, null];
      throw new Problem({ code, message, hint });
    }
    const context = new AudioContext();
    try {
      await context.audioWorklet.addModule(new URL("worklet.js", import.meta.url));
      await context.resume();
    } catch (error) {
      media.getTracks().forEach((track) => track.stop());
      await context.close();
      throw new Problem({ code: "microphone_failed", message: `the sound cannot be read (${error.name})` });
    }
    const node = new AudioWorkletNode(context, "microphone", { numberOfOutputs: 0 });
    context.createMediaStreamSource(media).connect(node);
    return new Microphone(media, context, node, { onframe, onend, onpause });
  }

  constructor(media, context, node, { onframe, onend, onpause }) {
    Object.assign(this, { media, context, node, closing: false });
    context.onstatechange = () => this.closing || onpause(context.state !== "running");
    this.wake = () => document.visibilityState === "visible" && context.state !== "closed" && context.resume();
    document.addEventListener("visibilitychange", this.wake);
    this.drained = new Promise((resolve) => {
      node.port.onmessage = ({ data }) => (data.done ? resolve() : onframe(data));
    });
    media.getAudioTracks()[0].addEventListener("ended", onend);
  }

  /** Close it; the last frame is given before this resolves. */
  async close() {
    if (this.context.state === "closed") return;
    this.closing = true;
    document.removeEventListener("visibilitychange", this.wake);
    this.node.port.postMessage("close");
    await Promise.race([this.drained, new Promise((resolve) => setTimeout(resolve, 500))]);
    this.media.getTracks().forEach((track) => track.stop());
    if (this.context.state !== "closed") await this.context.close();
  }
}
