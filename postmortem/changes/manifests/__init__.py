"""Manifests: what an index or a training set was made of, and what two of them differ in.

`reading` takes a file apart, `corpus` and `training` compare two, `services` stores and logs.
"""
