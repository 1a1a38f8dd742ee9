// The panel about the model: labels, terms, limits, and its card.

import { labelColours } from "./colours.js";
import { clock, element, mebibytes, percent, toned } from "./dom.js";
import { markdown } from "./markdown.js";

/** What `GET /v1/models` said, for people. */
export function card({ models, limits, version }) {
  const model = models.find((each) => each.default) ?? models[0];
  const colours = labelColours(model.labels);
  const labels = model.labels.map((label) => element("span", {}, toned(element("span", { class: "swatch" }), colours[label]), label));
  const voters = model.members === 1 ? "one model, so no vote" : `${model.members} members, ${model.vote} vote`;
  const entries = [
    ["Model", `${model.name} ${model.version}`],
    ["Tells apart", element("span", { class: "chips" }, ...labels)],
    ["Licence", model.licence],
    ["Answers by", voters],
    ["Looks at", model.window ? `${model.window} s at a time, every ${model.hop} s` : "a recording as a whole"],
    ["Uncertain", `below ${percent(model.uncertain_below)}, or where no more than half of the members agree`],
    ["Takes", `files up to ${mebibytes(limits.bytes)} and ${clock(limits.seconds)}; ${limits.streams} live streams at a time`],
    ["Identity", element("code", { text: `sha256 ${model.sha256}` })],
    ["Server", `voxaffect ${version}`],
  ];
  const terms = entries.map(([name, value]) => element("div", {}, element("dt", { text: name }), element("dd", {}, value)));
  const text = markdown(model.card.replace(/^#\s.*\n/, ""));
  return [element("dl", { class: "terms" }, ...terms), element("div", { class: "card-text" }, ...text)];
}
