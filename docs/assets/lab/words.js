/** Every word of the laboratory, in each language; {name} is filled in. */

const en = {
  title: "The laboratory",
  data: "Data", dataset: "Data set", classification: "Two classes", regression: "A curve",
  moons: "Moons", circles: "Circles", xor: "XOR", spiral: "Spiral", noise: "Noise", points: "Your own points", formula: "Your own formula",
  sine: "Sine", step: "Step", noise1d: "Noise", points1d: "Your own points", formula1d: "Your own formula",
  formulaPlane: "Class 1 where this is above 0 (x, y)", formulaCurve: "Target f(x)",
  formulaHelp: "Numbers, + − * / ^, brackets, pi, e, sin cos tan exp log sqrt abs sign tanh floor.",
  formulaBad: "This cannot be read from sign {at} on.",
  formulaEmpty: "The formula has a value at fewer than two of the places tried.",
  pointsHelp: "Click or tap the picture to add a point. With the keyboard: arrow keys move the cross, Enter adds, Delete takes the nearest away.",
  pointsNone: "Points so far: {count}. Please add at least two in all.", pointsCount: "Points: {count}.", cross: "The cross is at {x}, {y}.",
  pointClass: "New points are of class", class0: "0 (circles)", class1: "1 (squares)", clear: "Take all points away",
  seed: "Seed",
  network: "Network", depth: "Hidden layers", width: "Neurons in each", layerActivation: "Activation after layer {k}", none: "none",
  init: "First weights", default: "PyTorch’s", xavier: "Xavier", he: "He", zeros: "all zero",
  training: "Training", optimiser: "Optimiser", adam: "Adam", sgd: "gradient descent", rate: "Learning rate",
  play: "Play", pause: "Pause", single: "One step", reset: "Reset", collapse: "Collapse",
  showFloor: "Show the linear floor", showRegions: "Show linear regions",
  legendNetwork: "the network", legendFloor: "best affine model (the linear floor)", legendOne: "the one matrix", legendDiffers: "where they differ",
  steps: "Steps", loss: "Loss", floor: "Linear floor", parameters: "Parameters",
  gradients: "Length of the gradient in each layer’s weights, on a logarithmic scale", layer: "Layer {k}",
  picture: "Picture of the data and of what the network computes. {summary}",
  summary: "At step {steps} the loss is {loss}. {floor}",
  aboveFloor: "No affine model can go below {floor}; the network is {by} above it.",
  atFloor: "That is the linear floor, {floor}: no affine model goes lower.",
  belowFloor: "That is below the linear floor, {floor}: no affine model can do this.",
  zeroFloor: "A straight line separates these classes, so the floor is 0 and no loss reaches it.",
  oneClass: "All points are of one class, so the floor is 0 and no loss reaches it.",
  tiedFloor: "The linear floor is near {floor}, and no affine model reaches it.",
  straight: "No layer has an activation: what you see is one straight line.",
  regionsCount: "Lines: where a unit bends. Linear regions seen in the picture: {count} (there may be smaller ones).",
  regionsSmooth: "A smooth activation has no linear regions.",
  diverged: "The training diverged and stopped after step {steps}, before any number was lost. Try a learning rate below {rate}.",
  finished: "{steps} steps are the most that the laboratory takes.",
  collapseTitle: "Multiplied out", collapseStart: "Layer 1 as it is ({shape}):",
  collapseNext: "Times layer {k}: {left} times {right} is {shape}. Bias: W{k}·b + b{k}.",
  collapseResult: "The one matrix, and its bias: {before} parameters are {after}.",
  collapseIgnored: "The activations were left out of this product.",
  collapseSame: "The same, within {distance}, at {count} points of the picture; rounding alone explains up to {bound}.",
  collapseDiffers: "Not the same. At {point} the network says {network}, the one matrix says {affine}.",
  collapseBend: "And no other matrix will do: halfway between {a} and {b} every affine map is halfway between its two values, {affine}; the network says {value}.",
  collapseUnclear: "No difference was found at {count} points of the picture, beyond {distance}. That does not show that there is none elsewhere.",
  weight: "Weight", bias: "Bias",
};

/** @type {typeof en} */
const fa = {
  title: "آزمایشگاه",
  data: "داده", dataset: "مجموعه‌داده", classification: "دو رده", regression: "یک منحنی",
  moons: "دو نیم‌ماه", circles: "دایره‌ها", xor: "یای انحصاری (XOR)", spiral: "مارپیچ", noise: "نوفه", points: "نقطه‌های خودتان", formula: "فرمول خودتان",
  sine: "سینوس", step: "پله", noise1d: "نوفه", points1d: "نقطه‌های خودتان", formula1d: "فرمول خودتان",
  formulaPlane: "ردهٔ 1 جایی است که این عبارت از 0 بزرگ‌تر باشد (x و y)", formulaCurve: "تابع هدف f(x)",
  formulaHelp: "عدد، ‎+ − * / ^‎، پرانتز، pi، e و تابع‌های sin cos tan exp log sqrt abs sign tanh floor.",
  formulaBad: "از نشانهٔ {at} به بعد خوانده نمی‌شود.",
  formulaEmpty: "فرمول در کمتر از دو جا از جاهایی که آزمودیم مقدار دارد.",
  pointsHelp: "برای افزودن نقطه روی تصویر کلیک کنید یا آن را لمس کنید. با صفحه‌کلید: کلیدهای جهت‌نما نشانگر را جابه‌جا می‌کنند، Enter نقطه می‌گذارد و Delete نزدیک‌ترین نقطه را برمی‌دارد.",
  pointsNone: "نقطه‌ها تا اینجا: {count}. روی‌هم دست‌کم دو نقطه بگذارید.", pointsCount: "شمار نقطه‌ها: {count}.", cross: "نشانگر در \u2066({x}, {y})\u2069 است.",
  pointClass: "ردهٔ نقطه‌های تازه", class0: "0 (دایره)", class1: "1 (مربع)", clear: "برداشتن همهٔ نقطه‌ها",
  seed: "بذر تصادفی",
  network: "شبکه", depth: "شمار لایه‌های پنهان", width: "نورون در هر لایه", layerActivation: "تابع فعال‌سازی پس از لایهٔ {k}", none: "هیچ",
  init: "وزن‌های آغازین", default: "مانند PyTorch", xavier: "Xavier", he: "He", zeros: "همه صفر",
  training: "آموزش", optimiser: "بهینه‌ساز", adam: "Adam", sgd: "گرادیان کاهشی", rate: "نرخ یادگیری",
  play: "آغاز", pause: "مکث", single: "یک گام", reset: "از نو", collapse: "فروکاستن",
  showFloor: "کف خطی را نشان بده", showRegions: "ناحیه‌های خطی را نشان بده",
  legendNetwork: "شبکه", legendFloor: "بهترین مدل آفین (کف خطی)", legendOne: "آن یک ماتریس", legendDiffers: "جایی که فرق دارند",
  steps: "گام‌ها", loss: "زیان", floor: "کف خطی", parameters: "پارامترها",
  gradients: "طول گرادیان نسبت به وزن‌های هر لایه، با مقیاس لگاریتمی", layer: "لایهٔ {k}",
  picture: "تصویر داده و آنچه شبکه حساب می‌کند. {summary}",
  summary: "پس از {steps} گام، زیان {loss} است. {floor}",
  aboveFloor: "هیچ مدل آفینی از {floor} پایین‌تر نمی‌رود؛ شبکه {by} بالاتر از آن است.",
  atFloor: "این همان کف خطی، {floor}، است: هیچ مدل آفینی پایین‌تر نمی‌رود.",
  belowFloor: "این از کف خطی، {floor}، پایین‌تر است: از هیچ مدل آفینی برنمی‌آید.",
  zeroFloor: "یک خط راست این دو رده را جدا می‌کند؛ پس کف 0 است و هیچ زیانی به آن نمی‌رسد.",
  oneClass: "همهٔ نقطه‌ها از یک رده‌اند؛ پس کف 0 است و هیچ زیانی به آن نمی‌رسد.",
  tiedFloor: "کف خطی نزدیک {floor} است و هیچ مدل آفینی به آن نمی‌رسد.",
  straight: "هیچ لایه‌ای تابع فعال‌سازی ندارد: آنچه می‌بینید یک خط راست است.",
  regionsCount: "خط‌ها: جایی که یک نورون خم می‌شود. ناحیه‌های خطی که در تصویر دیده می‌شوند: {count} (شاید کوچک‌ترهایی هم باشد).",
  regionsSmooth: "تابع فعال‌سازی هموار ناحیهٔ خطی ندارد.",
  diverged: "آموزش واگرا شد و پس از گام {steps} ایستاد، پیش از آنکه عددی از دست برود. نرخ یادگیری کمتر از {rate} را بیازمایید.",
  finished: "آزمایشگاه بیش از {steps} گام برنمی‌دارد.",
  collapseTitle: "حاصل‌ضرب", collapseStart: "لایهٔ 1، همان‌گونه که هست ({shape}):",
  collapseNext: "ضرب در لایهٔ {k}: از {left} در {right} ماتریسی {shape} به دست می‌آید. بایاس: \u2066W{k}·b + b{k}\u2069.",
  collapseResult: "آن یک ماتریس و بایاسش: از {before} پارامتر {after} پارامتر ماند.",
  collapseIgnored: "تابع‌های فعال‌سازی در این ضرب کنار گذاشته شده‌اند.",
  collapseSame: "در {count} نقطهٔ تصویر یکی‌اند، با اختلافی نه بیش از {distance}؛ خطای گردکردن به‌تنهایی تا {bound} را توضیح می‌دهد.",
  collapseDiffers: "یکی نیستند. در {point} شبکه می‌گوید {network} و آن یک ماتریس می‌گوید {affine}.",
  collapseBend: "با هیچ ماتریس دیگری هم نمی‌شود: هر نگاشت آفین در میانهٔ {a} و {b} میانگین دو مقدارش است، یعنی {affine}؛ شبکه می‌گوید {value}.",
  collapseUnclear: "در {count} نقطهٔ تصویر اختلافی بیش از {distance} پیدا نشد. این نشان نمی‌دهد که در جای دیگر هم نیست.",
  weight: "وزن", bias: "بایاس",
};

export const WORDS = Object.freeze({ en, fa });

/**
 * @param {string} language of the page, "fa" or "fa-IR"
 * @returns {(key: keyof typeof en, values?: Record<string, string | number>) => string}
 */
export function speak(language) {
  const words = WORDS[/** @type {"en" | "fa"} */ (language.slice(0, 2))] ?? en;
  return (key, values = {}) => words[key].replace(/\{(\w+)\}/g, (_, name) => String(values[name]));
}

/** A number as readers write it; never NaN. @param {number} value @param {number} [digits] */
export function show(value, digits = 3) {
  if (!Number.isFinite(value)) return "∞";
  const size = Math.abs(value);
  const text = size !== 0 && (size < 1e-3 || size >= 1e5) ? value.toExponential(digits - 2) : String(Number(value.toPrecision(digits)));
  return text.replace("e+", "e").replaceAll("-", "−");
}
