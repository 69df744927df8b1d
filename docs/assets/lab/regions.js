/** Linear regions: where every unit stays on one straight piece of its activation, the network is one affine map. */

import { ACTIVATIONS } from "./activations.js";
import { forward } from "./network.js";

/** Whether the network is made of straight pieces at all. @param {import("./network.js").Network} network */
export const isPiecewiseAffine = ({ activations }) => activations.every((name) => ACTIVATIONS[name].kinks !== null);

/** On which piece every hidden unit is at x. @param {import("./network.js").Network} network @param {number[]} x */
export function pattern(network, x) {
  const { pre } = forward(network, x);
  return network.activations.map((name, k) => pre[k].map((z) => ACTIVATIONS[name].kinks?.filter((kink) => z > kink).length ?? 0).join("")).join("|");
}

/**
 * The pattern of each point as a number, and how many there are. Points between are not seen: there may be more.
 * @param {import("./network.js").Network} network @param {number[][]} points
 */
export function labelRegions(network, points) {
  /** @type {Map<string, number>} */
  const names = new Map();
  const labels = points.map((x) => {
    const key = pattern(network, x);
    if (!names.has(key)) names.set(key, names.size);
    return /** @type {number} */ (names.get(key));
  });
  return { labels, count: names.size };
}

/**
 * For each hidden unit and each kink of its activation, how far the unit is from it at each point: the regions meet where this is 0.
 * @param {import("./network.js").Network} network @param {number[][]} points @returns {number[][]}
 */
export function findBorders(network, points) {
  const passes = points.map((x) => forward(network, x).pre);
  return network.activations.flatMap((name, k) =>
    network.layers[k].bias.flatMap((_, unit) => (ACTIVATIONS[name].kinks ?? []).map((kink) => passes.map((pre) => pre[k][unit] - kink))));
}
