// Display equations that are wider than the page shrink until they fit, on paper too.
addEventListener("load", async () => {
  await window.MathJax?.startup?.promise;
  for (const equation of document.querySelectorAll('mjx-container[display="true"]')) {
    const { fontSize } = getComputedStyle(equation);
    const numbered = equation.querySelector("mjx-mtable[style*=min-width]");
    const width = numbered
      ? parseFloat(numbered.style.minWidth)
      : equation.querySelector("mjx-math").getBoundingClientRect().width / parseFloat(fontSize);
    equation.style.fontSize = `clamp(10px, calc(99cqw / ${width}), ${fontSize})`;
  }
});
