/** Making elements, in few words. */

let made = 0;

/**
 * @param {string} tag @param {Record<string, any>} [properties] attributes; those that start with "on" are listeners
 * @param {...(Node | string)} children
 * @returns {any}
 */
export function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value !== undefined && value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children);
  return element;
}

/** A label and its field, tied together. @param {string} text @param {HTMLElement} field */
export function labelled(text, field) {
  made += 1;
  field.id = `lab-field-${made}`;
  return make("div", { class: "lab-field" }, make("label", { for: field.id }, text), field);
}

/**
 * @param {[string, string][]} options value and text @param {string} value the chosen one @param {(value: string) => void} onchange
 */
export const choice = (options, value, onchange) =>
  make("select", { onchange: (/** @type {any} */ event) => onchange(event.target.value) },
    ...options.map(([name, text]) => make("option", { value: name, selected: name === value }, text)));

/** @param {string} text @param {boolean} checked @param {(checked: boolean) => void} onchange */
export const tick = (text, checked, onchange) =>
  make("label", { class: "lab-tick" },
    make("input", { type: "checkbox", checked, onchange: (/** @type {any} */ event) => onchange(event.target.checked) }), text);
