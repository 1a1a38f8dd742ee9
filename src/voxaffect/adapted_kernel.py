"""A model of kernel wiring that can adapt: its plain head, and a second one for statistics less a voice's offset.

The plain answers are those of the same model without adaptation. In a folder it is the plain model with two files more:
`adaptation.safetensors` (second head, voice) and `adaptation.json` (schema, digest of the first, unit, gauge).
"""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from voxaffect.adaptation import Gauge, Voice
from voxaffect.adaptive import Adaptive
from voxaffect.closed_form import KernelRidge
from voxaffect.errors import ArtefactError
from voxaffect.model import CoAttention
from voxaffect.weights import Weights

WEIGHTS = Weights("adaptation", "voxaffect.adapted-kernel/1")


class AdaptedKernel(Adaptive):
    """A model of kernel wiring and a second head `centred` on its statistics."""

    def __init__(
        self, plain: CoAttention, centred: KernelRidge, voice: Voice, gauge: Gauge, unit: str
    ) -> None:
        super().__init__(voice, gauge, unit)
        self.plain = plain
        self.centred = centred

    @property
    def inputs(self) -> tuple[str, ...]:
        """The features that the branches want."""
        return self.plain.inputs

    @property
    def n_members(self) -> int:
        """How many members share the branches."""
        return self.plain.n_members

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        """Plain logits (B, K)."""
        logits: Tensor = self.plain(inputs)
        return logits

    def votes(self, inputs: dict[str, Tensor]) -> Tensor:
        """Plain logits of each member (B, M, K)."""
        return self.plain.votes(inputs)

    def heard(self, inputs: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Plain logits (B, M, K) and the statistics (B, D) of the branches' states."""
        statistics = self.plain.embed(inputs)
        return head_of(self.plain).votes(statistics), statistics

    def score(self, statistics: Tensor) -> Tensor:
        """The second head's logits (B, M, K)."""
        return self.centred.votes(statistics)

    def save(self, folder: Path) -> None:
        """Write the plain model and what makes it adapt into `folder`, each file whole or not at all."""
        self.plain.save(folder)
        state = {name: values for name, values in self.state_dict().items() if not name.startswith("plain.")}
        WEIGHTS.write(folder, state, {"unit": self.unit, **self.description()})


def load_kernel_model(folder: Path) -> CoAttention | AdaptedKernel:
    """The co-attention model in `folder`; where it can adapt, as such.

    Raises:
        ArtefactError: `model_damaged`: what makes it adapt is not what was written; and what `CoAttention.load` and
            `Weights.read` do.
    """
    plain = CoAttention.load(folder)
    if not (folder / WEIGHTS.description_file).is_file():
        return plain
    description, state = WEIGHTS.read(folder)
    try:
        head = head_of(plain)
        voice = Voice.empty(head.n_classes, sum(head.sizes), float(description["shrinkage"]))
        gauge = Gauge.from_dict(description["gauge"], head.n_classes)
        centred = KernelRidge(head.sizes, head.n_classes, head.options)
        model = AdaptedKernel(plain, centred, voice, gauge, str(description["unit"]))
        model.load_state_dict(state, strict=False)  # the plain model has its own weights
    except (ValueError, KeyError, TypeError, RuntimeError) as error:
        raise ArtefactError(
            "model_damaged",
            f"what makes the model in {folder} adapt cannot be read: {error}",
            where=str(folder),
        ) from error
    return model.eval()


def head_of(model: CoAttention) -> KernelRidge:
    """The closed-form head of a model of kernel wiring."""
    head = model.wiring.head
    assert isinstance(head, KernelRidge)
    return head
