/** On every page, small: fetches the laboratory only where a page has a place for it, and when the reader comes near. */

const places = document.querySelectorAll("[data-lab]");
if (places.length) {
  const style = document.createElement("link");
  style.rel = "stylesheet";
  style.href = new URL("lab.css", import.meta.url).href;
  document.head.append(style);
  const watcher = new IntersectionObserver(async (entries) => {
    for (const { isIntersecting, target } of entries) {
      if (!isIntersecting) continue;
      watcher.unobserve(target);
      const { mount } = await import("./main.js");
      mount(/** @type {HTMLElement} */ (target));
    }
  }, { rootMargin: "400px" });
  for (const place of places) watcher.observe(place);
}
