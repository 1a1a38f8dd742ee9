"""What a batch is judged by: cross-entropy over the items that have a class, in either precision."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra `train`")

from torch import Tensor, nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402

from voxaffect import objective  # noqa: E402
from voxaffect.examples import UNLABELLED  # noqa: E402
from voxaffect.objective import Objective, class_weights, precision_on  # noqa: E402
from voxaffect.recipe import TrainingOptions  # noqa: E402


class Logits(nn.Module):
    """The item `x` (B, 3) times the identity, as logits: a matrix product that autocast can round."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 3, bias=False)
        with torch.no_grad():
            self.layer.weight.copy_(torch.eye(3))
        self.seen: torch.dtype | None = None

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        logits: Tensor = self.layer(inputs["x"])
        self.seen = logits.dtype
        return logits


X = torch.tensor([[1.001, 0.0, -1.0], [0.2, 0.3, 0.4], [0.0, 2.0, 1.0]])


def loss_of(targets: list[int], model: Logits | None = None, **options: object) -> Tensor:
    objective = Objective(model or Logits(), None, TrainingOptions(**options), mixup=0.0)  # type: ignore[arg-type]
    return objective({"x": X}, torch.tensor(targets), np.random.default_rng(0))


def test_items_without_a_class_do_not_count() -> None:
    expected = F.cross_entropy(X[[0, 2]], torch.tensor([0, 1]))
    torch.testing.assert_close(loss_of([0, UNLABELLED, 1]), expected)


def test_a_batch_without_any_class_costs_nothing_and_can_be_learnt_from() -> None:
    model = Logits()
    loss = loss_of([UNLABELLED] * 3, model)
    loss.backward()
    assert loss.item() == 0.0
    assert model.layer.weight.grad is not None
    assert model.layer.weight.grad.abs().sum() == 0


def test_bfloat16_rounds_the_layers_and_not_the_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(objective, "precision_on", lambda device, wanted: wanted)
    model = Logits()
    loss = loss_of([0, 2, 1], model, precision="bfloat16")
    assert model.seen == torch.bfloat16
    assert loss.dtype == torch.float32
    exact = loss_of([0, 2, 1])
    assert loss.item() != exact.item()
    torch.testing.assert_close(loss, exact, rtol=2**-7, atol=0.0)  # 8 bits of mantissa


def test_a_cpu_without_bfloat16_trains_in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    for knows in (True, False):
        monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda knows=knows: knows)
        assert precision_on("cpu", "bfloat16") == ("bfloat16" if knows else "float32")
        assert precision_on("cpu", "float32") == "float32"
        assert precision_on("cuda", "bfloat16") == "bfloat16"
        model = Logits()
        loss_of([0, 2, 1], model, precision="bfloat16")
        assert model.seen == (torch.bfloat16 if knows else torch.float32)


def test_class_weights_leave_out_what_has_no_class() -> None:
    weights = class_weights(np.array([0, 0, 0, 1, UNLABELLED, UNLABELLED]), 2)
    assert weights.tolist() == pytest.approx([4 / 6, 2.0])


def test_an_unknown_precision_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown precision 'float16'; expected 'float32' or 'bfloat16'"):
        TrainingOptions(precision="float16")
