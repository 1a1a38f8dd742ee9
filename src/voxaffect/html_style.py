"""The look of our HTML pages: one style sheet, light and dark, for screens of any width and for paper.

Colours are those of Okabe and Ito, which colour-blind readers can tell apart; heat runs from the page's ground to
blue in equal steps, with the ink that can be read on it.
"""

from __future__ import annotations

HEAT_STEPS = 20
"""Steps of a heat table's colour."""
Colour = tuple[int, int, int]

LIGHT_HEAT: tuple[Colour, Colour] = (247, 249, 251), (8, 70, 130)
DARK_HEAT: tuple[Colour, Colour] = (30, 34, 40), (120, 185, 245)


def heat_colour(ends: tuple[Colour, Colour], share: float) -> tuple[str, str]:
    """Ground and ink of a cell whose heat is `share`, as `#rrggbb`; the ink is black or white, whichever has the
    higher contrast (WCAG 2.2, relative luminance)."""
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(*ends, strict=True))
    light = luminance((red, green, blue))
    white = 1.05 / (light + 0.05) > (light + 0.05) / 0.05
    return f"#{red:02x}{green:02x}{blue:02x}", "#ffffff" if white else "#000000"


def luminance(colour: Colour) -> float:
    """The relative luminance of an sRGB colour, 0 to 1 (WCAG 2.2)."""
    linear = [x / 12.92 if (x := c / 255) <= 0.04045 else ((x + 0.055) / 1.055) ** 2.4 for c in colour]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _heat_rules(ends: tuple[Colour, Colour]) -> str:
    rules = []
    for step in range(HEAT_STEPS + 1):
        ground, ink = heat_colour(ends, step / HEAT_STEPS)
        rules.append(f".h{step}{{background:{ground};color:{ink}}}")
    return "".join(rules)


_LIGHT = """--ground:#fff;--ink:#1b1f24;--soft:#59636e;--line:#c9d1d9;--faint:#eef1f4;--alarm:#b00020;
--alarm-ink:#fff;--c1:#0072b2;--c2:#c04a00;--c3:#00785a;--c4:#8a4f7d;--mute:#8a95a1;--panel:#fff"""
_DARK = """--ground:#14171b;--ink:#e6e9ed;--soft:#a3adb8;--line:#3b434c;--faint:#20252b;--alarm:#ff5c6c;
--alarm-ink:#14171b;--c1:#62b5f0;--c2:#f0904a;--c3:#4cc9a0;--c4:#d9a0cc;--mute:#7d8894;--panel:#f4f5f6"""

STYLE = (
    ":root{color-scheme:light dark;" + _LIGHT + "}"
    "@media(prefers-color-scheme:dark){:root{" + _DARK + "}}\n" + _heat_rules(LIGHT_HEAT) + "\n"
    "@media(prefers-color-scheme:dark){" + _heat_rules(DARK_HEAT) + "}"
    """
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%}
body{margin:0 auto;max-width:62rem;padding:2.5rem 1.25rem 4rem;background:var(--ground);color:var(--ink);
font:1rem/1.55 system-ui,-apple-system,"Segoe UI","Helvetica Neue",Arial,sans-serif;overflow-wrap:break-word}
h1{font-size:1.75rem;line-height:1.2;letter-spacing:-.01em;margin:0 0 .75rem}
h2{font-size:1.25rem;line-height:1.3;margin:0 0 .75rem;padding-top:.9rem;border-top:1px solid var(--line)}
h3{font-size:1.05rem;line-height:1.35;margin:1.75rem 0 .5rem}
h4,h5,h6{font-size:1rem;margin:1.25rem 0 .4rem}
main>section{margin-top:3rem}
p,ul,ol,dl{margin:0 0 .9rem;max-width:44rem}
a{color:var(--c1)}
code{font:.9em ui-monospace,"SF Mono",Menlo,Consolas,"Liberation Mono",monospace;overflow-wrap:anywhere}
nav{margin:1.75rem 0 0}
nav ol{columns:3 14rem;column-gap:2rem;padding-left:1.5rem;margin:0;max-width:none;font-size:.925rem}
dl>div{display:grid;grid-template-columns:9.5rem 1fr;gap:.1rem 1rem;padding:.2rem 0}
dt{color:var(--soft)}
dd{margin:0;min-width:0}
.soft,.note,footer{color:var(--soft)}
.note{font-size:.875rem;margin:.4rem 0 0}
figure{margin:1.25rem 0 1.75rem;min-width:0}
.scroll{overflow-x:auto}
.panels{display:flex;flex-wrap:wrap;gap:.75rem 2rem}
.beside{display:flex;flex-wrap:wrap;gap:0 2.5rem;align-items:flex-start}
.beside>*{min-width:0}
.beside figcaption{width:0;min-width:100%}
table{border-collapse:collapse;font-variant-numeric:tabular-nums lining-nums;font-size:.925rem;line-height:1.35}
figcaption{text-align:left;font-weight:600;font-size:.925rem;line-height:1.4;padding:0 0 .5rem;max-width:44rem}
th,td{padding:.28rem .7rem;vertical-align:baseline;unicode-bidi:isolate}
th:first-child,td:first-child{padding-left:0}
th:last-child,td:last-child{padding-right:0}
thead th{font-weight:600;color:var(--soft);vertical-align:bottom;border-bottom:1px solid var(--ink)}
table.plain{border-top:1.5px solid var(--ink);border-bottom:1.5px solid var(--ink)}
tfoot tr:first-child>*{border-top:1px solid var(--ink)}
tbody th,tfoot th{font-weight:400;text-align:left;max-width:22rem}
.l{text-align:left}.r{text-align:right;white-space:nowrap}.c{text-align:center}
.strong{font-weight:700}.short{white-space:nowrap}
table.compact{font-size:.9rem}
.compact td{min-width:3.9rem;padding:.3rem .25rem;text-align:center;border:2px solid var(--ground)}
.compact th{padding:.25rem .6rem .25rem 0}
.compact thead th{border:0;text-align:center;padding:.25rem 0;font-weight:400;font-size:.82rem}
.dense{gap:0 1.75rem}.dense .compact td{min-width:3.15rem;padding:.2rem 0}.dense .compact{font-size:.82rem}
.dense .compact thead th{font-size:.74rem}.dense figure{margin:.75rem 0 1rem}
.compact small{display:block;font-size:.72rem;opacity:.85}
figure img{max-width:100%;height:auto;background:var(--panel);padding:.35rem;border-radius:2px}
svg{display:block;max-width:none;font:12px system-ui,-apple-system,"Segoe UI","Helvetica Neue",Arial,sans-serif;
font-variant-numeric:tabular-nums}
svg text{fill:var(--ink)}svg .soft{fill:var(--soft)}svg .small{font-size:11px}svg .b{font-weight:600}
svg .end{text-anchor:end}svg .mid{text-anchor:middle}
.s-ink,.s-soft,.s-line,.s-c1,.s-c2,.s-c3,.s-c4,.s-mute,.s-ground{fill:none}
.s-ink{stroke:var(--ink)}.s-soft{stroke:var(--soft)}.s-line{stroke:var(--line)}.s-mute{stroke:var(--mute)}
.s-c1{stroke:var(--c1)}.s-c2{stroke:var(--c2)}.s-c3{stroke:var(--c3)}.s-c4{stroke:var(--c4)}
svg .f-ink{fill:var(--ink)}svg .f-soft{fill:var(--soft)}svg .f-faint{fill:var(--faint)}svg .f-line{fill:var(--line)}
svg .f-mute{fill:var(--mute)}svg .f-c1{fill:var(--c1)}svg .f-c2{fill:var(--c2)}svg .f-c3{fill:var(--c3)}
svg .f-c4{fill:var(--c4)}svg .f-alarm{fill:var(--alarm)}svg .f-ground{fill:var(--ground)}
.stamp{background:var(--alarm);color:var(--alarm-ink);font-weight:700;font-size:.78em;letter-spacing:.06em;
padding:.12em .45em;border-radius:2px;white-space:nowrap}
.banner{border:2px solid var(--alarm);padding:.7rem .9rem;max-width:none}
footer{margin-top:3.5rem;border-top:1px solid var(--line);padding-top:.9rem;font-size:.875rem}
@media(max-width:40rem){body{padding:1.25rem 1rem 3rem}h1{font-size:1.4rem}h2{font-size:1.15rem}
dl>div{grid-template-columns:1fr}td.l{min-width:5rem}
table{font-size:.85rem}th,td{padding:.28rem .38rem}.beside{gap:0 1.5rem}
.compact td{min-width:2.9rem}.compact thead th{font-size:.72rem}}
@media print{:root{"""
    + _LIGHT
    + "}"
    + _heat_rules(LIGHT_HEAT)
    + """
body{max-width:none;padding:0;font-size:10pt}nav{display:none}
table,figure,svg,.compact{break-inside:avoid}h1,h2,h3{break-after:avoid}main>section{margin-top:1.5rem}
td,.stamp,.banner{print-color-adjust:exact;-webkit-print-color-adjust:exact}.scroll{overflow:visible}
a{color:inherit;text-decoration:none}}
"""
)
"""The style sheet of `voxaffect.html_page`."""
