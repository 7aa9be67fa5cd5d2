// Reads a chart's values under the pointer; without it the charts still say everything.
for (const svg of document.querySelectorAll("svg[data-hover]")) {
  const points = JSON.parse(svg.dataset.hover);
  const make = (name) => svg.appendChild(document.createElementNS(svg.namespaceURI, name));
  const dot = make("circle");
  const text = make("text");
  dot.setAttribute("r", 3.5);
  dot.setAttribute("class", "cursor");
  text.setAttribute("class", "cursor");
  svg.addEventListener("pointermove", (event) => {
    const box = svg.getBoundingClientRect();
    const x = ((event.clientX - box.left) / box.width) * svg.viewBox.baseVal.width;
    const near = points.reduce((a, b) => (Math.abs(b[0] - x) < Math.abs(a[0] - x) ? b : a));
    dot.setAttribute("cx", near[0]);
    dot.setAttribute("cy", near[1]);
    text.setAttribute("x", near[0]);
    text.setAttribute("y", Math.max(12, near[1] - 10));
    const share = near[0] / svg.viewBox.baseVal.width;
    text.setAttribute("text-anchor", share > 0.7 ? "end" : share < 0.3 ? "start" : "middle");
    text.textContent = near[2];
    svg.classList.add("reading");
  });
  svg.addEventListener("pointerleave", () => svg.classList.remove("reading"));
}
