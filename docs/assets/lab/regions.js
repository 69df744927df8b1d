/** Linear regions: where every unit stays on one straight piece of its activation, the network is one affine map. */

import { ACTIVATIONS } from "./activations.js";

/** @typedef {import("./network.js").Network} Network */

const DIGITS = 1e9;

/** Whether the network is made of straight pieces at all. @param {Network} network */
export const isPiecewiseAffine = ({ activations }) => activations.every((name) => ACTIVATIONS[name].kinks !== null);

/** On which piece every hidden unit is. @param {Network} network @param {number[][]} pre what forwardAll gives for a point */
const patternOf = ({ activations }, pre) =>
  activations.map((name, k) => pre[k].map((z) => ACTIVATIONS[name].kinks?.filter((kink) => z > kink).length ?? 0).join("")).join("|");

/** Weights and bias of the affine map that the network is around a point, from the last layer back. @param {Network} network @param {number[][]} pre */
function mapAt({ layers, activations }, pre) {
  const last = layers[layers.length - 1];
  let [row, bias] = [last.weight[0], last.bias[0]];
  for (let k = layers.length - 2; k >= 0; k--) {
    const { slope, value } = ACTIVATIONS[activations[k]];
    const { weight, bias: b } = layers[k];
    const next = weight[0].map(() => 0);
    pre[k].forEach((z, i) => {
      const s = slope(z);
      bias += row[i] * (s * b[i] + (value(z) - s * z));
      for (let j = 0; j < next.length; j++) next[j] += row[i] * s * weight[i][j];
    });
    row = next;
  }
  return [...row, bias];
}

/**
 * A number for the linear region of each point, and how many there are: two points are in one region where the network is the
 * same affine map around both. Points between are not seen: there may be more.
 * @param {Network} network @param {number[][][]} passes what forwardAll gives
 */
export function labelRegions(network, passes) {
  /** @type {Map<string, number>} */
  const patterns = new Map();
  /** @type {number[][]} */
  const maps = [];
  const found = passes.map((pre) => {
    const pattern = patternOf(network, pre);
    if (!patterns.has(pattern)) {
      patterns.set(pattern, maps.length);
      maps.push(mapAt(network, pre));
    }
    return /** @type {number} */ (patterns.get(pattern));
  });
  const most = Math.max(...maps.flat().map(Math.abs)) || 1;
  /** @type {Map<string, number>} */
  const regions = new Map();
  const regionOf = maps.map((map) => {
    const name = map.map((v) => Math.round((DIGITS * v) / most) + 0).join();
    if (!regions.has(name)) regions.set(name, regions.size);
    return /** @type {number} */ (regions.get(name));
  });
  return { labels: found.map((pattern) => regionOf[pattern]), count: regions.size };
}

/**
 * For each hidden unit and each kink of its activation, how far the unit is from it at each point: the unit bends where this is 0.
 * @param {Network} network @param {number[][][]} passes @returns {number[][]}
 */
export function findBorders(network, passes) {
  return network.activations.flatMap((name, k) =>
    network.layers[k].bias.flatMap((_, unit) => (ACTIVATIONS[name].kinks ?? []).map((kink) => passes.map((pre) => pre[k][unit] - kink))));
}
