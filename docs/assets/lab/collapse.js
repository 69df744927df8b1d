/** Multiplying the weights out, and what that says about the network. */

import { applyLayer, evaluate } from "./network.js";

/** @typedef {import("./network.js").Layer} Layer */
/** @typedef {import("./network.js").Network} Network */

/** Second after first as one layer: W₂W₁ and W₂b₁ + b₂. @param {Layer} first @param {Layer} second @returns {Layer} */
export function compose(first, second) {
  const columns = first.weight[0].map((_, j) => first.weight.map((row) => row[j]));
  return {
    weight: second.weight.map((row) => columns.map((column) => row.reduce((sum, value, k) => sum + value * column[k], 0))),
    bias: applyLayer(second, first.bias),
  };
}

/** The layers multiplied out one by one, activations left out; the last entry is the one matrix. @param {Network} network */
export function collapseSteps({ layers }) {
  const steps = [layers[0]];
  for (const layer of layers.slice(1)) steps.push(compose(steps[steps.length - 1], layer));
  return steps;
}

/**
 * Where network and affine map are furthest apart among the points.
 * @param {Network} network @param {Layer} affine @param {number[][]} points
 * @returns {{ distance: number, x: number[], network: number, affine: number }}
 */
export function compare(network, affine, points) {
  let worst = { distance: -1, x: points[0], network: 0, affine: 0 };
  for (const x of points) {
    const [ours, theirs] = [evaluate(network, x), applyLayer(affine, x)[0]];
    const distance = Math.abs(ours - theirs);
    if (distance > worst.distance) worst = { distance, x, network: ours, affine: theirs };
  }
  return worst;
}

/**
 * A bound, generous, on what rounding alone can do to network and product at points with |x| ≤ radius.
 * A difference below it shows nothing.
 * @param {Network} network @param {number} radius
 */
export function roundingBound({ layers }, radius) {
  const sizes = layers.reduce(
    (x, { weight, bias }) => weight.map((row, i) => row.reduce((sum, w, j) => sum + Math.abs(w) * x[j], Math.abs(bias[i]))),
    layers[0].weight[0].map(() => radius),
  );
  const operations = layers.reduce((sum, { weight }) => sum + weight[0].length + 4, 0);
  return 4 * operations * Number.EPSILON * sizes[0];
}

/**
 * Two points between which the network is furthest from affine: every affine map is halfway between its two values halfway
 * between two points.
 * @param {Network} network @param {number[][]} points @param {import("./random.js").Random} random
 */
export function findBend(network, points, random) {
  const pick = () => points[Math.floor(random.uniform(0, points.length))];
  let best = { gap: -1, a: points[0], b: points[0], middle: points[0], value: 0, affine: 0 };
  for (let n = 0; n < 2000; n++) {
    const [a, b] = [pick(), pick()];
    const middle = a.map((value, i) => (value + b[i]) / 2);
    const value = evaluate(network, middle);
    const affine = (evaluate(network, a) + evaluate(network, b)) / 2;
    if (Math.abs(value - affine) > best.gap) best = { gap: Math.abs(value - affine), a, b, middle, value, affine };
  }
  return best;
}
