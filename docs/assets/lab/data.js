/** The data sets: points in the plane with a class, or numbers with a value. */

import { makeRandom } from "./random.js";
import { parseFormula } from "./formula.js";

/** @typedef {import("./train.js").Rows} Rows */
/** @typedef {import("./train.js").Task} Task */

const ROWS = 120;

/** What the picture shows. */
export const WINDOW = Object.freeze({ x: 2.4, y: 2.4 });

/** @type {Record<string, (n: number, random: import("./random.js").Random) => [number[], number]>} */
const DRAWN = {
  moons: (n, r) => {
    const t = r.uniform(0, Math.PI);
    const [x, y] = n % 2 ? [1 - Math.cos(t), 0.5 - Math.sin(t)] : [Math.cos(t), Math.sin(t)];
    return [[1.2 * (x - 0.5) + 0.15 * r.normal(), 1.2 * (y - 0.25) + 0.15 * r.normal()], n % 2];
  },
  circles: (n, r) => {
    const [t, radius] = [r.uniform(0, 2 * Math.PI), n % 2 ? 0.7 : 1.7];
    return [[radius * Math.cos(t) + 0.15 * r.normal(), radius * Math.sin(t) + 0.15 * r.normal()], n % 2];
  },
  xor: (n, r) => {
    const [a, b] = [n & 1, (n >> 1) & 1];
    return [[2 * a - 1 + 0.3 * r.normal(), 2 * b - 1 + 0.3 * r.normal()], a ^ b];
  },
  spiral: (n, r) => {
    const t = r.uniform(0.15, 1);
    const turn = 1.5 * Math.PI * t * 1.6 + (n % 2) * Math.PI;
    return [[2 * t * Math.cos(turn) + 0.06 * r.normal(), 2 * t * Math.sin(turn) + 0.06 * r.normal()], n % 2];
  },
  noise: (_, r) => [[r.uniform(-2, 2), r.uniform(-2, 2)], r.uniform() < 0.5 ? 0 : 1],
  sine: (_, r) => { const x = r.uniform(-2, 2); return [[x], 1.5 * Math.sin(2.5 * x) + 0.15 * r.normal()]; },
  step: (_, r) => { const x = r.uniform(-2, 2); return [[x], (x > 0 ? 1 : -1) + 0.15 * r.normal()]; },
  noise1d: (_, r) => [[r.uniform(-2, 2)], 0.8 * r.normal()],
};

/** @type {Readonly<Record<string, Task>>} in the order of the menu */
export const DATA = Object.freeze({
  moons: "classification", circles: "classification", xor: "classification", spiral: "classification", noise: "classification",
  points: "classification", formula: "classification",
  sine: "regression", step: "regression", noise1d: "regression", points1d: "regression", formula1d: "regression",
});

/** @param {string} name of DATA */
export const isOwnPoints = (name) => name.startsWith("points");
/** @param {string} name of DATA */
export const isFormula = (name) => name.startsWith("formula");

/**
 * The rows of a data set. A formula in x and y says class 1 where it is above 0; a formula in x is the value itself.
 * Places where a formula has no finite value are left out.
 * @param {string} name @param {number} seed @param {string} formula @param {number[][]} points [x, y, class]
 * @returns {Rows}
 */
export function makeRows(name, seed, formula, points) {
  const task = DATA[name];
  if (isOwnPoints(name)) {
    return task === "classification"
      ? { x: points.map(([x, y]) => [x, y]), y: points.map((point) => point[2]) }
      : { x: points.map(([x]) => [x]), y: points.map(([, y]) => y) };
  }
  const random = makeRandom(seed);
  const drawn = isFormula(name) ? fromFormula(task, formula) : DRAWN[name];
  const rows = Array.from({ length: ROWS }, (_, n) => drawn(n, random)).filter(([, y]) => Number.isFinite(y) && Math.abs(y) < 1e6);
  return { x: rows.map(([x]) => x), y: rows.map(([, y]) => y) };
}

/** @param {Task} task @param {string} formula @returns {(n: number, random: import("./random.js").Random) => [number[], number]} */
function fromFormula(task, formula) {
  const value = parseFormula(formula, task === "classification" ? ["x", "y"] : ["x"]);
  return (_, r) => {
    const x = task === "classification" ? [r.uniform(-2, 2), r.uniform(-2, 2)] : [r.uniform(-2, 2)];
    const v = value(...x);
    return [x, task === "regression" || !Number.isFinite(v) ? v : v > 0 ? 1 : 0];
  };
}
