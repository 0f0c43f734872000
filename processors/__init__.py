"""Controls, the engine that combines them, and the families that translate a model's attention."""

__all__: list[str] = []
