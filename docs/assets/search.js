/**
 * The theme's search, for Persian as people type it: with a half-space, a space or neither, with Arabic letters, with any
 * digits. It answers in the language of the page. Its address ends in ?<language>&<the rest of the theme's file name>.
 */
const [language, theme] = location.search.slice(1).split("&");

const HALF_SPACE = "\u200c";
const ALIKE = { "ي": "ی", "ى": "ی", "ئ": "ی", "ك": "ک", "ة": "ه", "ۀ": "ه", "أ": "ا", "إ": "ا", "آ": "ا", "ؤ": "و" };
const MARKS = /[\u064b-\u065f\u0670\u0640\u200b\u200d-\u200f\u2060]/g;

/** What other books call it, and what this site does. */
const SAME = {
  "غیرخطی": "ناخطی", "عمیق": "ژرف", "عمق": "ژرفا", "مخفی": "پنهان", "اریب": "بایاس", "افاین": "افین", "برهان": "اثبات", "اپوک": "دوره",
  "سیگموید": "سیگمویید", "هیپربولیک": "هذلولوی", "کانولوشن": "پیچش", "گواهینامه": "گواهی", "دیتاست": "مجموعهداده", "تست": "ازمون",
};

/** One way of writing for all that read the same. */
const plain = (text) => text.normalize("NFC")
  .replace(/[يىئكةۀأإآؤ]/g, (letter) => ALIKE[letter])
  .replace(/ه\u200cی(?![\p{L}\u200c])/gu, "ه")
  .replace(/[۰-۹٠-٩]/g, (digit) => String(digit.charCodeAt(0) & 15))
  .replace(MARKS, "");

/** A word with half-spaces is found by all of it, and by each part. */
const formsOf = (word) => {
  const parts = plain(word).split(HALF_SPACE).map((part) => part.replace(/^[^\p{L}\p{N}]+|[^\p{L}\p{N}]+$/gu, "")).filter(Boolean);
  return parts.length > 1 ? [parts.join(""), ...parts] : parts;
};

/** Words that this site writes as one, with half-spaces, are one here as well. @param {string[]} words */
const joined = ([first, ...rest]) => {
  if (first === undefined) return [];
  for (let count = Math.min(2, rest.length); count > 0; count--) {
    const word = [first, ...rest.slice(0, count)].join("");
    if (/^[\u0600-\u06ff]+$/.test(word) && words.has(word)) return [word, ...joined(rest.slice(count))];
  }
  return [first, ...joined(rest)];
};

/** @param {string} query */
const rewrite = (query) => joined(plain(query).replaceAll(HALF_SPACE, "").split(/ +/).map((word) => SAME[word] ?? word)).join(" ");

// A query (the theme's message of type 2) is written the same way before the theme, which comes after, sees it.
let rewritten = false;
addEventListener("message", (event) => {
  if (rewritten || event.data.type !== 2) return;
  event.stopImmediatePropagation();
  rewritten = true;
  dispatchEvent(new MessageEvent("message", { data: { type: 2, data: rewrite(event.data.data) } }));
  rewritten = false;
});

importScripts(`javascripts/workers/search.${theme}`);

const stopWords = lunr.stopWordFilter;
const words = new Set();
const persian = (token) => {
  if (typeof token === "string") return stopWords(token);
  const forms = formsOf(String(token));
  if (forms.length > 1 || /(?:کردن|شدن|بودن)$/.test(forms[0])) words.add(forms[0]);
  return forms.map((form) => token.clone(() => form)).filter(stopWords);
};
lunr.Pipeline.registerFunction(persian, "persian");
lunr.stopWordFilter = persian;

// An answer (type 3) holds the pages of one language.
const post = self.postMessage.bind(self);
self.postMessage = (message) => {
  if (message.type === 3) message.data.items = message.data.items.filter(([{ location }]) => location.startsWith("fa/") === (language === "fa"));
  post(message);
};
