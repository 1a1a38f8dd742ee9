// Elements and words that every part of the page uses. Text is always set as text, never as HTML.

export const byId = (id) => document.getElementById(id);

/** An element with `attributes` (`class`, `text`, on* handlers, all else as attributes) and `children`. */
export function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "text") made.textContent = value;
    else if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

/** `made` with the colour `tone`; set through the object model, which a strict policy allows. */
export function toned(made, tone) {
  made.style.setProperty("--tone", tone);
  return made;
}

/** Seconds as 0:07, 12:34 or 1:02:03; with `decimals` as 0:07.3. */
export function clock(seconds, decimals = 0) {
  const unit = 10 ** decimals;
  let rest = Math.floor(Math.max(0, seconds) * unit + 1e-6);
  const fraction = decimals ? `.${String(rest % unit).padStart(decimals, "0")}` : "";
  rest = Math.floor(rest / unit);
  const [hours, minutes, left] = [Math.floor(rest / 3600), Math.floor(rest / 60) % 60, rest % 60];
  const tail = `${String(left).padStart(2, "0")}${fraction}`;
  return hours ? `${hours}:${String(minutes).padStart(2, "0")}:${tail}` : `${minutes}:${tail}`;
}

/** `text` as a sentence of its own. */
export const sentence = (text) => `${text[0].toUpperCase()}${text.slice(1)}${/[.!?]$/.test(text) ? "" : "."}`;

export const percent = (share) => `${Math.round(100 * share)} %`;

/** A number of bytes in MiB, as the server says it. */
export const mebibytes = (bytes) => `${Number((bytes / 2 ** 20).toPrecision(3))} MiB`;

export const calm = () => matchMedia("(prefers-reduced-motion: reduce)").matches;

/** Have a screen reader say `text` when it is done with what it says. */
export function announce(text) {
  byId("announcer").textContent = text;
}

/** Words for where nothing can be said. */
export const REASONS = {
  no_speech: "no speech",
  too_short: "too short to say",
  low_confidence: "too unsure to say",
};

export const reasonWords = (reason) => REASONS[reason] ?? String(reason ?? "nothing to say").replaceAll("_", " ");
