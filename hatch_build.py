"""Build the kernel, `prillm_or/users/kernel.c`, where there is a compiler; without one the package is Python alone."""

from __future__ import annotations

import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.config import BuilderConfig
from hatchling.builders.hooks.plugin.interface import BuildHookInterface

PLACE = "prillm_or/users"


class KernelHook(BuildHookInterface[BuilderConfig]):
    """What hatchling asks before it makes a wheel; what is editable is read, and built, in its folder."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Build, and tag the wheel by what came of it."""
        if self.target_name != "wheel":
            return
        editable = version == "editable"
        folder = Path(self.root, PLACE) if editable else Path(tempfile.mkdtemp())
        built = build(Path(self.root), folder)
        if built is None:
            self.app.display_warning("no kernel was built: small markets are computed by numpy")
            return
        build_data["pure_python"] = False
        build_data["tag"] = f"cp311-abi3-{sysconfig.get_platform().replace('-', '_').replace('.', '_')}"
        if not editable:
            build_data["force_include"][str(built)] = f"{PLACE}/{built.name}"


def build(root: Path, folder: Path) -> Path | None:
    """Compile the kernel into a folder; its path, or None where that cannot be done."""
    if sysconfig.get_config_var("Py_GIL_DISABLED"):  # it has no stable ABI
        return None
    try:
        from setuptools import Distribution, Extension

        extension = Extension(
            "_kernel",
            [str(root / PLACE / "kernel.c")],
            extra_compile_args=[] if sys.platform == "win32" else ["-O3"],
            py_limited_api=True,
            optional=True,
        )
        command = Distribution({"ext_modules": [extension]}).get_command_obj("build_ext")
        command.build_lib, command.build_temp, command.force = str(folder), tempfile.mkdtemp(), True
        command.ensure_finalized()
        built = Path(command.get_ext_fullpath(extension.name))
        built.unlink(missing_ok=True)  # what an older source was compiled to
        command.run()
    except Exception as failure:  # whatever it is: nobody needs the kernel
        print(f"kernel: {failure}")
        return None
    return built if built.exists() else None
