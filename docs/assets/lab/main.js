/** The laboratory on a page: settings, one run, one picture, and the words beside it. */

import { makeControls } from "./controls.js";
import { DATA, WINDOW, isFormula, isOwnPoints, makeRows } from "./data.js";
import { Picture, gridPoints } from "./draw.js";
import { make, renew, tick } from "./elements.js";
import { linearFloor } from "./floor.js";
import { FormulaError } from "./formula.js";
import { applyLayer, countParameters, evaluate, forwardAll, isActivationFree, makeNetwork } from "./network.js";
import { judge, showProduct } from "./product.js";
import { makeRandom } from "./random.js";
import { findBorders, isPiecewiseAffine, labelRegions } from "./regions.js";
import { MOST, fromQuery, toQuery } from "./state.js";
import { Run, gradientSizes } from "./train.js";
import { show, speak } from "./words.js";

const SPEAK_EVERY = 4000;
/** A frame may train for so long, in milliseconds, and the next one begins so much later. */
const FRAME = 12;
const LONG_FRAME = 60;
const GAP = 16;
const CALM_GAP = 1000;
const STEPS_PER_FRAME = 4;
const INNER = 0.93;
const KEY_STEP = 0.15;
const FIRST_FORMULA = "sin(3*x)";

/** @param {HTMLElement} place */
export const mount = (place) => new Laboratory(place);

class Laboratory {
  /** @param {HTMLElement} place */
  constructor(place) {
    const language = place.closest("[lang]")?.getAttribute("lang") ?? "en";
    this.say = speak(language);
    this.place = place;
    this.state = fromQuery(location.search);
    this.pointClass = 0;
    this.cursor = [0, 0];
    this.error = "";
    this.playing = false;
    this.spoken = 0;
    this.round = 0;
    this.calm = matchMedia("(prefers-reduced-motion: reduce)");
    this.build();
    const { steps } = this.state;
    this.restart();
    if (steps) this.replay(steps);
    new ResizeObserver(() => this.draw()).observe(this.canvas);
    matchMedia("print").addEventListener("change", () => this.draw());
    new MutationObserver(() => this.draw()).observe(document.body, { attributes: true, attributeFilter: ["data-md-color-scheme"] });
  }

  build() {
    const { say } = this;
    const button = (/** @type {string} */ name, /** @type {() => void} */ onclick) =>
      make("button", { type: "button", "data-do": name, onclick }, say(/** @type {any} */ (name)));
    this.canvas = make("canvas", {
      class: "lab-canvas",
      onclick: (/** @type {any} */ e) => this.click(e), onkeydown: (/** @type {any} */ e) => this.key(e),
      onfocus: () => this.draw(), onblur: () => this.draw(),
    });
    this.picture = new Picture(this.canvas);
    this.buttons = {
      play: button("play", () => (this.playing ? this.pause() : this.play())),
      single: button("single", () => this.single()),
      reset: button("reset", () => { this.pause(); this.restart(); }),
      collapse: button("collapse", () => this.collapse()),
    };
    this.controls = make("div", { class: "lab-controls" });
    this.legend = make("ul", { class: "lab-legend" });
    this.readout = make("dl", { class: "lab-readout" });
    this.gradients = make("div", { class: "lab-gradients" });
    this.notes = make("p", { class: "lab-help" });
    this.summary = make("p", { class: "lab-summary", "aria-live": "polite" });
    this.panel = make("section", { class: "lab-panel", "aria-label": say("collapseTitle"), hidden: true });
    const ticks = make("div", { class: "lab-ticks" },
      tick(say("showFloor"), this.state.floor, (floor) => this.look({ floor })),
      tick(say("showRegions"), this.state.regions, (regions) => this.look({ regions })));
    this.place.classList.add("lab");
    this.place.setAttribute("role", "group");
    this.place.setAttribute("aria-label", say("title"));
    this.place.setAttribute("data-search-exclude", "");
    this.place.replaceChildren(
      make("div", { class: "lab-stage" },
        make("div", { class: "lab-view" }, this.canvas, this.legend),
        make("div", { class: "lab-side" },
          make("div", { class: "lab-buttons" }, ...Object.values(this.buttons)), ticks, this.readout, this.summary, this.notes, this.gradients)),
      this.panel, this.controls);
  }

  /** Other settings: the run starts again from its first weights, and goes on if it was going. @param {Partial<import("./state.js").State>} change */
  change(change) {
    Object.assign(this.state, change);
    this.restart();
  }

  /** Other things to see in the same run. @param {Partial<import("./state.js").State>} change */
  look(change) {
    Object.assign(this.state, change);
    this.remember();
    this.update(true);
  }

  restart() {
    const { state, say } = this;
    this.task = DATA[state.data];
    if (isFormula(state.data)) state.formula ||= FIRST_FORMULA;
    this.error = "";
    this.run = null;
    this.goal = undefined;
    let rows = { x: /** @type {number[][]} */ ([]), y: /** @type {number[]} */ ([]) };
    try {
      rows = makeRows(state.data, state.seed, state.formula, state.points);
      if (rows.x.length < 2 && isFormula(state.data)) this.error = say("formulaEmpty");
    } catch (error) {
      if (!(error instanceof FormulaError)) throw error;
      this.error = say("formulaBad", { at: error.at });
    }
    this.rows = rows;
    this.bottom = linearFloor(rows, this.task);
    if (rows.x.length >= 2) {
      const widths = [rows.x[0].length, ...state.activations.map(() => state.width), 1];
      const network = makeNetwork(widths, state.activations, state.init, makeRandom(state.seed + 1));
      this.run = new Run(network, rows, this.task, state.optimiser, state.rate);
    } else this.pause();
    renew(this.controls, makeControls(state, say, (change) => this.change(change), {
      error: this.error, pointClass: this.pointClass, setPointClass: (value) => { this.pointClass = value; },
    }));
    const own = isOwnPoints(state.data);
    this.canvas.setAttribute("role", own ? "application" : "img");
    this.canvas.toggleAttribute("data-own", own);
    if (own) this.canvas.tabIndex = 0;
    else this.canvas.removeAttribute("tabindex");
    this.forget();
    this.remember();
    this.update(true);
  }

  /** The product belongs to weights that are no longer there. */
  forget() {
    this.round += 1;
    this.product = null;
    this.panel.hidden = true;
  }

  /** Puts what was chosen, and how far the run came, into the URL. */
  remember() {
    this.state.steps = this.run?.steps ?? 0;
    const query = toQuery(this.state).toString();
    try {
      history.replaceState(history.state, "", `${location.pathname}${query ? `?${query}` : ""}${location.hash}`);
    } catch {
      // Safari refuses more than a hundred in half a minute; the next one that it takes says it all.
    }
  }

  play() {
    if (!this.run || this.run.diverged) return;
    this.playing = true;
    this.forget();
    this.update(true);
    this.tickOn();
  }

  pause() {
    this.goal = undefined;
    if (!this.playing) return;
    this.playing = false;
    this.remember();
    this.update(true);
  }

  /** Trains as a URL says, as fast as it goes. @param {number} steps */
  replay(steps) {
    this.goal = steps;
    this.play();
  }

  /** One frame of training; where motion is not wanted, the picture changes once a second. */
  tickOn() {
    let shown = performance.now();
    const frame = () => {
      if (!this.playing || !this.run) return;
      if (document.hidden) return next();
      const start = performance.now();
      const replaying = this.goal !== undefined;
      const calm = this.calm.matches;
      const last = Math.min(this.goal ?? MOST.steps, MOST.steps);
      const most = replaying ? last : calm ? 15 * STEPS_PER_FRAME : STEPS_PER_FRAME;
      let going = true;
      for (let n = 0; n < most && going && this.run.steps < last; n++) {
        going = this.run.step();
        if (performance.now() - start > (replaying || calm ? LONG_FRAME : FRAME)) break;
      }
      if (!going || this.run.steps >= last) return this.pause();
      if (!calm || start - shown >= CALM_GAP) {
        this.update(false);
        shown = start;
      }
      next();
    };
    const next = () => setTimeout(frame, this.calm.matches && this.goal === undefined ? CALM_GAP : GAP);
    next();
  }

  single() {
    this.pause();
    if (!this.run) return;
    this.forget();
    if (this.run.steps < MOST.steps) this.run.step();
    this.remember();
    this.update(true);
  }

  /** The product first, layer by layer; then its line in the picture, and the verdict. */
  async collapse() {
    this.pause();
    if (!this.run) return;
    this.forget();
    this.update(true);
    const { network } = this.run;
    const round = this.round;
    const stale = () => round !== this.round;
    // Not at the very edge, where a ring would be cut off.
    const points = gridPoints(this.task).filter((x) => x.every((value) => Math.abs(value) < INNER * WINDOW.x));
    const product = judge(network, points, this.say);
    await showProduct(this.panel, network, product.words, this.say, this.calm.matches, stale);
    if (stale()) return;
    this.product = product;
    this.update(true);
    this.summary.textContent = product.words.join(" ");
  }

  /** Everything that shows the run. @param {boolean} aloud whether the words change now, or only now and then */
  update(aloud) {
    const { run, say, buttons } = this;
    buttons.play.textContent = say(this.playing ? "pause" : "play");
    buttons.play.disabled = buttons.single.disabled = !run || run.diverged || run.steps >= MOST.steps;
    buttons.collapse.disabled = buttons.reset.disabled = !run;
    const facts = run
      ? [["steps", run.steps], ["loss", show(run.loss, 4)], ["floor", show(this.bottom.loss, 4)], ["parameters", countParameters(run.network)]]
      : [];
    this.readout.replaceChildren(...facts.map(([name, value]) =>
      make("div", {}, make("dt", {}, say(name)), make("dd", { dir: "ltr", "data-value": name }, String(value)))));
    this.draw();
    this.showGradients();
    const now = performance.now();
    if (!aloud && now - this.spoken < SPEAK_EVERY) return;
    this.spoken = now;
    const words = this.describe();
    if (this.summary.textContent !== words) this.summary.textContent = words;
    this.canvas.setAttribute("aria-label", say("picture", { summary: isOwnPoints(this.state.data) ? say("pointsHelp") : words }));
  }

  describe() {
    const { run, say } = this;
    if (!run) return this.error || say("pointsNone", { count: this.rows.x.length });
    const words = isOwnPoints(this.state.data) ? [say("pointsCount", { count: this.rows.x.length })] : [];
    words.push(say("summary", { steps: run.steps, loss: show(run.loss), floor: this.againstFloor() }));
    if (isActivationFree(run.network)) words.push(say("straight"));
    if (run.diverged) words.push(say("diverged", { steps: run.steps, rate: this.state.rate }));
    if (run.steps >= MOST.steps) words.push(say("finished", { steps: MOST.steps }));
    return words.join(" ");
  }

  againstFloor() {
    const { loss, attained } = this.bottom;
    const above = this.run.loss - loss;
    const floor = show(loss);
    if (new Set(this.rows.y).size === 1 && this.task === "classification") return this.say("oneClass");
    if (!attained) return loss === 0 ? this.say("zeroFloor") : this.say("tiedFloor", { floor });
    if (Math.abs(above) <= 1e-9 + 0.005 * loss) return this.say("atFloor", { floor });
    return above > 0 ? this.say("aboveFloor", { floor, by: show(above) }) : this.say("belowFloor", { floor });
  }

  draw() {
    const { picture, run, task, state, say } = this;
    if (!task) return;
    const high = task === "regression" ? 1.1 * Math.max(...this.rows.y.map(Math.abs)) : 0;
    picture.begin(Math.max(WINDOW.y, high));
    const points = gridPoints(task);
    const passes = run ? forwardAll(run.network, points) : [];
    const values = run ? passes.map((pre) => pre[pre.length - 1][0]) : null;
    if (values && task === "classification") picture.heat(values);
    picture.axes(task);
    this.notes.textContent = run && state.regions ? this.drawRegions(passes) : "";
    picture.rows(this.rows, task);
    const shown = [];
    if (values) {
      if (task === "classification") picture.boundary([values], "ink", 3);
      else picture.curve((x) => evaluate(run.network, [x]), "ink", 3);
      shown.push(["ink", "legendNetwork"]);
    }
    // Over the network, which may lie on it.
    if (run && state.floor) {
      const { weight, bias } = this.bottom;
      if (task === "classification") picture.line(weight, bias, "green", 3, [10, 6]);
      else picture.curve((x) => weight[0] * x + bias, "green", 3, [10, 6]);
      shown.push(["green", "legendFloor"]);
    }
    if (this.product) {
      const { one, at } = this.product;
      if (task === "classification") picture.line(one.weight[0], one.bias[0], "purple", 5, [3, 7]);
      else picture.curve((x) => applyLayer(one, [x])[0], "purple", 5, [3, 7]);
      shown.push(["purple", "legendOne"]);
      if (at) {
        const inside = INNER * picture.height;
        const y = task === "regression" ? Math.max(-inside, Math.min(inside, evaluate(run.network, at))) : at[1];
        picture.ring(at[0], y, "orange");
        shown.push(["orange", "legendDiffers"]);
      }
    }
    if (isOwnPoints(state.data) && document.activeElement === this.canvas) picture.cross(this.cursor[0], this.cursor[1]);
    const names = shown.map(([colour]) => colour).join();
    if (this.legend.dataset.shown === names) return;
    this.legend.dataset.shown = names;
    this.legend.replaceChildren(...shown.map(([colour, name]) =>
      make("li", {}, make("span", { class: `lab-swatch lab-${colour}`, "aria-hidden": "true" }), say(/** @type {any} */ (name)))));
  }

  /** @param {number[][][]} passes @returns {string} */
  drawRegions(passes) {
    if (!isPiecewiseAffine(this.run.network)) return this.say("regionsSmooth");
    this.picture.regions(findBorders(this.run.network, passes), this.task);
    return this.say("regionsCount", { count: labelRegions(this.run.network, passes).count });
  }

  showGradients() {
    const { run, say } = this;
    if (!run) return this.gradients.replaceChildren();
    const rows = gradientSizes(run.measured.gradient).map((size, k) => {
      // Ten decades, from 1e-8 to 100.
      const share = size > 0 ? Math.min(1, Math.max(0, (Math.log10(size) + 8) / 10)) : 0;
      return make("li", {}, make("span", {}, say("layer", { k: k + 1 })),
        make("span", { class: "lab-bar", "aria-hidden": "true" }, make("span", { style: `inline-size:${100 * share}%` })),
        make("span", { dir: "ltr", class: "lab-number" }, show(size)));
    });
    this.gradients.replaceChildren(make("p", { class: "lab-caption" }, say("gradients")), make("ul", {}, ...rows));
  }

  /** @param {MouseEvent} event */
  click(event) {
    if (!isOwnPoints(this.state.data)) return;
    const box = this.canvas.getBoundingClientRect();
    this.add(WINDOW.x * ((2 * (event.clientX - box.left)) / box.width - 1), WINDOW.y * (1 - (2 * (event.clientY - box.top)) / box.height));
  }

  /** @param {number} x @param {number} y */
  add(x, y) {
    this.cursor = [x, y];
    const point = [Number(x.toFixed(2)), Number(y.toFixed(2)), this.pointClass];
    if (this.state.points.length < MOST.points) this.change({ points: [...this.state.points, point] });
  }

  /** @param {KeyboardEvent} event */
  key(event) {
    const { say } = this;
    if (!isOwnPoints(this.state.data)) return;
    const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
    const move = /** @type {Record<string, number[]>} */ (moves)[event.key];
    const [x, y] = this.cursor;
    if (move) this.cursor = [x, y].map((v, i) => Math.max(-WINDOW.x, Math.min(WINDOW.x, v + KEY_STEP * move[i])));
    else if (event.key === "Enter" || event.key === " ") this.add(x, y);
    else if (event.key === "Delete" || event.key === "Backspace") this.takeAway(x, y);
    else return;
    event.preventDefault();
    this.draw();
    if (move) this.summary.textContent = say("cross", { x: show(this.cursor[0]), y: show(this.cursor[1]) });
  }

  /** @param {number} x @param {number} y */
  takeAway(x, y) {
    const far = this.state.points.map((point) => Math.hypot(point[0] - x, point[1] - y));
    const nearest = far.indexOf(Math.min(...far));
    if (nearest >= 0) this.change({ points: this.state.points.filter((_, n) => n !== nearest) });
  }
}
