/** The picture: what the network computes, the data, the floor and the one matrix, in the colours of the page. */

import { sigmoid } from "./activations.js";
import { WINDOW } from "./data.js";
import { show } from "./words.js";

const CELLS = 48;
const COLOURS = ["paper", "ink", "muted", "rule", "blue", "vermilion", "green", "purple", "orange", "blue-fill", "vermilion-fill"];

/** @typedef {{ x: number[], y: number[] }} Path */

/** The points at which the picture looks at the network. @param {import("./train.js").Task} task @returns {number[][]} */
export function gridPoints(task) {
  if (task === "regression") return Array.from({ length: 241 }, (_, i) => [WINDOW.x * (i / 120 - 1)]);
  const at = (/** @type {number} */ i, /** @type {number} */ size) => size * ((2 * i) / CELLS - 1);
  return Array.from({ length: (CELLS + 1) ** 2 }, (_, n) => [at(n % (CELLS + 1), WINDOW.x), at(Math.floor(n / (CELLS + 1)), WINDOW.y)]);
}

const SQUARE = gridPoints("classification");

/** Pieces of the line on which values at the grid of the plane are 0. @param {number[]} values @returns {number[][][]} */
function zeroLine(values) {
  const pieces = [];
  for (let row = 0; row < CELLS; row++) {
    for (let column = 0; column < CELLS; column++) {
      const k = row * (CELLS + 1) + column;
      const above = values[k] > 0;
      if (above === values[k + 1] > 0 && above === values[k + CELLS + 1] > 0 && above === values[k + CELLS + 2] > 0) continue;
      // Two triangles in each square: the zero line of three values is one segment, never ambiguous.
      for (const corners of [[k, k + 1, k + CELLS + 2], [k, k + CELLS + 2, k + CELLS + 1]]) {
        const ends = corners.flatMap((a, i) => {
          const b = corners[(i + 1) % 3];
          if (values[a] > 0 === values[b] > 0) return [];
          const t = values[a] / (values[a] - values[b]);
          return [SQUARE[a].map((value, axis) => value + t * (SQUARE[b][axis] - value))];
        });
        if (ends.length === 2) pieces.push(ends);
      }
    }
  }
  return pieces;
}

/** Round numbers on both sides of 0, one to three on each. @param {number} end */
function ticksUpTo(end) {
  const decade = 10 ** Math.floor(Math.log10(end));
  const step = decade * ([5, 2, 1].find((part) => part * decade * 2 <= end) ?? 1);
  const ticks = Array.from({ length: Math.floor(end / step) }, (_, i) => step * (i + 1));
  return [...ticks.map((tick) => -tick), ...ticks];
}

/** Draws on one canvas. */
export class Picture {
  /** @param {HTMLCanvasElement} canvas */
  constructor(canvas) {
    this.canvas = canvas;
    this.pen = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  }

  /** Sizes the canvas for the screen and reads the colours of the page. @param {number} height the largest value of y that is shown */
  begin(height) {
    const style = getComputedStyle(this.canvas);
    const size = Math.round((this.canvas.clientWidth || 400) * (devicePixelRatio || 1));
    if (this.canvas.width !== size) this.canvas.width = this.canvas.height = size;
    this.size = size;
    this.unit = size / 440;
    this.height = height;
    const colours = Object.fromEntries(COLOURS.map((name) => [name, style.getPropertyValue(`--${name}`).trim() || "#888"]));
    this.colour = (/** @type {string} */ name) => colours[name];
    this.font = style.fontFamily;
    this.pen.fillStyle = this.colour("paper");
    this.pen.fillRect(0, 0, size, size);
  }

  /** From the window to the canvas. @param {number} x */
  across = (x) => ((x / WINDOW.x + 1) / 2) * this.size;
  /** @param {number} y */
  down = (y) => ((1 - y / this.height) / 2) * this.size;

  /** The chance of class 1 as colour. @param {number[]} values of the network at gridPoints */
  heat(values) {
    const edge = (/** @type {number} */ n) => Math.round((n * this.size) / CELLS);
    for (let row = 0; row < CELLS; row++) {
      for (let column = 0; column < CELLS; column++) {
        const corner = row * (CELLS + 1) + column;
        const value = (values[corner] + values[corner + 1] + values[corner + CELLS + 1] + values[corner + CELLS + 2]) / 4;
        const chance = sigmoid(value);
        this.pen.globalAlpha = 0.15 + 0.85 * Math.abs(2 * chance - 1);
        this.pen.fillStyle = this.colour(chance > 0.5 ? "vermilion-fill" : "blue-fill");
        const [left, top] = [edge(column), edge(CELLS - 1 - row)];
        this.pen.fillRect(left, top, edge(column + 1) - left, edge(CELLS - row) - top);
      }
    }
    this.pen.globalAlpha = 1;
  }

  /** @param {string} colour @param {number} width @param {number[]} [dash] */
  stroke(colour, width, dash = []) {
    this.pen.strokeStyle = this.colour(colour);
    this.pen.lineWidth = width * this.unit;
    this.pen.setLineDash(dash.map((length) => length * this.unit));
    this.pen.stroke();
    this.pen.setLineDash([]);
  }

  /** Where values on the grid change sign, list by list. @param {number[][]} lists @param {string} colour @param {number} width @param {number[]} [dash] */
  boundary(lists, colour, width, dash) {
    this.pen.beginPath();
    for (const [[a, b], [c, d]] of lists.flatMap(zeroLine)) {
      this.pen.moveTo(this.across(a), this.down(b));
      this.pen.lineTo(this.across(c), this.down(d));
    }
    this.stroke(colour, width, dash);
  }

  /** w·x + b = 0 across the whole picture. @param {number[]} weight @param {number} bias @param {string} colour @param {number} width @param {number[]} dash */
  line([a, b], bias, colour, width, dash) {
    const length = a * a + b * b;
    if (!(length > 0)) return;
    const [x, y] = [(-bias * a) / length, (-bias * b) / length];
    const far = 10 / Math.sqrt(length);
    this.pen.beginPath();
    this.pen.moveTo(this.across(x - far * b), this.down(y + far * a));
    this.pen.lineTo(this.across(x + far * b), this.down(y - far * a));
    this.stroke(colour, width, dash);
  }

  /** @param {(x: number) => number} f @param {string} colour @param {number} width @param {number[]} [dash] */
  curve(f, colour, width, dash) {
    this.pen.beginPath();
    for (const [x] of gridPoints("regression")) this.pen.lineTo(this.across(x), this.down(f(x)));
    this.stroke(colour, width, dash);
  }

  /** @param {import("./train.js").Task} task */
  axes(task) {
    this.pen.beginPath();
    this.pen.moveTo(0, this.down(0));
    this.pen.lineTo(this.size, this.down(0));
    this.pen.moveTo(this.across(0), 0);
    this.pen.lineTo(this.across(0), this.size);
    this.stroke("rule", task === "regression" ? 1.5 : 0.75);
    this.pen.fillStyle = this.colour("muted");
    this.pen.font = `${11 * this.unit}px ${this.font}`;
    const gap = 4 * this.unit;
    this.pen.direction = "ltr";
    this.pen.textBaseline = "bottom";
    this.pen.textAlign = "center";
    for (const x of ticksUpTo(WINDOW.x)) this.pen.fillText(show(x), this.across(x), this.size - gap);
    this.pen.textBaseline = "middle";
    this.pen.textAlign = "left";
    for (const y of ticksUpTo(this.height)) this.pen.fillText(show(y), gap, this.down(y));
  }

  /** Where one linear region meets the next: the kinks of each unit. @param {number[][]} borders values at gridPoints, 0 at a kink @param {import("./train.js").Task} task */
  regions(borders, task) {
    if (task === "classification") return this.boundary(borders, "muted", 1);
    const points = gridPoints(task);
    this.pen.beginPath();
    for (const values of borders) {
      for (let i = 1; i < values.length; i++) {
        if (values[i] > 0 === values[i - 1] > 0) continue;
        const x = this.across(points[i][0] - ((points[i][0] - points[i - 1][0]) * values[i]) / (values[i] - values[i - 1]));
        this.pen.moveTo(x, 0);
        this.pen.lineTo(x, this.size);
      }
    }
    this.stroke("muted", 1);
  }

  /** Class 0 as circles, class 1 as squares: colour alone says nothing to some. @param {import("./train.js").Rows} rows @param {import("./train.js").Task} task */
  rows(rows, task) {
    const r = 4 * this.unit;
    rows.x.forEach((point, n) => {
      const [x, y] = [this.across(point[0]), this.down(task === "regression" ? rows.y[n] : point[1])];
      this.pen.beginPath();
      if (task === "classification" && rows.y[n] === 1) this.pen.rect(x - r, y - r, 2 * r, 2 * r);
      else this.pen.arc(x, y, r, 0, 2 * Math.PI);
      this.pen.fillStyle = this.colour(task === "classification" && rows.y[n] === 1 ? "vermilion" : "blue");
      this.pen.fill();
      this.stroke("paper", 1);
    });
  }

  /** A ring around a place. @param {number} x @param {number} y @param {string} colour */
  ring(x, y, colour) {
    for (const [name, width] of [["paper", 6], [colour, 3]]) {
      this.pen.beginPath();
      this.pen.arc(this.across(x), this.down(y), 10 * this.unit, 0, 2 * Math.PI);
      this.stroke(String(name), Number(width));
    }
  }

  /** Where the keyboard would add a point. @param {number} x @param {number} y */
  cross(x, y) {
    const [h, v, r] = [this.across(x), this.down(y), 9 * this.unit];
    this.pen.beginPath();
    this.pen.moveTo(h - r, v);
    this.pen.lineTo(h + r, v);
    this.pen.moveTo(h, v - r);
    this.pen.lineTo(h, v + r);
    this.stroke("ink", 2);
  }
}
