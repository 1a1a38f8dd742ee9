// The result as a file, in every format that the server writes.

import { formatted } from "./api.js";
import { announce, element } from "./dom.js";

/** A list of buttons for `formats` (name to meaning); files are called `stem` and the format's ending. */
export function downloads(result, formats, stem) {
  const problem = element("p", { class: "problem", role: "alert", hidden: true });
  const save = async (name, button) => {
    button.disabled = true;
    problem.hidden = true;
    try {
      const { blob, extension } = await formatted(result, name);
      offer(blob, `${stem}${extension}`);
      announce(`${stem}${extension} is saved`);
    } catch (error) {
      problem.textContent = `${name}: ${error.message}${error.hint ? `; ${error.hint}` : ""}`;
      problem.hidden = false;
    }
    button.disabled = false;
  };
  const items = Object.entries(formats).map(([name, meaning]) => {
    const button = element("button", { type: "button", "data-format": name }, element("b", { text: name }), element("small", { text: meaning }));
    button.addEventListener("click", () => save(name, button));
    return element("li", {}, button);
  });
  return [element("ul", { class: "formats" }, ...items), problem];
}

function offer(blob, name) {
  const url = URL.createObjectURL(blob);
  const link = element("a", { href: url, download: name });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}
