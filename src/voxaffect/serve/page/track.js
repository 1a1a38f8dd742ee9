// Overlapping windows as tracks without overlap, as the package has them: each moment belongs to the window around it
// whose centre is nearest, the earlier of two that are as near. Moments without a window have no label.

const ms = (seconds) => Math.round(1000 * seconds);

/** The stretches `{start, end, segment}` of one channel's `segments`, in seconds and in order, without overlap. */
export function cells(segments) {
  const windows = segments
    .map((segment) => ({ start: Math.max(0, ms(segment.start)), end: ms(segment.end), segment }))
    .filter((window) => window.end > window.start)
    .sort((a, b) => a.start - b.start || a.end - b.end);
  const edges = [...new Set(windows.flatMap((window) => [window.start, window.end]))].sort((a, b) => a - b);
  const stretches = [];
  let around = [];
  let next = 0;
  for (let e = 0; e + 1 < edges.length; e++) {
    const [left, right] = [edges[e], edges[e + 1]];
    around = around.filter((window) => window.end > left);
    while (next < windows.length && windows[next].start <= left) around.push(windows[next++]);
    around.sort((a, b) => a.start + a.end - b.start - b.end);
    let at = left;
    around.forEach((window, i) => {
      const centre = window.start + window.end;
      if (i > 0 && around[i - 1].start + around[i - 1].end === centre) return;
      const after = around.slice(i + 1).find((other) => other.start + other.end > centre);
      const edge = after ? Math.min(right, Math.floor((centre + after.start + after.end + 2) / 4)) : right;
      if (edge > at) {
        stretches.push({ start: at / 1000, end: edge / 1000, segment: window.segment });
        at = edge;
      }
    });
  }
  return stretches;
}

/** `cells` with neighbours of the same label and certainty as one; the score is the mean over time. */
export function pieces(stretches) {
  const joined = [];
  for (const { start, end, segment } of stretches) {
    const last = joined.at(-1);
    if (last && last.end === start && last.label === segment.label && last.uncertain === segment.uncertain) {
      last.weighted += segment.score * (end - start);
      last.end = end;
    } else {
      const { label, uncertain } = segment;
      joined.push({ start, end, label, uncertain, weighted: segment.score * (end - start) });
    }
  }
  return joined.map(({ weighted, ...piece }) => ({ ...piece, score: weighted / (piece.end - piece.start) }));
}

/** Which of the ordered `stretches` holds the moment `seconds`; null where none does. */
export function at(stretches, seconds) {
  let [low, high] = [0, stretches.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (stretches[middle].end > seconds) high = middle;
    else low = middle + 1;
  }
  const found = stretches[low];
  return found && found.start <= seconds ? found : null;
}

/** The tracks of `result`: `{channel, name, cells, pieces, summary}` for each channel that was judged. */
export function tracksOf(result) {
  const channels = new Map(result.summary.map((summary) => [summary.channel, { summary, segments: [] }]));
  for (const segment of result.segments) {
    if (!channels.has(segment.channel)) channels.set(segment.channel, { summary: null, segments: [] });
    channels.get(segment.channel).segments.push(segment);
  }
  const mixed = (result.settings?.channels ?? "mix") === "mix";
  return [...channels]
    .sort(([a], [b]) => a - b)
    .map(([channel, { summary, segments }]) => {
      const stretches = cells(segments);
      const role = summary?.role ?? segments.find((segment) => segment.role)?.role;
      const name = role ?? (mixed ? "" : `channel ${channel}`);
      return { channel, name, summary, cells: stretches, pieces: pieces(stretches) };
    });
}
