"""The steps of building the native extension, used by build.py.

Each step leaves its result in the cache, named by what it depends on, and is
skipped when that result is there.
"""
