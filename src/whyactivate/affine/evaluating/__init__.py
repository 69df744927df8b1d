"""Carries out a recorded program: without rounding, in enclosures, modulo a prime, or in float64 on many rows."""
