"""What a training step costs: core-milliseconds per 3 s segment, end to end and over cached states, in one run.

    python benchmarks/training_step.py [--repeats 5] [--only camser-alexnet|camser-vit] [-o FILE.json]

One thread, CPU time of this process, so that a busy machine does little harm. A step is what training does with a
batch: forward, cross-entropy, backward, gradient clipping, AdamW. All models are in memory and take their turns;
medians are quoted. Weights are random in the architectures of the checkpoints (wav2vec2-base, AlexNet, ViT-B/16): a
step costs the same whatever they are. Computing the cached states is not in the figure: it happens once, for all
epochs, folds and members.
"""

from __future__ import annotations

import argparse
import gc
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

# One thread, for all libraries: has to be said before NumPy is imported.
for _variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_variable] = "1"

import numpy as np  # noqa: E402
import torch  # noqa: E402
from torch import nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402

from voxaffect.encoders.alexnet import AlexNet, AlexNetOptions  # noqa: E402
from voxaffect.encoders.checkpoint import quiet_transformers  # noqa: E402
from voxaffect.features import PRESETS, SAMPLE_RATE, SEGMENT_SAMPLES, FeatureOptions, segments  # noqa: E402
from voxaffect.files import write_json  # noqa: E402
from voxaffect.fit import to_tensors  # noqa: E402
from voxaffect.model import CoAttention, ModelOptions  # noqa: E402
from voxaffect.run import environment  # noqa: E402

SYSTEMS = ("camser-alexnet", "camser-vit")
LIGHT_MFCC = {"hidden": 64, "layers": 1, "stack": 4, "dropout": 0.0}


@dataclass
class Row:
    """One model under measurement."""

    name: str
    preset: str
    batch_size: int
    n_trained: int
    step: Callable[[], float]
    """One training step; the seconds of its forward and backward passes alone come back."""
    seconds: list[float] = field(default_factory=list)
    passes: list[float] = field(default_factory=list)

    def measure(self) -> None:
        """Take one more step."""
        started = time.process_time()
        self.passes.append(self.step())
        self.seconds.append(time.process_time() - started)

    @property
    def milliseconds(self) -> float:
        """Median core-milliseconds per segment."""
        return 1000 * statistics.median(self.seconds) / self.batch_size


def made_items(n_items: int, options: FeatureOptions, inputs: tuple[str, ...]) -> list[dict[str, np.ndarray]]:
    """Features of items of just under 3 s: noise under a syllable rhythm."""
    rng = np.random.default_rng(0)
    n = SEGMENT_SAMPLES - 200  # a whole 3 s make a second published segment, of one frame
    rhythm = np.sin(2 * np.pi * 2 * np.arange(n) / SAMPLE_RATE) ** 2
    clips = [(0.1 * rhythm * rng.standard_normal(n)).astype(np.float32) for _ in range(n_items)]
    return [segments(clip, options, inputs)[0] for clip in clips]


def model_of(table: dict[str, Any], wiring: str) -> CoAttention:
    """The preset of `table` with wav2vec2-base's architecture for its speech branch."""
    from transformers import Wav2Vec2Config

    options = ModelOptions.from_dict({"n_classes": 4, **table}, wiring=wiring)  # type: ignore[arg-type]
    with quiet_transformers():
        return CoAttention(
            options, speech_source={"config": Wav2Vec2Config().to_dict(), "normalise": wiring == "native"}
        )


def row_of(name: str, table: dict[str, Any], wiring: str, batch_size: int) -> Row:
    """A row that trains the model of `table` on states of its frozen encoders, and on features of the rest."""
    torch.manual_seed(0)
    model = model_of(table, wiring)
    frozen = model.eval().frozen_encoders
    wanted = tuple(name for name in model.inputs if all(name not in encoder.inputs for encoder in frozen))
    items = made_items(batch_size, PRESETS[wiring], model.inputs)
    cached = [
        {name: values for name, values in item.items() if name in (*wanted, "n_samples")}
        | {encoder.states_name: encoder.numpy_states(item) for encoder in frozen}
        for item in items
    ]
    if wanted:
        model.fit_normalisation([to_tensors(cached)])
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=1e-5, weight_decay=1e-2, fused=True)
    y = torch.arange(batch_size) % 4
    model.train()

    def step() -> float:
        started = time.process_time()
        optimizer.zero_grad(set_to_none=True)
        F.cross_entropy(model(to_tensors(cached)), y).backward()
        passes = time.process_time() - started
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        return passes

    return Row(name, f"{table['preset']}, {wiring}", batch_size, sum(p.numel() for p in parameters), step)


def image_weights(system: str, folder: Path) -> str:
    """Random weights in the layout of the system's image encoder, for one that is frozen."""
    if system == "camser-alexnet":
        features = AlexNet(AlexNetOptions()).features.state_dict()
        torch.save({f"features.{name}": value for name, value in features.items()}, folder / "alexnet.pth")
        return str(folder / "alexnet.pth")
    from transformers import ViTConfig, ViTModel

    with quiet_transformers():
        ViTModel(ViTConfig(), add_pooling_layer=False).save_pretrained(folder / "vit")
    return str(folder / "vit")


def rows_of(system: str, folder: Path, batch_size: int) -> Iterator[Row]:
    """The rows of one system, the end-to-end training first."""
    table: dict[str, Any] = {"preset": system, "spectrogram": {"weights": False}}
    yield row_of("end to end", table, "published", batch_size)
    table["speech"] = {"frozen": True}
    yield row_of("speech cached", table, "published", batch_size)
    table["spectrogram"] = {"weights": image_weights(system, folder), "frozen": True}
    yield row_of("speech and image cached", table, "published", batch_size)
    table["mfcc"] = LIGHT_MFCC
    yield row_of("light head, three branches", table, "native", 32)
    table |= {"mfcc": False, "spectrogram": False}
    yield row_of("light head, speech alone", table, "native", 32)


def measure(system: str, repeats: int, batch_size: int) -> list[dict[str, Any]]:
    """Figures of each row of `system`; `ratio` is the cost of end-to-end training over the row's."""
    with tempfile.TemporaryDirectory() as folder:
        rows = list(rows_of(system, Path(folder), batch_size))
    for row in rows:
        row.step()  # the optimizer's state, and pages that are touched for the first time
    for _ in range(repeats):
        for row in rows:
            for _ in range(1 if row.name == "end to end" else 3):
                row.measure()
    base = rows[0].milliseconds
    return [
        {
            "model": row.preset,
            "training": row.name,
            "batch_size": row.batch_size,
            "trained_parameters": row.n_trained,
            "core_ms_per_segment": round(row.milliseconds, 2),
            "of_which_forward_and_backward": round(1000 * statistics.median(row.passes) / row.batch_size, 2),
            "ratio": round(base / row.milliseconds, 1),
            "steps": len(row.seconds),
        }
        for row in rows
    ]


def machine() -> str:
    """The processor's name where the system tells it."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.is_file() else []
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), "unknown")


def main() -> None:
    """Measure and print; write JSON where asked."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=5, help="end-to-end steps of each system (default 5)")
    parser.add_argument("--batch-size", type=int, default=4, help="of the published rows (default 4)")
    parser.add_argument("--only", choices=SYSTEMS, help="one system (default: both)")
    parser.add_argument("-o", "--output", type=Path, help="a JSON file to write (default: none)")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    figures: list[dict[str, Any]] = []
    for system in [arguments.only] if arguments.only else SYSTEMS:
        figures += measure(system, arguments.repeats, arguments.batch_size)
        gc.collect()
    print(f"{'model':<28}{'training':<30}{'batch':>6}{'core-ms / segment':>20}{'ratio':>8}")
    for row in figures:
        print(
            f"{row['model']:<28}{row['training']:<30}{row['batch_size']:>6}"
            f"{row['core_ms_per_segment']:>20.1f}{row['ratio']:>8.1f}"
        )
    if arguments.output is not None:
        facts = environment()
        facts["command"] = ["python", "benchmarks/training_step.py", *sys.argv[1:]]
        facts["machine"]["processor_name"] = machine()
        write_json(arguments.output, {"environment": facts, "threads": 1, "rows": figures})
        print(f"written: {arguments.output}")


if __name__ == "__main__":
    main()
