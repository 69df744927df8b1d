/** Loss, its gradient by backpropagation, and the steps that go down it. */

import { ACTIVATIONS, sigmoid, softplus } from "./activations.js";
import { forward } from "./network.js";

/** @typedef {import("./network.js").Network} Network */
/** @typedef {import("./network.js").Layer} Layer */
/** @typedef {"classification" | "regression"} Task */
/** @typedef {{ x: number[][], y: number[] }} Rows  y is 0 or 1 in classification */

/** Cross-entropy of a logit (in nats), or the squared error. @param {Task} task @param {number} out @param {number} y */
export const lossOf = (task, out, y) => (task === "classification" ? softplus(out) - y * out : (out - y) ** 2);

/** @param {Task} task @param {number} out @param {number} y */
const lossSlope = (task, out, y) => (task === "classification" ? sigmoid(out) - y : 2 * (out - y));

/**
 * The mean loss over all rows and its gradient.
 * @param {Network} network @param {Rows} rows @param {Task} task
 * @returns {{ loss: number, gradient: Layer[] }}
 */
export function backward(network, rows, task) {
  const { layers, activations } = network;
  const gradient = layers.map(({ weight, bias }) => ({ weight: weight.map((row) => row.map(() => 0)), bias: bias.map(() => 0) }));
  const count = rows.x.length;
  let loss = 0;
  for (let n = 0; n < count; n++) {
    const { inputs, pre, output } = forward(network, rows.x[n]);
    loss += lossOf(task, output[0], rows.y[n]) / count;
    let delta = [lossSlope(task, output[0], rows.y[n]) / count];
    for (let k = layers.length - 1; k >= 0; k--) {
      for (let i = 0; i < delta.length; i++) {
        gradient[k].bias[i] += delta[i];
        const row = gradient[k].weight[i];
        for (let j = 0; j < row.length; j++) row[j] += delta[i] * inputs[k][j];
      }
      if (k > 0) delta = pullBack(layers[k].weight, delta, pre[k - 1], ACTIVATIONS[activations[k - 1]].slope);
    }
  }
  return { loss, gradient };
}

/** Wᵀδ, times the slopes of the activation. @param {number[][]} weight @param {number[]} delta @param {number[]} pre @param {(z: number) => number} slope */
function pullBack(weight, delta, pre, slope) {
  return pre.map((z, j) => {
    let sum = 0;
    for (let i = 0; i < delta.length; i++) sum += weight[i][j] * delta[i];
    return sum * slope(z);
  });
}

/** The length of each layer's weight gradient. @param {Layer[]} gradient */
export const gradientSizes = (gradient) => gradient.map(({ weight }) => Math.hypot(...weight.flat()));

/** Every number of a list of layers through `f`, with its place in the other lists. @param {(...values: number[]) => number} f @param {...Layer[]} lists */
const mapLayers = (f, ...lists) =>
  lists[0].map((layer, k) => ({
    weight: layer.weight.map((row, i) => row.map((_, j) => f(...lists.map((list) => list[k].weight[i][j])))),
    bias: layer.bias.map((_, i) => f(...lists.map((list) => list[k].bias[i]))),
  }));

/**
 * A rule that moves layers along their gradients: gradient descent, or Adam (Kingma & Ba 2015).
 * @param {"sgd" | "adam"} name @param {number} rate
 * @returns {(layers: Layer[], gradient: Layer[]) => Layer[]}
 */
export function makeOptimiser(name, rate) {
  if (name === "sgd") return (layers, gradient) => mapLayers((p, g) => p - rate * g, layers, gradient);
  let steps = 0;
  /** @type {Layer[]} */ let mean;
  /** @type {Layer[]} */ let square;
  return (layers, gradient) => {
    mean ??= mapLayers(() => 0, layers);
    square ??= mapLayers(() => 0, layers);
    steps += 1;
    mean = mapLayers((m, g) => 0.9 * m + 0.1 * g, mean, gradient);
    square = mapLayers((s, g) => 0.999 * s + 0.001 * g * g, square, gradient);
    const [first, second] = [1 - 0.9 ** steps, Math.sqrt(1 - 0.999 ** steps)];
    return mapLayers((p, m, s) => p - ((rate / first) * m) / (Math.sqrt(s) / second + 1e-8), layers, mean, square);
  };
}

/** A loss so many times as large as the first one, and as 1, is no longer training. */
const TOO_LARGE = 1e9;

/** One run: the network, its loss and gradient, and how many steps led there. It stops for good before anything is not finite. */
export class Run {
  /** @param {Network} network @param {Rows} rows @param {Task} task @param {"sgd" | "adam"} optimiser @param {number} rate */
  constructor(network, rows, task, optimiser, rate) {
    Object.assign(this, { network, rows, task, steps: 0, diverged: false });
    this.move = makeOptimiser(optimiser, rate);
    this.measured = backward(network, rows, task);
    this.largest = TOO_LARGE * Math.max(1, this.measured.loss);
  }

  get loss() {
    return this.measured.loss;
  }

  /** One step over all rows; false where it would have left the finite numbers, and the network is as before. */
  step() {
    if (this.diverged) return false;
    const network = { ...this.network, layers: this.move(this.network.layers, this.measured.gradient) };
    const measured = backward(network, this.rows, this.task);
    if (!(measured.loss < this.largest) || !gradientSizes(measured.gradient).every(Number.isFinite)) {
      this.diverged = true;
      return false;
    }
    Object.assign(this, { network, measured, steps: this.steps + 1 });
    return true;
  }
}
