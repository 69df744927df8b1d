"""Looks for inputs that show that a program is not affine."""
