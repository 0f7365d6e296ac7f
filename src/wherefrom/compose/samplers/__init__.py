"""The samplers, one family a file; `wherefrom.plugins` names them."""
