"""Run the program as ``python -m localmin``."""

from localmin.cli import main

if __name__ == "__main__":
    main()
