/** The settings as fields; every change goes to one place. */

import { ACTIVATIONS } from "./activations.js";
import { DATA, isFormula, isOwnPoints } from "./data.js";
import { choice, labelled, make } from "./elements.js";
import { INITS } from "./network.js";
import { MOST, RATES } from "./state.js";

/**
 * @param {import("./state.js").State} state
 * @param {ReturnType<import("./words.js").speak>} say
 * @param {(change: Partial<import("./state.js").State>) => void} change
 * @param {{ error: string, pointClass: number, setPointClass: (value: number) => void }} own what belongs to the reader's own data
 */
export function makeControls(state, say, change, own) {
  return [
    group(say("data"), ...dataFields(state, say, change, own)),
    group(say("network"), ...networkFields(state, say, change)),
    group(say("training"),
      labelled(say("optimiser"), choice(["adam", "sgd"].map((name) => [name, say(/** @type {any} */ (name))]), state.optimiser,
        (value) => change({ optimiser: /** @type {any} */ (value) }))),
      labelled(say("rate"), choice(RATES.map((rate) => [String(rate), String(rate)]), String(state.rate), (value) => change({ rate: Number(value) })))),
  ];
}

/** @param {string} title @param {...Node} fields */
const group = (title, ...fields) => make("fieldset", {}, make("legend", {}, title), ...fields);

/** Whole numbers from low to high as options. @param {number} low @param {number} high @returns {[string, string][]} */
const numbers = (low, high) => Array.from({ length: high - low + 1 }, (_, i) => [String(low + i), String(low + i)]);

/** @param {any} state @param {any} say @param {any} change @param {any} own */
function dataFields(state, say, change, own) {
  const menu = make("select", { onchange: (/** @type {any} */ event) => change({ data: event.target.value }) },
    ...["classification", "regression"].map((task) => make("optgroup", { label: say(task) },
      ...Object.keys(DATA).filter((name) => DATA[name] === task)
        .map((name) => make("option", { value: name, selected: name === state.data }, say(name))))));
  const fields = [labelled(say("dataset"), menu)];
  if (isFormula(state.data)) {
    const field = make("input", {
      type: "text", dir: "ltr", value: state.formula, maxlength: 120, spellcheck: "false", autocomplete: "off",
      "aria-describedby": "lab-formula-help", "aria-invalid": own.error ? "true" : "false",
      onchange: (/** @type {any} */ event) => change({ formula: event.target.value }),
    });
    fields.push(labelled(say(DATA[state.data] === "classification" ? "formulaPlane" : "formulaCurve"), field));
    fields.push(make("p", { class: "lab-help", id: "lab-formula-help" }, say("formulaHelp")));
  } else if (isOwnPoints(state.data)) {
    if (DATA[state.data] === "classification") {
      fields.push(labelled(say("pointClass"), choice([["0", say("class0")], ["1", say("class1")]], String(own.pointClass),
        (value) => own.setPointClass(Number(value)))));
    }
    fields.push(make("p", { class: "lab-help" }, say("pointsHelp")));
    fields.push(make("button", { type: "button", onclick: () => change({ points: [] }) }, say("clear")));
  }
  if (own.error) fields.push(make("p", { class: "lab-error", role: "alert" }, own.error));
  fields.push(labelled(say("seed"), make("input", {
    type: "number", min: 0, max: MOST.seed, step: 1, value: state.seed, inputmode: "numeric",
    onchange: (/** @type {any} */ event) => change({ seed: Math.min(MOST.seed, Math.max(0, Math.trunc(Number(event.target.value) || 0))) }),
  })));
  return fields;
}

/** @param {any} state @param {any} say @param {any} change */
function networkFields(state, say, change) {
  // A field outlives a change: it asks for the state when it is used.
  const of = () => state.activations;
  const names = Object.entries(ACTIVATIONS).map(([name, { title }]) => [name, name === "identity" ? say("none") : title]);
  return [
    labelled(say("depth"), choice(numbers(1, MOST.depth), String(of().length), (value) =>
      change({ activations: Array.from({ length: Number(value) }, (_, k) => of()[k] ?? of()[of().length - 1]) }))),
    labelled(say("width"), choice(numbers(1, MOST.width), String(state.width), (value) => change({ width: Number(value) }))),
    ...of().map((/** @type {string} */ chosen, /** @type {number} */ k) =>
      labelled(say("layerActivation", { k: k + 1 }), choice(/** @type {any} */ (names), chosen, (value) =>
        change({ activations: of().map((/** @type {string} */ name, /** @type {number} */ i) => (i === k ? value : name)) })))),
    labelled(say("init"), choice(INITS.map((name) => [name, say(name)]), state.init, (value) => change({ init: value }))),
  ];
}
