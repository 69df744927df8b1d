"""Four kinds of proof that an activation-free network is one affine layer; each says exactly what it shows."""
