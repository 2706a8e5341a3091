"""Every exit code in one place; docs/exit-codes.md is the table for users."""

from __future__ import annotations

from typing import Final

HEALTHY: Final = 0
FAILED: Final = 1
USAGE: Final = 2
COULD_NOT_TELL: Final = 3
INTERRUPTED: Final = 130
BROKEN_PIPE: Final = 141
