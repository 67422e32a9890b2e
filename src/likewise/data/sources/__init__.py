"""One file per kind of source; ``registry.py`` one level up knows them all."""
