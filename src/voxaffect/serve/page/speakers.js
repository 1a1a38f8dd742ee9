// Who speaks on which channel: a dialog that has a recording judged by roles, and asks what the law wants to know.

import { Problem } from "./api.js";
import { byId, element, sentence } from "./dom.js";

/** Ask who speaks on the `channels` channels of a recording that was judged with `options`, and have it judged anew by
 *  `judge(options, signal)`: `{channels, names, only, lawful}`. Comes back with `{result, options}`, or with null where
 *  nothing is to change. What the server refuses is shown in the dialog; a Problem `unauthorised` is thrown. */
export function askSpeakers({ channels, options, judge }) {
  const dialog = byId("speakers");
  const form = byId("speakers-form");
  const only = byId("speakers-only");
  const lawful = byId("speakers-lawful");
  const submit = byId("speakers-submit");
  const over = new AbortController(); // of the listeners, and of a request that is under way
  const fields = Array.from({ length: channels }, (_, channel) => field(channel, options.names?.[channel]));
  byId("speakers-rows").replaceChildren(...fields.map(({ row }) => row));

  const names = () =>
    Object.fromEntries(fields.map(({ input }, channel) => [channel, input.value.trim()]).filter(([, name]) => name));

  const offerOnly = (chosen = only.value) => {
    const distinct = [...new Set(Object.values(names()))];
    const option = (value, text) => element("option", { value, text, selected: value === chosen });
    only.replaceChildren(option("", "everyone"), ...distinct.map((name) => option(name, `only ${name}`)));
  };

  const complain = (problem) => {
    const prohibited = problem?.code === "prohibited_role";
    byId("speakers-problem").hidden = !problem;
    byId("speakers-why").textContent = problem ? sentence(problem.message) : "";
    byId("speakers-hint").textContent = prohibited
      ? "Judge only the others, or say that you are allowed to:"
      : sentence(problem?.hint || (problem?.retryAfter ? `try again in ${problem.retryAfter} s` : "try again"));
    byId("speakers-basis").hidden = !prohibited;
    if (prohibited) lawful.focus();
  };

  const busy = (is) => {
    submit.disabled = is;
    submit.textContent = is ? "Listening …" : "Judge";
    form.setAttribute("aria-busy", String(is));
  };

  const changed = () => {
    lawful.checked = false; // it was said of other names
    complain(null);
    offerOnly();
  };

  lawful.checked = false;
  complain(null);
  busy(false);
  offerOnly(options.only ?? "");
  dialog.showModal();
  fields[0].input.focus();

  return new Promise((resolve, reject) => {
    const end = (settle, value) => {
      over.abort();
      dialog.close();
      settle(value);
    };
    const send = async () => {
      const asked = { channels: "split", names: names(), only: only.value, lawful: lawful.checked };
      busy(true);
      try {
        const result = await judge(asked, over.signal);
        if (!over.signal.aborted) end(resolve, { result, options: asked });
      } catch (problem) {
        if (over.signal.aborted) return;
        busy(false);
        if (problem instanceof Problem && problem.code !== "unauthorised") complain(problem);
        else end(reject, problem);
      }
    };
    const listen = (target, kind, then) => target.addEventListener(kind, then, { signal: over.signal });
    listen(form, "submit", (event) => {
      event.preventDefault();
      send();
    });
    listen(byId("speakers-rows"), "input", changed);
    listen(only, "change", changed);
    listen(byId("speakers-cancel"), "click", () => dialog.close());
    listen(dialog, "close", () => end(resolve, null));
  });
}

/** The row of a channel: its input, with the name that it has. */
function field(channel, name) {
  const id = `speaker-${channel}`;
  const input = element("input", { id, type: "text", maxlength: "60", autocomplete: "off", spellcheck: "false", value: name });
  input.addEventListener("input", () =>
    input.setCustomValidity(input.value.includes(",") ? "A name has no comma: commas stand between names." : ""),
  );
  return { input, row: element("div", {}, element("label", { for: id, text: `Channel ${channel}` }), input) };
}
