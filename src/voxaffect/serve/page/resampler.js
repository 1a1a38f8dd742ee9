// From a microphone's rate to 16 kHz, piece by piece: a low-pass filter (a sinc under Kaiser's window) read at the
// moments of the new samples. What is above 8 kHz is taken away, not folded down.
//
// Source: Smith, "Digital Audio Resampling", ccrma.stanford.edu/~jos/resample, the filter kept as a table.

const ZEROS = 24; // crossings of zero on each side: how steep
const BETA = 9; // of Kaiser's window: 90 dB down
const PHASES = 256; // entries of the table for each crossing
const ROLLOFF = 0.92; // of half the lower rate: where the filter begins to fall

export class Resampler {
  constructor(from, to) {
    this.step = from / to;
    this.cutoff = ROLLOFF * Math.min(1, to / from);
    this.reach = Math.ceil(ZEROS / this.cutoff);
    this.table = table();
    this.held = new Float32Array(this.reach); // silence before the beginning
    this.position = this.reach; // of the next sample to make, within what is held
  }

  /** The new samples (Float32Array) that `piece` makes possible. */
  feed(piece) {
    const input = new Float32Array(this.held.length + piece.length);
    input.set(this.held);
    input.set(piece, this.held.length);
    const output = [];
    while (this.position + this.reach < input.length) {
      output.push(this.#sample(input));
      this.position += this.step;
    }
    const spent = Math.max(0, Math.floor(this.position) - this.reach);
    this.held = input.slice(spent);
    this.position -= spent;
    return Float32Array.from(output);
  }

  #sample(input) {
    const first = Math.max(0, Math.ceil(this.position - this.reach));
    const last = Math.floor(this.position + this.reach);
    const scale = this.cutoff * PHASES;
    let sum = 0;
    for (let i = first; i <= last; i++) {
      const place = Math.abs(i - this.position) * scale;
      const entry = place | 0;
      if (entry + 1 >= this.table.length) continue;
      sum += input[i] * (this.table[entry] + (place - entry) * (this.table[entry + 1] - this.table[entry]));
    }
    return sum * this.cutoff;
  }
}

function table() {
  const values = new Float32Array(ZEROS * PHASES + 1);
  for (let i = 0; i < values.length; i++) {
    const x = i / PHASES;
    const sinc = x ? Math.sin(Math.PI * x) / (Math.PI * x) : 1;
    values[i] = (sinc * bessel(BETA * Math.sqrt(Math.max(0, 1 - (x / ZEROS) ** 2)))) / bessel(BETA);
  }
  return values;
}

/** The modified Bessel function I0, by its series. */
function bessel(x) {
  let [sum, term] = [1, 1];
  for (let k = 1; k < 40; k++) {
    term *= (x / (2 * k)) ** 2;
    sum += term;
  }
  return sum;
}
