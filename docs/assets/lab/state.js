/** What the reader chose, and the same as the query of a URL. */

import { ACTIVATIONS } from "./activations.js";
import { DATA, WINDOW } from "./data.js";
import { INITS } from "./network.js";

/**
 * @typedef {{
 *   data: string, seed: number, formula: string, points: number[][],
 *   width: number, activations: string[], init: import("./network.js").Init,
 *   optimiser: "adam" | "sgd", rate: number, steps: number, floor: boolean, regions: boolean,
 * }} State  points: [x, y, class]; activations: one per hidden layer
 */

export const RATES = [0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10];
export const MOST = Object.freeze({ depth: 5, width: 12, steps: 20000, points: 100, seed: 9999 });

/** @returns {State} */
export const defaults = () => ({
  data: "moons", seed: 0, formula: "", points: [], width: 8, activations: ["identity", "identity"], init: "default",
  optimiser: "adam", rate: 0.03, steps: 0, floor: true, regions: false,
});

/** Only what differs from the defaults. @param {State} state @returns {URLSearchParams} */
export function toQuery(state) {
  const plain = flatten(state);
  const usual = flatten(defaults());
  return new URLSearchParams(Object.entries(plain).filter(([name, value]) => value !== usual[name]));
}

/** @param {State} state @returns {Record<string, string>} */
const flatten = (state) => ({
  data: state.data, seed: String(state.seed), formula: state.formula,
  points: state.points.map((point) => point.map((v) => Number(v.toFixed(2))).join("_")).join("~"),
  width: String(state.width), layers: state.activations.join("-"), init: state.init,
  optimiser: state.optimiser, rate: String(state.rate), steps: String(state.steps),
  floor: state.floor ? "1" : "0", regions: state.regions ? "1" : "0",
});

/** What cannot be understood is left at its default: a URL is text from somewhere else. @param {string} query @returns {State} */
export function fromQuery(query) {
  const values = new URLSearchParams(query);
  const state = defaults();
  const one = (/** @type {string} */ name, /** @type {readonly any[]} */ known, /** @type {any} */ usual) =>
    known.find((value) => String(value) === values.get(name)) ?? usual;
  const whole = (/** @type {string} */ name, /** @type {number} */ low, /** @type {number} */ high, /** @type {number} */ usual) => {
    const text = values.get(name) ?? "";
    return /^\d{1,6}$/.test(text) ? Math.min(high, Math.max(low, Number(text))) : usual;
  };
  const layers = (values.get("layers") ?? "").split("-").filter((name) => Object.hasOwn(ACTIVATIONS, name)).slice(0, MOST.depth);
  return {
    data: one("data", Object.keys(DATA), state.data),
    seed: whole("seed", 0, MOST.seed, state.seed),
    formula: (values.get("formula") ?? state.formula).slice(0, 120),
    points: readPoints(values.get("points") ?? ""),
    width: whole("width", 1, MOST.width, state.width),
    activations: layers.length ? layers : state.activations,
    init: one("init", INITS, state.init),
    optimiser: one("optimiser", ["adam", "sgd"], state.optimiser),
    rate: one("rate", RATES, state.rate),
    steps: whole("steps", 0, MOST.steps, 0),
    floor: values.get("floor") !== "0",
    regions: values.get("regions") === "1",
  };
}

/** @param {string} text @returns {number[][]} */
function readPoints(text) {
  return text
    .split("~")
    .map((point) => point.split("_").map(Number))
    .filter(([x, y, c, ...rest]) => Math.abs(x) <= WINDOW.x && Math.abs(y) <= WINDOW.y && (c === 0 || c === 1) && !rest.length)
    .slice(0, MOST.points);
}
