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
 * Puts other fields into a place. One that is there already stays, with its new value, so that the keyboard goes on where it was.
 * @param {Element} place @param {Element[]} fresh
 */
export function renew(place, fresh) {
  const nameOf = (/** @type {Element} */ child) => child.tagName + (child.querySelector("label, legend") ?? child).textContent;
  const old = new Map([...place.children].map((child) => [nameOf(child), child]));
  const chosen = fresh.map((child) => {
    const kept = old.get(nameOf(child));
    if (!kept) return child;
    if (child.tagName === "FIELDSET") renew(kept, [...child.children]);
    const [before, after] = [kept, child].map((one) => /** @type {any} */ (one.querySelector(":scope > :is(select, input)")));
    if (after) {
      before.value = after.value;
      if (after.hasAttribute("aria-invalid")) before.setAttribute("aria-invalid", after.getAttribute("aria-invalid"));
    }
    return kept;
  });
  for (const child of old.values()) if (!chosen.includes(child)) child.remove();
  // Nothing that stays is moved: that would take the keyboard away from it.
  let here = place.firstElementChild;
  for (const child of chosen) {
    if (child === here) here = here.nextElementSibling;
    else place.insertBefore(child, here);
  }
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
