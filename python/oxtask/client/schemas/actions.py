"""What is handed to clients to make and to change things."""

from oxtask._internal.limit_records import (
    GlobalConcurrencyLimitCreate,
    GlobalConcurrencyLimitUpdate,
)

__all__ = ["GlobalConcurrencyLimitCreate", "GlobalConcurrencyLimitUpdate"]
