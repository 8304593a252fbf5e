"""Writing a file whole or not at all."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from prillm_or.errors import PrillmError


def replace_file(path: Path, content: bytes) -> None:
    """Write beside the target under a temporary name, then rename: a reader sees the old file or the new one."""
    target = Path(os.path.realpath(path))
    try:
        if target.exists() and not target.is_file():
            # A device or a pipe is written to, never replaced; a folder is refused here.
            target.write_bytes(content)
            return
        temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}.tmp")
        try:
            temporary.write_bytes(content)
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as failure:
        raise PrillmError(f"{path}: cannot be written: {failure.strerror}") from None
