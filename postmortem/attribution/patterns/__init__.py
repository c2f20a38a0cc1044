"""The eleven failure patterns: ways in which AI features fail that ordinary postmortems miss. Pure.

Each detector answers match, no match or not enough data, with the numbers behind it; it never decides.
"""
