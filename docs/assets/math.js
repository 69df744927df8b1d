// pymdownx.arithmatex marks formulas as \(…\) and \[…\]; KaTeX draws them, with MathML for screen readers.
document.addEventListener("DOMContentLoaded", () => {
  for (const formula of document.querySelectorAll(".arithmatex")) {
    const source = formula.textContent.trim();
    katex.render(source.slice(2, -2), formula, { displayMode: source.startsWith("\\["), throwOnError: false });
  }
});
