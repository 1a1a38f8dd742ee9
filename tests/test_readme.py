"""What README.md, CONTRIBUTING.md and docs/ tell people to type is understood, and what they point at is there."""

from __future__ import annotations

import argparse
import contextlib
import doctest
import io
import re
import shlex
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

from voxaffect.cli import COMMANDS, add_common_arguments

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = sorted([*ROOT.glob("README.md"), *ROOT.glob("CONTRIBUTING.md"), *ROOT.glob("docs/*.md")])
SHELLS = ("sh", "bash", "shell", "console")
FOLDERS = ("benchmarks", "docs", "recipes", "results", "src", "tests")

FENCE = re.compile(r"^ *```(\w*)[^\n]*\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`([^`\n]+)`")
LINK = re.compile(r"\]\(([^)\s]+)\)")
PLACE = re.compile(rf"(?<![\w./-])(?:{'|'.join(FOLDERS)})/[\w.*/-]*[\w*/]")
REDIRECTION = re.compile(r"(?<=\s)\d?(?:>{1,2}|<)(?:&\d|\s*[\w./-]+)")
BLANK = re.compile(r"^\W*([A-Z]+_[A-Z_]+)\W*$", re.MULTILINE)
"""A line of nothing but CAPITALS_AND_UNDERSCORES waits for someone to fill it in."""


def problems(text: str, folder: Path, root: Path = ROOT) -> list[str]:
    """What is wrong with the Markdown `text`, whose relative links start from `folder`."""
    return [
        *_commands(text),
        *_targets(text, root),
        *_code(text),
        *_links(text, folder),
        *_places(text, root),
    ] + [f"left blank: {word}" for word in BLANK.findall(text)]


def unmentioned(text: str) -> list[str]:
    """The sub-commands that `text` never shows."""
    return [name for name in COMMANDS if not re.search(rf"voxaffect {name}\b", text)]


def _commands(text: str) -> Iterator[str]:
    for words in _shell(text):
        if Path(words[0]).name == "voxaffect" and (reason := _refusal(words[1:])):
            yield f"{shlex.join(words)}: {reason}"
    for code in INLINE.findall(FENCE.sub("", text)):
        match code.split():
            case ["voxaffect", name, *_] if name[0] != "-" and name.islower() and name not in COMMANDS:
                yield f"{code}: no command {name}"


def _shell(text: str) -> Iterator[list[str]]:
    """The words of every simple command in the shell blocks."""
    for language, block in FENCE.findall(text):
        if language not in SHELLS:
            continue
        for line in block.replace("\\\n", " ").splitlines():
            line = REDIRECTION.sub(" ", line.strip().removeprefix("$ "))
            lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
            lexer.whitespace_split, lexer.commenters = True, "#"
            command: list[str] = []
            for word in lexer:
                if word[0] in "|&;()":
                    yield from _simple(command)
                    command = []
                else:
                    command.append(word)
            yield from _simple(command)


def _simple(words: list[str]) -> Iterator[list[str]]:
    """Without `do`, `then` and assignments in front; nothing if nothing is left."""
    while words and (words[0] in ("do", "then", "time") or re.match(r"\w+=", words[0])):
        words = words[1:]
    if words:
        yield words


def _refusal(words: list[str]) -> str:
    """Why the command's own parser refuses `words`; empty if it does not."""
    if words and words[0] in ("-h", "--help", "help", "-V", "--version"):
        return ""
    if not words or words[0] not in COMMANDS:
        return f"no command {words[0] if words else ''!r}"
    parser = argparse.ArgumentParser(prog=words[0], allow_abbrev=False)  # as voxaffect.cli makes them
    import_module(COMMANDS[words[0]][0]).add_arguments(parser)
    add_common_arguments(parser)
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
            parser.parse_args(words[1:])
    except SystemExit as stop:
        return "" if stop.code == 0 else said.getvalue().strip().splitlines()[-1]
    return ""


def _targets(text: str, root: Path) -> Iterator[str]:
    known = set(re.findall(r"^([\w-]+):", (root / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    lines = [shlex.join(words) for words in _shell(text)] + INLINE.findall(FENCE.sub("", text))
    for line in lines:
        match line.split():
            case ["make", *names]:
                yield from (
                    f"make {name}: no such target" for name in names if name not in known and "=" not in name
                )


def _code(text: str) -> Iterator[str]:
    for language, block in FENCE.findall(text):
        if language not in ("python", "pycon"):
            continue
        examples = (
            [e.source for e in doctest.DocTestParser().get_examples(block)] if ">>>" in block else [block]
        )
        for source in examples:
            try:
                compile(source, "example", "exec")
            except SyntaxError as error:
                yield f"python: {error}"


def _links(text: str, folder: Path) -> Iterator[str]:
    prose = FENCE.sub("", text)
    for target in LINK.findall(prose):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, section = target.partition("#")
        file = folder / path
        if path and not file.exists():
            yield f"link: no {target}"
        elif section and section not in _sections(file.read_text(encoding="utf-8") if path else prose):
            yield f"link: no section #{section}"


def _sections(text: str) -> set[str]:
    """The headings as GitHub names them in links."""
    headings = re.findall(r"^#+ +(.*)$", FENCE.sub("", text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def _places(text: str, root: Path) -> Iterator[str]:
    for place in PLACE.findall(LINK.sub("]", text)):
        pattern = re.sub(r"[A-Z]{2,}", "*", place)  # src/voxaffect/corpora/NAME.py stands for any
        if not (root / place).exists() and not any(root.glob(pattern.rstrip("/"))):
            yield f"path: no {place}"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_what_a_document_says_is_so(document: Path) -> None:
    assert problems(document.read_text(encoding="utf-8"), document.parent) == []


def test_every_command_is_in_the_readme() -> None:
    assert unmentioned((ROOT / "README.md").read_text(encoding="utf-8")) == []


def test_the_readme_shows_commands_and_python() -> None:
    """The checks above would be content with an empty file."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert sum(words[0] == "voxaffect" for words in _shell(text)) >= 5
    assert any(language == "python" for language, _ in FENCE.findall(text))


BAD = [
    ("```sh\nvoxaffect predict x.wav --loudly\n```", "unrecognized arguments: --loudly"),
    ("```sh\nvoxaffect predct x.wav\n```", "no command 'predct'"),
    ("```sh\nvoxaffect\n```", "no command ''"),
    ("```bash\n$ voxaffect train recipes/bundled.toml\n```", "required: -o/--output"),
    (
        "```sh\ncat a | LC_ALL=C voxaffect predict - --json-ish > out.txt\n```",
        "unrecognized arguments: --json-ish",
    ),
    (
        "```sh\nvoxaffect train recipes/bundled.toml \\\n    -o run --jobs many\n```",
        "invalid int value: 'many'",
    ),
    ("```sh\nfor f in *; do .venv/bin/voxaffect models sing; done\n```", "invalid choice: 'sing'"),
    ("Try `voxaffect sing x.wav`.", "no command sing"),
    ("```sh\nmake demo\nmake coffee   # strong\n```", "make coffee: no such target"),
    ("Then `make tea`.", "make tea: no such target"),
    ("See [how](docs/nowhere.md).", "link: no docs/nowhere.md"),
    ("# One\n\nSee [two](#two).", "link: no section #two"),
    ("The recipe recipes/nothing.toml is missing.", "path: no recipes/nothing.toml"),
    ("```sh\nvoxaffect evaluate results/nothing\n```", "path: no results/nothing"),
    ("Add src/voxaffect/corpuses/NAME.py to it.", "path: no src/voxaffect/corpuses/NAME.py"),
    ("```python\nprint(1\n```", "python: "),
    ("```python\n>>> 1 +\n```", "python: "),
    ("It prints\n\n```\nDEMO_OUTPUT\n```", "left blank: DEMO_OUTPUT"),
]


@pytest.mark.parametrize(("text", "problem"), BAD, ids=[problem for _, problem in BAD])
def test_a_bad_document_is_found_out(text: str, problem: str) -> None:
    (found,) = problems(text, ROOT)
    assert problem in found


GOOD = """# A title, with `code`

See [above](#a-title-with-code), [the licence](LICENSE), [elsewhere](https://example.org/docs/x.md).

```sh
# a comment: voxaffect nonsense
FOO=1 voxaffect predict my.m4a *.wav -f csv,json -o out/ 2>/dev/null | head   # and another
voxaffect --version && voxaffect predict --help
voxaffect train recipes/bundled.toml -o runs/x \\
    --set training.epochs=1
make demo
```

```python
>>> 1 + 1
2
```

Make sure that `tests/test_NAME.py` and src/voxaffect/cli/ are read; `make test` runs them, and
`voxaffect COMMAND --help` helps.
"""


def test_a_good_document_passes() -> None:
    assert problems(GOOD, ROOT) == []


def test_a_command_that_is_not_shown_is_missed() -> None:
    shown = "\n".join(f"voxaffect {name}" for name in COMMANDS if name != "train")
    assert unmentioned(f"{shown}\nvoxaffect trainer") == ["train"]
