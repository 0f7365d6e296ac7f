"""What a model sees of a place, by id or by where it is; each kind in a file of its own."""

from wherefrom.payload.base import Lost, Modality, Payload, Piece, Records, Sought

__all__ = ["Lost", "Modality", "Payload", "Piece", "Records", "Sought"]
