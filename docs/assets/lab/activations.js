/** Each activation once: its value, its slope and, where it is made of straight pieces, the places where they meet. */

/** @typedef {{ title: string, value: (z: number) => number, slope: (z: number) => number, kinks: number[] | null }} Activation */

const sigmoid = (/** @type {number} */ z) => (z >= 0 ? 1 / (1 + Math.exp(-z)) : Math.exp(z) / (1 + Math.exp(z)));

/** log(1 + eᶻ) without overflow. @param {number} z */
export const softplus = (z) => Math.max(z, 0) + Math.log1p(Math.exp(-Math.abs(z)));
export { sigmoid };

const GELU_SCALE = Math.sqrt(2 / Math.PI);
const GELU_CUBIC = 0.044715;

/** @type {Readonly<Record<string, Activation>>} */
export const ACTIVATIONS = Object.freeze({
  identity: { title: "—", value: (z) => z, slope: () => 1, kinks: [] },
  relu: { title: "ReLU", value: (z) => (z > 0 ? z : 0), slope: (z) => (z > 0 ? 1 : 0), kinks: [0] },
  sigmoid: { title: "Sigmoid", value: sigmoid, slope: (z) => sigmoid(z) * sigmoid(-z), kinks: null },
  tanh: { title: "Tanh", value: Math.tanh, slope: (z) => 1 - Math.tanh(z) ** 2, kinks: null },
  leaky_relu: { title: "Leaky ReLU", value: (z) => (z > 0 ? z : 0.01 * z), slope: (z) => (z > 0 ? 1 : 0.01), kinks: [0] },
  elu: { title: "ELU", value: (z) => (z > 0 ? z : Math.expm1(z)), slope: (z) => (z > 0 ? 1 : Math.exp(z)), kinks: null },
  silu: { title: "SiLU", value: (z) => z * sigmoid(z), slope: (z) => sigmoid(z) * (1 + z * sigmoid(-z)), kinks: null },
  gelu_tanh: {
    title: "GELU (tanh)",
    value: (z) => 0.5 * z * (1 + Math.tanh(GELU_SCALE * (z + GELU_CUBIC * z ** 3))),
    slope: (z) => {
      const t = Math.tanh(GELU_SCALE * (z + GELU_CUBIC * z ** 3));
      return 0.5 * (1 + t) + 0.5 * z * (1 - t * t) * GELU_SCALE * (1 + 3 * GELU_CUBIC * z * z);
    },
    kinks: null,
  },
  softplus: { title: "Softplus", value: softplus, slope: sigmoid, kinks: null },
  hardtanh: { title: "Hardtanh", value: (z) => Math.min(1, Math.max(-1, z)), slope: (z) => (z > -1 && z < 1 ? 1 : 0), kinks: [-1, 1] },
});
