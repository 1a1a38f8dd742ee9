"""The runtime is imported in one place, where its telemetry is switched off: nothing is written, nothing sent."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1] / "src" / "voxaffect"


def test_predicting_writes_nothing_into_the_home_folder(tmp_path: Path) -> None:
    env = {**os.environ, "HOME": str(tmp_path), "PYTHONPATH": os.pathsep.join(sys.path)}
    for name in ("XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME"):
        env[name] = str(tmp_path)
    env.pop("ORT_DISABLE_TELEMETRY", None)
    clip = PACKAGE / "clips" / "even.wav"
    command = [sys.executable, "-m", "voxaffect", "predict", str(clip), "-f", "jsonl"]
    subprocess.run(command, env=env, check=True, capture_output=True)
    assert list(tmp_path.rglob("*")) == []


def test_the_runtime_is_imported_nowhere_else() -> None:
    imports = re.compile(
        r"^ *(?:import onnxruntime|from onnxruntime import (?!InferenceSession$))", re.MULTILINE
    )
    found = [path.name for path in PACKAGE.rglob("*.py") if imports.search(path.read_text(encoding="utf-8"))]
    assert found == ["runtime.py"]
