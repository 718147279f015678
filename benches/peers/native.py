"""The native floor (`benches/floor`), built on demand for the running interpreter."""

from __future__ import annotations

import contextvars
import importlib.util
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

from workloads import increment

from peers import Peer

CRATE = Path(__file__).resolve().parent.parent / "floor"
TARGET = CRATE.parent.parent / "target" / "floor"
# One directory an interpreter: the library is bound to its version.
BUILT = TARGET / "built" / sysconfig.get_config_var("SOABI").replace("/", "-")

PARTS = ("context", "future", "stamps")


def build() -> Path:
    """Compile the floor and return the path of the extension module.

    Raises:
        ImportError: If there is no cargo, or it fails.
    """
    cargo = shutil.which("cargo")
    if cargo is None:
        raise ImportError("cargo is not installed, so the native floor cannot be built")
    environment = os.environ | {
        "CARGO_TARGET_DIR": str(TARGET),
        "PYO3_PYTHON": sys.executable,
        "PYO3_BUILD_EXTENSION_MODULE": "1",
    }
    if sys.platform == "darwin":
        environment["RUSTFLAGS"] = "-C link-arg=-undefined -C link-arg=dynamic_lookup"
    command = [cargo, "build", "--release", "--locked", "--manifest-path", CRATE / "Cargo.toml"]
    # From a neutral directory: the package's own cargo configuration must not apply.
    done = subprocess.run(
        command,
        cwd=tempfile.gettempdir(),
        env=environment,
        capture_output=True,
        check=False,
        text=True,
    )
    if done.returncode:
        raise ImportError(f"the native floor does not build: {done.stderr.strip()[-500:]}")
    stems = {"darwin": "liboxtask_floor.dylib", "win32": "oxtask_floor.dll"}
    library = TARGET / "release" / stems.get(sys.platform, "liboxtask_floor.so")
    BUILT.mkdir(parents=True, exist_ok=True)
    suffix = ".pyd" if sys.platform == "win32" else ".so"
    module = BUILT / f"oxtask_floor{suffix}"
    # Replaced, not overwritten: another interpreter may have the old one mapped.
    fresh = module.with_suffix(".new")
    shutil.copyfile(library, fresh)
    fresh.replace(module)
    return module


class Native(Peer):
    """The floor as a peer of `map`, and its parts one by one.

    Args:
        may_build: Whether to run cargo; otherwise only what has been built before is used.
    """

    def __init__(self, *, may_build=True):
        paths = sorted(BUILT.glob("oxtask_floor.*")) if not may_build else [build()]
        if not paths:
            raise ImportError("the native floor has not been built")
        spec = importlib.util.spec_from_file_location("oxtask_floor", paths[0])
        self.module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(self.module)

    def map(self, load, parts=PARTS):
        items = list(range(load.count))
        variable = contextvars.ContextVar("run")
        base = contextvars.copy_context()
        chosen = {part: part in parts for part in PARTS}
        run, value = self.module.run, object()
        return lambda: run(increment, items, base, variable, value, **chosen)

    def answer(self, name, result):
        del name
        futures = bool(result) and isinstance(result[0], self.module.Future)
        return [future.result() for future in result] if futures else result
