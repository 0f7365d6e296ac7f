"""``python -m wherefrom`` is the command ``wherefrom``."""

if __name__ == "__main__":  # not in the workers of a study, whose main module this is too
    from wherefrom.cli import main

    main()
