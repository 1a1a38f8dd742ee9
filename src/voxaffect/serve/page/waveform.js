// How loud a recording is over time, decoded by the browser; and recordings of our own as WAV.

const RATE = 8000; // enough for a picture, and the least that browsers decode to
const BLOCK = 64; // samples of a peak: 8 ms
const MAX_SECONDS = 1800; // decoding takes 32 kB a second and channel; longer recordings are shown without it

/** `{channels: [peaks], perSecond}` of `blob`; null where the browser cannot decode it, or it is long. */
export async function peaksOf(blob, seconds) {
  if (!(seconds > 0) || seconds > MAX_SECONDS) return null;
  try {
    const context = new OfflineAudioContext(1, 1, RATE);
    const decoded = await context.decodeAudioData(await blob.arrayBuffer());
    const channels = Array.from({ length: decoded.numberOfChannels }, (_, c) => blockPeaks(decoded.getChannelData(c)));
    return { channels, perSecond: decoded.sampleRate / BLOCK };
  } catch {
    return null;
  }
}

function blockPeaks(samples) {
  const peaks = new Float32Array(Math.ceil(samples.length / BLOCK));
  for (let i = 0; i < samples.length; i++) {
    const size = Math.abs(samples[i]);
    const block = (i / BLOCK) | 0;
    if (size > peaks[block]) peaks[block] = size;
  }
  return peaks;
}

/** The peak between two moments of one channel, or of all for a mix, as a share of the loudest; null beyond the end. */
export function loudness(peaks, channel) {
  const chosen = channel === null ? peaks.channels : [peaks.channels[Math.min(channel, peaks.channels.length - 1)]];
  const top = Math.max(0.02, ...peaks.channels.map((each) => each.reduce((a, b) => Math.max(a, b), 0)));
  const n = chosen[0].length;
  return (from, to) => {
    const first = Math.max(0, Math.floor(from * peaks.perSecond));
    const last = Math.min(n, Math.max(first + 1, Math.floor(to * peaks.perSecond)));
    if (first >= n || to <= 0) return null;
    let peak = 0;
    for (const each of chosen) for (let i = first; i < last; i++) if (each[i] > peak) peak = each[i];
    return peak / top;
  };
}

/** 16-bit mono `chunks` (Int16Array) as a WAV. */
export function wavOf(chunks, rate) {
  const bytes = 2 * chunks.reduce((sum, chunk) => sum + chunk.length, 0);
  const header = new DataView(new ArrayBuffer(44));
  const text = (at, letters) => [...letters].forEach((letter, i) => header.setUint8(at + i, letter.charCodeAt(0)));
  text(0, "RIFF");
  header.setUint32(4, 36 + bytes, true);
  text(8, "WAVEfmt ");
  header.setUint32(16, 16, true);
  header.setUint16(20, 1, true);
  header.setUint16(22, 1, true);
  header.setUint32(24, rate, true);
  header.setUint32(28, 2 * rate, true);
  header.setUint16(32, 2, true);
  header.setUint16(34, 16, true);
  text(36, "data");
  header.setUint32(40, bytes, true);
  return new Blob([header, ...chunks], { type: "audio/wav" });
}
