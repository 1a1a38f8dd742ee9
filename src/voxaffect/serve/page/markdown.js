// The part of Markdown that model cards use, as elements: headings, lists, tables, paragraphs; bold, italic, code, links.
// Nothing in a card becomes HTML, and only links to http(s) become links.

import { element } from "./dom.js";

const INLINE = /\*\*(.+?)\*\*|(?<![\w*])\*(?!\s)(.+?)\*|`([^`]+)`|\[([^\]]+)\]\((https?:\/\/[^\s)]+)\)/g;

/** The elements of `text`; its headings begin at level `top`. */
export function markdown(text, top = 3) {
  const blocks = text.replaceAll("\r\n", "\n").split(/\n{2,}/);
  return blocks.filter((block) => block.trim()).flatMap((block) => blockOf(block.trim().split("\n"), top));
}

function blockOf(lines, top) {
  const heading = /^(#{1,6})\s+(.*)$/.exec(lines[0]);
  if (heading) {
    const level = Math.min(6, heading[1].length + top - 1);
    const made = element(`h${level}`, {}, ...inline(heading[2]));
    return lines.length > 1 ? [made, ...blockOf(lines.slice(1), top)] : [made];
  }
  if (/^[-*]\s/.test(lines[0])) return [list(lines)];
  if (lines.length > 1 && lines[0].startsWith("|") && /^\|[-|: ]+\|?$/.test(lines[1])) return [table(lines)];
  return [element("p", {}, ...inline(lines.join(" ")))];
}

function list(lines) {
  const items = [];
  for (const line of lines) {
    const item = /^[-*]\s+(.*)$/.exec(line);
    if (item) items.push(item[1]);
    else items[items.length - 1] += ` ${line.trim()}`;
  }
  return element("ul", {}, ...items.map((item) => element("li", {}, ...inline(item))));
}

function table(lines) {
  const cellsOf = (line) => line.replace(/^\||\|$/g, "").split("|").map((cell) => cell.trim());
  const row = (line, kind) => element("tr", {}, ...cellsOf(line).map((cell) => element(kind, {}, ...inline(cell))));
  const body = lines.slice(2).map((line) => row(line, "td"));
  const made = element("table", {}, element("thead", {}, row(lines[0], "th")), element("tbody", {}, ...body));
  return element("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Table" }, made);
}

function inline(text) {
  const parts = [];
  let from = 0;
  for (const found of text.matchAll(INLINE)) {
    parts.push(text.slice(from, found.index));
    const [all, bold, italic, code, words, address] = found;
    if (bold) parts.push(element("strong", { text: bold }));
    else if (italic) parts.push(element("em", { text: italic }));
    else if (code) parts.push(element("code", { text: code }));
    else parts.push(element("a", { href: address, rel: "noreferrer", text: words }));
    from = found.index + all.length;
  }
  return [...parts, text.slice(from)].filter((part) => part !== "");
}
