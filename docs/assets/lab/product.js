/** The Collapse button's work: the weights multiplied out before the reader's eyes, and the verdict. */

import { collapseSteps, compare, findBend, roundingBound } from "./collapse.js";
import { WINDOW } from "./data.js";
import { make } from "./elements.js";
import { countParameters, isActivationFree } from "./network.js";
import { makeRandom } from "./random.js";
import { show } from "./words.js";

const PAUSE = 900;
/** A difference smaller than this share of the largest value is not shown as one. */
const VISIBLE = 1e-6;

/** @param {number[]} x */
const place = (x) => (x.length > 1 ? `\u2066(${x.map((value) => show(value)).join(",\u00a0")})\u2069` : `\u2066x\u00a0=\u00a0${show(x[0])}\u2069`);
/** @param {number} value */
const number = (value) => `\u2066${show(value, 4)}\u2069`;
/** @param {number[][]} matrix */
const shape = (matrix) => `\u2066${matrix.length}\u00a0×\u00a0${matrix[0].length}\u2069`;

/** A layer as numbers. @param {import("./network.js").Layer} layer @param {any} say */
function numbersOf({ weight, bias }, say) {
  const names = weight[0].length === 1 ? ["x"] : ["x", "y"];
  const head = make("tr", {}, ...names.map((name) => make("th", { scope: "col" }, name)), make("th", { scope: "col" }, say("bias")));
  const rows = weight.map((row, i) => make("tr", {}, ...[...row, bias[i]].map((value) => make("td", {}, show(value)))));
  return make("table", { class: "lab-matrix", dir: "ltr" }, make("thead", {}, head), make("tbody", {}, ...rows));
}

/** A layer's weights as shades: blue below 0, vermilion above. @param {number[][]} weight @param {string} name */
function shadesOf(weight, name) {
  const most = Math.max(1e-12, ...weight.flat().map(Math.abs));
  const cells = weight.flat().map((value) => make("span", {
    style: `background:color-mix(in srgb, var(--${value < 0 ? "blue" : "vermilion"}) ${Math.round((100 * Math.abs(value)) / most)}%, var(--paper))`,
  }));
  return make("div", { class: "lab-shades", dir: "ltr", role: "img", "aria-label": name, style: `--columns:${weight[0].length}` }, ...cells);
}

/**
 * What network and product are to each other on these points, in words and numbers.
 * @param {import("./network.js").Network} network @param {number[][]} points @param {any} say
 * @returns {{ one: import("./network.js").Layer, same: boolean, at: number[] | null, words: string[] }}
 */
export function judge(network, points, say) {
  const steps = collapseSteps(network);
  const one = steps[steps.length - 1];
  const worst = compare(network, one, points);
  if (isActivationFree(network)) {
    const bound = roundingBound(network, WINDOW.x);
    const words = say("collapseSame", { distance: number(worst.distance), count: points.length, bound: number(bound) });
    return { one, same: true, at: null, words: [words] };
  }
  const left = say("collapseIgnored");
  if (!(worst.distance > VISIBLE * Math.max(1, Math.abs(worst.network)))) {
    return { one, same: false, at: null, words: [left, say("collapseUnclear", { count: points.length, distance: number(VISIBLE) })] };
  }
  const words = [left, say("collapseDiffers", { point: place(worst.x), network: number(worst.network), affine: number(worst.affine) })];
  const bend = findBend(network, points, makeRandom(0));
  if (bend.gap > VISIBLE * Math.max(1, Math.abs(bend.value))) {
    words.push(say("collapseBend", { a: place(bend.a), b: place(bend.b), affine: number(bend.affine), value: number(bend.value) }));
  }
  return { one, same: false, at: worst.x, words };
}

/**
 * Writes the product into the panel, one layer after another; at once where `calm`.
 * @param {HTMLElement} panel @param {import("./network.js").Network} network @param {string[]} verdict @param {any} say
 * @param {boolean} calm @param {() => boolean} stale whether to stop, as the network has changed
 */
export async function showProduct(panel, network, verdict, say, calm, stale) {
  const steps = collapseSteps(network);
  const list = make("ol", { class: "lab-product" });
  panel.replaceChildren(make("p", { class: "lab-title" }, say("collapseTitle")), list);
  panel.hidden = false;
  panel.scrollIntoView({ block: "nearest", behavior: calm ? "auto" : "smooth" });
  for (let k = 0; k < steps.length; k++) {
    if (k > 0 && !calm) await new Promise((done) => setTimeout(done, PAUSE));
    if (stale()) return;
    const { weight } = network.layers[k];
    const words = k === 0
      ? say("collapseStart", { shape: shape(weight) })
      : say("collapseNext", { k: k + 1, left: shape(weight), right: shape(steps[k - 1].weight), shape: shape(steps[k].weight) });
    const factor = k === 0 ? [] : [shadesOf(weight, `W${k + 1}: ${shape(weight)}`), make("span", { "aria-hidden": "true" }, "→")];
    list.append(make("li", {}, make("p", {}, words), make("div", { class: "lab-factors", dir: "ltr" }, ...factor, numbersOf(steps[k], say))));
  }
  const one = steps[steps.length - 1];
  const counts = { before: countParameters(network), after: one.weight.flat().length + one.bias.length };
  panel.append(make("p", { class: "lab-verdict" }, make("strong", {}, say("collapseResult", counts))), ...verdict.map((text) => make("p", { class: "lab-verdict" }, text)));
}
