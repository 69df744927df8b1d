/** A formula as a function: read sign by sign, never run as code. */

const FUNCTIONS = Object.freeze({
  sin: Math.sin, cos: Math.cos, tan: Math.tan, exp: Math.exp, log: Math.log, sqrt: Math.sqrt, abs: Math.abs,
  sign: Math.sign, tanh: Math.tanh, floor: Math.floor,
});
const CONSTANTS = Object.freeze({ pi: Math.PI, e: Math.E });
const LONGEST = 120;

/** A formula that cannot be read: `at` counts signs from 1. */
export class FormulaError extends Error {
  /** @param {number} at */
  constructor(at) {
    super(`the formula cannot be read at sign ${at}`);
    this.at = at;
  }
}

/**
 * Numbers, + - * / ^, brackets, the variables, pi, e, and sin cos tan exp log sqrt abs sign tanh floor.
 * @param {string} text @param {string[]} variables
 * @returns {(...values: number[]) => number}
 * @throws {FormulaError}
 */
export function parseFormula(text, variables) {
  if (text.length > LONGEST) throw new FormulaError(LONGEST + 1);
  const source = text.replaceAll("−", "-").replaceAll("π", "pi").replaceAll("×", "*").replaceAll("·", "*");
  let at = 0;
  const fail = () => { throw new FormulaError(at + 1); };
  const skip = () => { while (source[at] === " ") at += 1; };
  const take = (/** @type {RegExp} */ kind) => {
    skip();
    const found = source.slice(at).match(kind)?.[0];
    if (found !== undefined) at += found.length;
    return found;
  };
  /** @typedef {(values: number[]) => number} Node */
  /** @returns {Node} */
  const sum = () => {
    let left = product();
    for (let sign = take(/^[+-]/); sign; sign = take(/^[+-]/)) {
      const [a, b, s] = [left, product(), sign === "+" ? 1 : -1];
      left = (v) => a(v) + s * b(v);
    }
    return left;
  };
  /** @returns {Node} */
  const product = () => {
    let left = signed();
    for (let sign = take(/^[*/]/); sign; sign = take(/^[*/]/)) {
      const [a, b] = [left, signed()];
      left = sign === "*" ? (v) => a(v) * b(v) : (v) => a(v) / b(v);
    }
    return left;
  };
  /** −x² is −(x²). @returns {Node} */
  const signed = () => {
    if (take(/^-/)) { const inner = signed(); return (v) => -inner(v); }
    const base = atom();
    if (!take(/^(\^|\*\*)/)) return base;
    const power = signed();
    return (v) => base(v) ** power(v);
  };
  /** @returns {Node} */
  const atom = () => {
    const number = take(/^(\d+\.?\d*|\.\d+)/);
    if (number) return () => Number(number);
    if (take(/^\(/)) { const inner = sum(); if (!take(/^\)/)) fail(); return inner; }
    const start = at;
    const name = take(/^[a-z]+/i) ?? fail();
    const place = variables.indexOf(name);
    if (place >= 0) return (v) => v[place];
    if (Object.hasOwn(CONSTANTS, name)) return () => CONSTANTS[name];
    if (!Object.hasOwn(FUNCTIONS, name)) { at = start; skip(); fail(); }
    if (!take(/^\(/)) fail();
    const inner = sum();
    if (!take(/^\)/)) fail();
    return (v) => FUNCTIONS[name](inner(v));
  };
  const node = sum();
  skip();
  if (at < source.length) fail();
  return (...values) => node(values);
}
