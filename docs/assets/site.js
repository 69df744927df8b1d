document.addEventListener("DOMContentLoaded", () => {
  // pymdownx.arithmatex marks formulas as \(…\) and \[…\]; KaTeX draws them, with MathML for screen readers.
  for (const formula of document.querySelectorAll(".arithmatex")) {
    const source = formula.textContent.trim();
    katex.render(source.slice(2, -2), formula, { displayMode: source.startsWith("\\["), throwOnError: false });
  }
  // A formula that is a little too wide for the screen is made a little smaller; one that is much too wide scrolls.
  const fit = () => {
    for (const formula of document.querySelectorAll("div.arithmatex")) {
      formula.style.fontSize = "";
      for (let size = 0.95; size >= 0.7 && formula.scrollWidth > formula.clientWidth; size -= 0.05) {
        formula.style.fontSize = `${size}em`;
      }
    }
  };
  // The theme leaves its search dialog without a name; the field in it has one, in the page's language.
  const dialog = document.querySelector(".md-search[role=dialog]");
  const name = dialog?.querySelector("input")?.getAttribute("aria-label");
  if (name) dialog.setAttribute("aria-label", name);
  // What scrolls sideways can be reached with the keyboard.
  const reach = () => {
    fit();
    for (const region of document.querySelectorAll(".md-typeset__scrollwrap, .figure-view, div.arithmatex")) {
      if (region.scrollWidth > region.clientWidth) region.tabIndex = 0;
      else region.removeAttribute("tabindex");
    }
  };
  addEventListener("load", () => setTimeout(reach));
  document.fonts.ready.then(reach);
  addEventListener("resize", reach);
  addEventListener("toggle", reach, true);
  // Each copy button comes in a landmark of its own, one per block of code: too many to be of use.
  const silence = () => {
    for (const bar of document.querySelectorAll("nav.md-code__nav:not([role])")) bar.setAttribute("role", "none");
  };
  // So do the parts of a table of contents, where a function and a class may have one name.
  for (const part of document.querySelectorAll(".md-nav--secondary nav.md-nav")) {
    part.removeAttribute("aria-label");
    part.setAttribute("role", "none");
  }
  silence();
  new MutationObserver(silence).observe(document.body, { childList: true, subtree: true });
});
