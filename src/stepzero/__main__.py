"""``python -m stepzero`` is the command ``stepzero``."""

from stepzero.cli import main

if __name__ == "__main__":
    main()
