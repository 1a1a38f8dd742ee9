"""ELAN annotation documents: for each channel an aligned tier of labels, and tiers below it for score and doubt.

The labels are a controlled vocabulary. Silence has no annotation; `score@TIER` holds the score of each,
`certainty@TIER` says "uncertain" where it is. The same answer gives the same bytes, so the date that the schema wants
is 1970's.

Source: EAF 3.0, https://www.mpi.nl/tools/elan/EAF_Annotation_Format_3.0_and_ELAN.pdf
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from io import TextIOBase
from mimetypes import MimeTypes
from pathlib import Path
from typing import TextIO, cast
from urllib.parse import quote
from xml.sax.saxutils import XMLGenerator
from xml.sax.xmlreader import AttributesImpl

from voxaffect.audio_input import printable
from voxaffect.formats import DIGITS, only
from voxaffect.result import Result
from voxaffect.track import Piece, tracks

SUMMARY = "tiers for ELAN"
EXTENSION = ".eaf"
HOLDS = "timeline"
BINARY = False

UNNAMED = "emotion"
"""The tier of a mix of all channels."""
SCORE, CERTAINTY = "score", "certainty"
_ROOT = {
    "DATE": "1970-01-01T00:00:00+00:00",
    "FORMAT": "3.0",
    "VERSION": "3.0",
    "xmlns:xsi": "http://www.w3.org/2001/XMLSchema-instance",
    "xsi:noNamespaceSchemaLocation": "http://www.mpi.nl/tools/elan/EAFv3.0.xsd",
}
_ASSOCIATION = {
    "STEREOTYPE": "Symbolic_Association",
    "DESCRIPTION": "1-1 association with a parent annotation",
}


def write(results: Iterable[Result], stream: TextIO) -> None:
    """Write one document; raises UsageError `several_recordings`."""
    result = only(results)
    if result is None:
        return
    by = f"voxaffect, {result.model.name} {result.model.version}" if result.model else "voxaffect"
    tiers: list[tuple[str, str, tuple[Piece, ...]]] = []  # its name, whose voice, its pieces
    for track in tracks(result):
        name = track.name or UNNAMED
        while any(name in (other, f"{SCORE}@{other}", f"{CERTAINTY}@{other}") for other, _, _ in tiers):
            name += "'"
        tiers.append((name, track.name, track.pieces))
    xml = _Xml(stream)
    with xml.element("ANNOTATION_DOCUMENT", {"AUTHOR": by, **_ROOT}):
        _write_header(xml, result)
        with xml.element("TIME_ORDER"):
            edges = [edge for _, _, pieces in tiers for piece in pieces for edge in (piece.start, piece.end)]
            for i in sorted(range(len(edges)), key=lambda i: edges[i]):
                xml.empty(
                    "TIME_SLOT", {"TIME_SLOT_ID": f"ts{i + 1}", "TIME_VALUE": str(round(1000 * edges[i]))}
                )
        first = 1
        for name, who, pieces in tiers:
            _write_tiers(xml, name, {"PARTICIPANT": who, "ANNOTATOR": by}, pieces, first)
            first += len(pieces)
        vocabulary = {"CONTROLLED_VOCABULARY_REF": "emotion", "TIME_ALIGNABLE": "true"}
        dependent = {"CONSTRAINTS": "Symbolic_Association", "TIME_ALIGNABLE": "false"}
        for kind, attributes in (("emotion", vocabulary), (SCORE, dependent), (CERTAINTY, dependent)):
            xml.empty(
                "LINGUISTIC_TYPE",
                {"LINGUISTIC_TYPE_ID": kind, "GRAPHIC_REFERENCES": "false", **attributes},
            )
        xml.empty("LANGUAGE", {"LANG_ID": "und", "LANG_LABEL": "undetermined (und)"})
        xml.empty("CONSTRAINT", _ASSOCIATION)
        _write_vocabulary(xml, result.model.labels if result.model else tuple(result.probs))


class _Xml:
    """Elements on lines of their own, written as they come."""

    def __init__(self, stream: TextIO) -> None:
        self._generator = XMLGenerator(cast("TextIOBase", stream), "UTF-8", short_empty_elements=True)
        self._generator.startDocument()

    @contextmanager
    def element(self, name: str, attributes: Mapping[str, str] | None = None) -> Iterator[None]:
        self._start(name, attributes or {})
        self._generator.ignorableWhitespace("\n")
        yield
        self._end(name)

    def empty(self, name: str, attributes: Mapping[str, str]) -> None:
        self._start(name, attributes)
        self._end(name)

    def text(self, name: str, text: str, attributes: Mapping[str, str] | None = None) -> None:
        self._start(name, attributes or {})
        self._generator.characters(printable(text))
        self._end(name)

    def _start(self, name: str, attributes: Mapping[str, str]) -> None:
        plain = {key: printable(value) for key, value in attributes.items()}
        self._generator.startElement(name, AttributesImpl(plain))

    def _end(self, name: str) -> None:
        self._generator.endElement(name)
        self._generator.ignorableWhitespace("\n")


def _write_header(xml: _Xml, result: Result) -> None:
    with xml.element("HEADER", {"MEDIA_FILE": "", "TIME_UNITS": "milliseconds"}):
        path = result.path if result.source else None
        if path is not None and result.id == path:
            media = Path(path)
            # What the system's own files say differs from machine to machine.
            mime_type = MimeTypes(filenames=()).guess_type(media.name)[0] or "unknown"
            xml.empty(
                "MEDIA_DESCRIPTOR",
                {
                    "MEDIA_URL": media.absolute().as_uri(),
                    "RELATIVE_MEDIA_URL": f"./{quote(media.name, errors='surrogateescape')}",
                    "MIME_TYPE": mime_type,
                },
            )
        for name, value in (("label", result.label), ("reason", result.reason)):
            if value is not None:
                xml.text("PROPERTY", value, {"NAME": f"voxaffect:{name}"})


def _write_tiers(
    xml: _Xml, name: str, common: Mapping[str, str], pieces: tuple[Piece, ...], first: int
) -> None:
    """The tier `name` and those below it; its annotations are numbered from `first` on."""
    with xml.element("TIER", {"TIER_ID": name, "LINGUISTIC_TYPE_REF": "emotion", **common}):
        for i, piece in enumerate(pieces, first):
            slots = {"TIME_SLOT_REF1": f"ts{2 * i - 1}", "TIME_SLOT_REF2": f"ts{2 * i}"}
            _write_annotation(xml, "ALIGNABLE_ANNOTATION", f"a{i}", slots, piece.label)
    for kind in (SCORE, CERTAINTY):
        attributes = {"TIER_ID": f"{kind}@{name}", "LINGUISTIC_TYPE_REF": kind, "PARENT_REF": name}
        with xml.element("TIER", {**attributes, **common}):
            for i, piece in enumerate(pieces, first):
                value = f"{round(piece.score, DIGITS):g}" if kind == SCORE else "uncertain"
                if kind == SCORE or piece.uncertain:
                    reference = {"ANNOTATION_REF": f"a{i}"}
                    _write_annotation(xml, "REF_ANNOTATION", f"{kind[0]}{i}", reference, value)


def _write_annotation(
    xml: _Xml, element: str, number: str, attributes: Mapping[str, str], value: str
) -> None:
    with xml.element("ANNOTATION"), xml.element(element, {"ANNOTATION_ID": number, **attributes}):
        xml.text("ANNOTATION_VALUE", value)


def _write_vocabulary(xml: _Xml, labels: tuple[str, ...]) -> None:
    with xml.element("CONTROLLED_VOCABULARY", {"CV_ID": "emotion"}):
        xml.text("DESCRIPTION", "perceived emotion", {"LANG_REF": "und"})
        for i, label in enumerate(labels):
            with xml.element("CV_ENTRY_ML", {"CVE_ID": f"label{i}"}):
                xml.text("CVE_VALUE", label, {"LANG_REF": "und"})
