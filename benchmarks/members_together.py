"""Core time of a training step of seven members: one after the other, and all seven stacked into one model.

The light native head on cached states of a frozen encoder of Whisper tiny's shape: every member has its own batch, as
it has its own actors. `apart` trains the members one after the other in two processes of one thread; `stacked` runs
them as one model by torch.func (stack_module_state, functional_call, vmap), in two processes of one thread and in one
of two. Both are checked to end with the same weights.

    python benchmarks/members_together.py
"""

from __future__ import annotations

import argparse
import copy
import json
import multiprocessing
import resource
import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.func import functional_call, stack_module_state, vmap
from torch.nn import functional as F

from voxaffect.encoders.speech import SpeechOptions
from voxaffect.encoders.vit import VitOptions
from voxaffect.model import CoAttention, ModelOptions

MEMBERS, K, SECONDS = 7, 4, 3.7
"""RAVDESS: four classes, clips of 3.7 s on average."""
WHISPER_TINY = {
    "model_type": "whisper",
    "architectures": ["WhisperEncoder"],
    "d_model": 384,
    "encoder_layers": 4,
    "encoder_attention_heads": 6,
    "encoder_ffn_dim": 1536,
}
SMALL_VIT = VitOptions(
    dim=96, depth=2, heads=4, mlp_ratio=2.0, stem="conv", n_channels=1, norm_eps=1e-6, dropout=0.0
)
CASES: dict[str, ModelOptions] = {
    "speech": ModelOptions(K, speech=SpeechOptions("whisper"), dropout=0.0),
    "speech and a small ViT": ModelOptions(
        K, spectrogram=SMALL_VIT, speech=SpeechOptions("whisper"), dropout=0.0
    ),
}
"""Without dropout, so that both ways do the very same arithmetic. A BiLSTM cannot be stacked: vmap has no LSTM."""


def models(options: ModelOptions) -> list[CoAttention]:
    """Members of one shape with different weights, which share the frozen encoder that no step runs."""
    made = []
    for seed in range(MEMBERS):
        torch.manual_seed(seed)
        made.append(CoAttention(options, speech_source={"config": WHISPER_TINY, "normalise": False}).train())
        if seed:
            made[-1].speech.encoder = made[0].speech.encoder  # type: ignore[union-attr]
    return made


def batches(options: ModelOptions, batch_size: int) -> tuple[dict[str, Tensor], Tensor]:
    """Inputs (M, B, ...) and classes (M, B): a batch for each member."""
    generator = torch.Generator().manual_seed(0)
    n_samples = round(SECONDS * 16_000)
    inputs = {
        "n_samples": torch.full((MEMBERS, batch_size), n_samples),
        "speech_states": torch.randn(MEMBERS, batch_size, 5, n_samples // 320 + 1, 384, generator=generator),
    }
    if options.spectrogram is not None:
        inputs["spectrogram"] = torch.randn(
            MEMBERS, batch_size, 1 + n_samples // 160, 200, generator=generator
        )
    return inputs, torch.randint(K, (MEMBERS, batch_size), generator=generator)


def trained(model: torch.nn.Module) -> dict[str, Tensor]:
    """The weights that a step changes."""
    return {name: value for name, value in model.named_parameters() if value.requires_grad}


def optimizer(weights: list[Tensor]) -> torch.optim.Optimizer:
    """AdamW works element by element, so that one for stacked weights is one for each member."""
    return torch.optim.AdamW(weights, lr=1e-3)


def train_apart(options: ModelOptions, batch_size: int, steps: int) -> dict[str, Tensor]:
    """Weights (M, ...) after `steps` steps of each member in turn."""
    members = models(options)
    inputs, classes = batches(options, batch_size)
    for m, model in enumerate(members):
        step_weights = optimizer(list(trained(model).values()))
        own = {name: value[m] for name, value in inputs.items()}
        for _ in range(steps):
            loss = F.cross_entropy(model(own), classes[m])
            step_weights.zero_grad(set_to_none=True)
            loss.backward()
            step_weights.step()
    return {name: torch.stack([trained(m)[name].detach() for m in members]) for name in trained(members[0])}


def train_stacked(options: ModelOptions, batch_size: int, steps: int) -> dict[str, Tensor]:
    """Weights (M, ...) after `steps` steps of all members at once."""
    members = models(options)
    base = copy.copy(members[0])
    inputs, classes = batches(options, batch_size)
    stacked, _ = stack_module_state(members)  # type: ignore[arg-type]
    weights = {name: stacked[name].detach().requires_grad_() for name in trained(members[0])}
    step_weights = optimizer(list(weights.values()))

    def logits(own: dict[str, Tensor], x: dict[str, Tensor]) -> Tensor:
        answer: Tensor = functional_call(base, own, (x,))
        return answer

    # Attention runs member by member: exactly what makes no difference to the time of its products.
    warnings.filterwarnings("ignore", "There is a performance drop")
    together = vmap(logits)
    for _ in range(steps):
        answers = together(weights, inputs)  # (M, B, K)
        loss = F.cross_entropy(answers.flatten(0, 1), classes.flatten()) * MEMBERS  # each member's own mean
        step_weights.zero_grad(set_to_none=True)
        loss.backward()
        step_weights.step()
    return {name: value.detach() for name, value in weights.items()}


def core_seconds(
    train: Callable[..., Any], options: ModelOptions, batch_size: int, steps: int, threads: int
) -> float:
    """Processor time of `steps` steps, without what `train` costs before its first step."""
    torch.set_num_threads(threads)
    train(options, batch_size, 2)  # warm
    spent = []
    for n in (2, 2 + steps):
        before = _used()
        train(options, batch_size, n)
        spent.append(_used() - before)
    return spent[1] - spent[0]


def _used() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def _child(train: Any, case: str, batch_size: int, steps: int, threads: int, answers: Any) -> None:
    answers.put(core_seconds(train, CASES[case], batch_size, steps, threads))


def measure(train: Any, case: str, batch_size: int, steps: int, processes: int, threads: int) -> float:
    """Core-milliseconds per member-step, the mean of `processes` that run side by side."""
    context = multiprocessing.get_context("spawn")
    answers: Any = context.Queue()
    workers = [
        context.Process(target=_child, args=(train, case, batch_size, steps, threads, answers))
        for _ in range(processes)
    ]
    for worker in workers:
        worker.start()
    seconds = [answers.get() for _ in workers]
    for worker in workers:
        worker.join()
    return 1000 * sum(seconds) / len(seconds) / (steps * MEMBERS)


def difference(options: ModelOptions, batch_size: int) -> float:
    """The largest difference between the two ways' weights after three steps: far under the 3e-3 that AdamW moved them.

    A gradient near zero may round to either sign, and AdamW's first step is as long for it as for any other.
    """
    torch.set_num_threads(1)
    apart, stacked = train_apart(options, batch_size, 3), train_stacked(options, batch_size, 3)
    return max(float((apart[name] - stacked[name]).abs().max()) for name in apart)


def main() -> None:
    """Print core time per member-step of each case, and the ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--repeats", type=int, default=3, help="the least of so many (default: 3)")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    rows = []
    for case, options in CASES.items():
        ways = {
            "apart, 2 processes of 1 thread": (train_apart, 2, 1),
            "stacked, 2 processes of 1 thread": (train_stacked, 2, 1),
            "stacked, 1 process of 2 threads": (train_stacked, 1, 2),
        }
        row: dict[str, Any] = {"case": case, "batch_size": args.batch_size, "members": MEMBERS}
        row["difference"] = difference(options, args.batch_size)
        for way, (train, processes, threads) in ways.items():
            found = [
                measure(train, case, args.batch_size, args.steps, processes, threads)
                for _ in range(args.repeats)
            ]
            row[way] = round(min(found), 2)
        apart, *stacked = (row[way] for way in ways)
        row["ratio"] = round(apart / min(stacked), 2)
        rows.append(row)
        if not args.json:
            print(f"{case}, batch {args.batch_size}: core-ms per member-step")
            for way in ways:
                print(f"  {way:34} {row[way]:8.2f}")
            print(
                f"  stacked is {row['ratio']:.2f} times as quick; weights differ by {row['difference']:.1e}"
            )
    if args.json:
        print(json.dumps(rows, indent=2))


if __name__ == "__main__":
    main()
