"""`python -m invmass` is the `invmass` command."""

from invmass.cli.main import main

if __name__ == "__main__":
    main()
