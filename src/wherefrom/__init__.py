"""Where on Earth should pre-training data come from? Evidence, not opinion."""

__version__ = "0.1.0"
