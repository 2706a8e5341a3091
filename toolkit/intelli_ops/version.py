"""The version reports carry. Reading it from the installed metadata would cost 30 ms; a test holds the two together."""

VERSION = "0.1.0"
