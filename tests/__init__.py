"""The tests of sessiond; the folders mirror the package's."""
