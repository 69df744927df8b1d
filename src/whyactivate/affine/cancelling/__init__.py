"""Proves programs affine whose kinks and powers cancel, in canonical form."""
