/** A small network: affine layers, and after each but the last an activation of its own. */

import { ACTIVATIONS } from "./activations.js";

/** @typedef {{ weight: number[][], bias: number[] }} Layer  weight[output][input] */
/** @typedef {{ layers: Layer[], activations: string[] }} Network  activations[k] follows layers[k]; the last layer has none */
/** @typedef {"default" | "xavier" | "he" | "zeros"} Init */

export const INITS = /** @type {const} */ (["default", "xavier", "he", "zeros"]);

/** How far from 0 the first weights and biases may be. @param {Init} init @param {number} inputs @param {number} outputs */
export function initBounds(init, inputs, outputs) {
  if (init === "xavier") return { weight: Math.sqrt(6 / (inputs + outputs)), bias: 0 };
  if (init === "he") return { weight: Math.sqrt(6 / inputs), bias: 0 };
  if (init === "zeros") return { weight: 0, bias: 0 };
  return { weight: 1 / Math.sqrt(inputs), bias: 1 / Math.sqrt(inputs) };
}

/**
 * The first weights depend on the widths, the rule and the generator, never on the activations.
 * @param {number[]} widths from input to output
 * @param {string[]} activations one per hidden layer
 * @param {Init} init
 * @param {import("./random.js").Random} random
 * @returns {Network}
 */
export function makeNetwork(widths, activations, init, random) {
  const layers = widths.slice(1).map((outputs, k) => {
    const bound = initBounds(init, widths[k], outputs);
    const row = (/** @type {number} */ size, /** @type {number} */ b) => Array.from({ length: size }, () => random.uniform(-b, b));
    return {
      weight: Array.from({ length: outputs }, () => row(widths[k], bound.weight)),
      bias: row(outputs, bound.bias),
    };
  });
  return { layers, activations: [...activations] };
}

/** Wx + b. @param {Layer} layer @param {number[]} x */
export function applyLayer({ weight, bias }, x) {
  return weight.map((row, i) => {
    let sum = bias[i];
    for (let j = 0; j < row.length; j++) sum += row[j] * x[j];
    return sum;
  });
}

/**
 * What every layer receives, its pre-activations, and the output.
 * @param {Network} network @param {number[]} x
 * @returns {{ inputs: number[][], pre: number[][], output: number[] }}
 */
export function forward({ layers, activations }, x) {
  const inputs = [x];
  const pre = [];
  for (let k = 0; k < layers.length; k++) {
    const z = applyLayer(layers[k], inputs[k]);
    pre.push(z);
    if (k < layers.length - 1) inputs.push(z.map(ACTIVATIONS[activations[k]].value));
  }
  return { inputs, pre, output: pre[pre.length - 1] };
}

/** The pre-activations of every layer at every point. @param {Network} network @param {number[][]} points @returns {number[][][]} */
export const forwardAll = (network, points) => points.map((x) => forward(network, x).pre);

/** The one number that the networks of the laboratory give. @param {Network} network @param {number[]} x */
export const evaluate = (network, x) => forward(network, x).output[0];

/** @param {Network} network */
export const countParameters = ({ layers }) =>
  layers.reduce((sum, { weight, bias }) => sum + weight.length * weight[0].length + bias.length, 0);

/** Whether no layer has an activation. @param {Network} network */
export const isActivationFree = ({ activations }) => activations.every((name) => name === "identity");
