"""Arithmetic without rounding (`ExactArray`) and with proved enclosures (`BallArray`)."""
