"""A kind of each noun, as docs/extending.md shows them."""
