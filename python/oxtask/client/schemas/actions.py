"""What is handed to clients to make and to change things."""

from oxtask._internal.limit_records import (
    GlobalConcurrencyLimitCreate,
    GlobalConcurrencyLimitUpdate,
)
from oxtask._internal.stored_records import (
    ArtifactCreate,
    ArtifactUpdate,
    VariableCreate,
    VariableUpdate,
)

__all__ = [
    "ArtifactCreate",
    "ArtifactUpdate",
    "GlobalConcurrencyLimitCreate",
    "GlobalConcurrencyLimitUpdate",
    "VariableCreate",
    "VariableUpdate",
]
