"""The report of `make demo`: one page that shows what the package does on this machine."""
