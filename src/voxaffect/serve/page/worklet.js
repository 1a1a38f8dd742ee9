// Runs beside the microphone: 16-bit samples at 16 kHz in frames of 100 ms, and how loud they are.

import { Resampler } from "./resampler.js";

const RATE = 16000;
const FRAME = 1600;
const BLOCK = 400; // samples of a peak: 25 ms

class Microphone extends AudioWorkletProcessor {
  constructor() {
    super();
    this.resampler = new Resampler(sampleRate, RATE);
    this.frame = new Int16Array(FRAME);
    this.filled = 0;
    this.open = true;
    this.port.onmessage = () => {
      this.#send(); // the last frame is shorter
      this.port.postMessage({ done: true });
      this.open = false;
    };
  }

  process([input]) {
    if (!this.open) return false;
    if (!input.length) return true;
    for (const sample of this.resampler.feed(this.#mono(input))) {
      this.frame[this.filled++] = Math.round(Math.max(-1, Math.min(1, sample)) * 32767);
      if (this.filled === FRAME) this.#send();
    }
    return true;
  }

  #mono(channels) {
    if (channels.length === 1) return channels[0];
    return channels[0].map((_, i) => channels.reduce((sum, channel) => sum + channel[i], 0) / channels.length);
  }

  #send() {
    if (!this.filled) return;
    const samples = this.frame.slice(0, this.filled);
    const peaks = [];
    for (let at = 0; at < samples.length; at += BLOCK) {
      peaks.push(samples.subarray(at, at + BLOCK).reduce((peak, each) => Math.max(peak, Math.abs(each)), 0) / 32768);
    }
    this.filled = 0;
    this.port.postMessage({ samples, peaks }, [samples.buffer]);
  }
}

registerProcessor("microphone", Microphone);
