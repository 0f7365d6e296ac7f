"""GFMs of a study, one file each, and the engine that trains and uses any of them."""
