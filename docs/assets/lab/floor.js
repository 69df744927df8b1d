/** The linear floor: the smallest loss that any affine model can reach on the data. */

import { sigmoid } from "./activations.js";
import { lossOf } from "./train.js";

/** @typedef {{ loss: number, weight: number[], bias: number, attained: boolean }} Floor  weight and bias: at the floor, or near it */

/** @param {import("./train.js").Rows} rows @param {import("./train.js").Task} task @returns {Floor | null} null without rows */
export function linearFloor(rows, task) {
  if (!rows.x.length) return null;
  return task === "regression" ? leastSquares(rows) : logistic(rows);
}

const mean = (/** @type {number[]} */ values) => values.reduce((sum, value) => sum + value, 0) / values.length;

/** One feature, in closed form. @param {import("./train.js").Rows} rows @returns {Floor} */
function leastSquares({ x, y }) {
  const [mx, my] = [mean(x.map(([v]) => v)), mean(y)];
  const spread = mean(x.map(([v]) => (v - mx) ** 2));
  const slope = spread > 0 ? mean(x.map(([v], n) => (v - mx) * (y[n] - my))) / spread : 0;
  const bias = my - slope * mx;
  return { loss: mean(x.map(([v], n) => lossOf("regression", slope * v + bias, y[n]))), weight: [slope], bias, attained: true };
}

/**
 * Newton's method on a convex function. Where a line separates the classes the infimum is 0 and no line reaches it; a
 * tie on the line keeps it above 0, also unreached, and the value is then where Newton's method stood still.
 * @param {import("./train.js").Rows} rows @returns {Floor}
 */
function logistic({ x, y }) {
  const rows = x.map((point) => [...point, 1]);
  const score = (/** @type {number[]} */ w, /** @type {number[]} */ row) => row.reduce((sum, v, i) => sum + v * w[i], 0);
  const loss = (/** @type {number[]} */ w) => mean(rows.map((row, n) => lossOf("classification", score(w, row), y[n])));
  let w = rows[0].map(() => 0);
  let now = loss(w);
  let settled = false;
  for (let round = 0; round < 60 && !settled; round++) {
    if (rows.every((row, n) => score(w, row) * (2 * y[n] - 1) > 0)) {
      return { loss: 0, weight: w.slice(0, -1), bias: w[w.length - 1], attained: false };
    }
    const slope = w.map((_, i) => mean(rows.map((row, n) => (sigmoid(score(w, row)) - y[n]) * row[i])));
    const curvature = w.map((_, i) =>
      w.map((_, j) => mean(rows.map((row) => sigmoid(score(w, row)) * sigmoid(-score(w, row)) * row[i] * row[j])) + (i === j ? 1e-13 : 0)),
    );
    settled = Math.max(...slope.map(Math.abs)) < 1e-12;
    const move = solve(curvature, slope);
    let length = 1;
    while (length > 1e-6 && !(loss(w.map((v, i) => v - length * move[i])) <= now)) length /= 2;
    if (length <= 1e-6) break;
    w = w.map((v, i) => v - length * move[i]);
    now = loss(w);
  }
  return { loss: now, weight: w.slice(0, -1), bias: w[w.length - 1], attained: Math.max(...w.map(Math.abs)) < 1e4 };
}

/** Gaussian elimination with pivots. @param {number[][]} matrix @param {number[]} right @returns {number[]} */
function solve(matrix, right) {
  const a = matrix.map((row, i) => [...row, right[i]]);
  const n = a.length;
  for (let k = 0; k < n; k++) {
    const pivot = a.reduce((best, row, i) => (i >= k && Math.abs(row[k]) > Math.abs(a[best][k]) ? i : best), k);
    [a[k], a[pivot]] = [a[pivot], a[k]];
    for (let i = k + 1; i < n; i++) {
      const factor = a[k][k] ? a[i][k] / a[k][k] : 0;
      for (let j = k; j <= n; j++) a[i][j] -= factor * a[k][j];
    }
  }
  const result = new Array(n).fill(0);
  for (let k = n - 1; k >= 0; k--) {
    let sum = a[k][n];
    for (let j = k + 1; j < n; j++) sum -= a[k][j] * result[j];
    result[k] = a[k][k] ? sum / a[k][k] : 0;
  }
  return result;
}
