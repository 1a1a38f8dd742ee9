// A colour for each label, the same as in the pictures that `voxaffect predict --plot` draws: Okabe and Ito's palette,
// which colour-blind readers can tell apart, with a grey for neutral. A test holds the two together.

const OWN = {
  angry: "#D55E00",
  happy: "#E69F00",
  neutral: "#8C96A0",
  sad: "#0072B2",
  calm: "#56B4E9",
  fearful: "#CC79A7",
  disgust: "#009E73",
  surprised: "#F0E442",
};
const OTHERS = ["#F0E442", "#CC79A7", "#009E73", "#56B4E9", "#E69F00", "#0072B2", "#D55E00", "#5B4A8A", "#7A5230"];

/** Colours by label: an emotion's own, for others those that are left, for too many some twice. */
export function labelColours(labels) {
  const colours = {};
  for (const label of labels) if (Object.hasOwn(OWN, label)) colours[label] = OWN[label];
  for (const label of labels) {
    if (Object.hasOwn(colours, label)) continue;
    const taken = Object.values(colours);
    const free = OTHERS.filter((colour) => !taken.includes(colour));
    const left = free.length ? free : OTHERS;
    colours[label] = left[taken.length >= OTHERS.length ? taken.length % left.length : 0];
  }
  return colours;
}

/** Black or white, whichever can be read better on `colour` (#rrggbb; WCAG 2.2, relative luminance). */
export function inkOn(colour) {
  const [red, green, blue] = [1, 3, 5].map((at) => {
    const part = Number.parseInt(colour.slice(at, at + 2), 16) / 255;
    return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
  });
  const light = 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  return 1.05 / (light + 0.05) > (light + 0.05) / 0.05 ? "#ffffff" : "#000000";
}

/** The page's own colours, as light or dark has them now. */
export function theme() {
  const style = getComputedStyle(document.documentElement);
  return Object.fromEntries(
    ["ground", "panel", "ink", "soft", "line", "edge", "faint", "silent"].map((name) => [
      name,
      style.getPropertyValue(`--${name}`).trim(),
    ]),
  );
}
