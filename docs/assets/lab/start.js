/** On every page, small: fetches the laboratory only where a page has a place for it. */

const places = document.querySelectorAll("[data-lab]");
if (places.length) {
  const style = document.createElement("link");
  style.rel = "stylesheet";
  style.href = new URL("lab.css", import.meta.url).href;
  document.head.append(style);
  const { mount } = await import("./main.js");
  for (const place of places) mount(/** @type {HTMLElement} */ (place));
}
