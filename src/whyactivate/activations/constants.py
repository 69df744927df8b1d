"""The constants in the activations, as PyTorch has them."""

from __future__ import annotations

LEAKY_SLOPE = 0.01
PRELU_SLOPE = 0.25

# With these, N(0, 1) inputs keep mean 0 and variance 1 (Klambauer et al. 2017).
SELU_SCALE = 1.0507009873554804934193349852946
SELU_ALPHA = 1.6732632423543772848170429916717

# The factor of z³ in the approximation of GELU by a tanh (Hendrycks & Gimpel 2016).
GELU_CUBIC = 0.044715
