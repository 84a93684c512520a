"""Pure translation between items and JSON, one room a dialect. Nothing here does I/O."""
