"use strict";
// Pressing a heading sorts the table by its column: numbers in descending order, text in ascending order. Pressing it
// again reverses the order. Cells without a number stay at the end.
for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    head.querySelector("button")?.addEventListener("click", () => {
      const body = table.tBodies[0];
      const numbers = body.rows[0].cells[column].hasAttribute("data-key");
      const previous = head.getAttribute("aria-sort");
      const first = numbers ? "descending" : "ascending";
      const order = previous === first ? (numbers ? "ascending" : "descending") : first;
      const sign = order === "ascending" ? 1 : -1;
      const text = new Intl.Collator("en", { numeric: true });
      const compare = (one, other) => {
        const [a, b] = [one.cells[column], other.cells[column]];
        if (!numbers) return sign * text.compare(a.textContent, b.textContent);
        const [x, y] = [a.dataset.key, b.dataset.key];
        return (x === "") - (y === "") || (x === "" ? 0 : sign * (Number(x) - Number(y)));
      };
      body.append(...[...body.rows].sort(compare));
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", order);
      document.getElementById("announcement").textContent = `${table.caption.textContent}: ${order} by ${head.textContent}`;
    });
  });
}
// Boxes wider than the window say that they scroll; those in collapsed parts are measured when they are opened.
const measured = new ResizeObserver((entries) => {
  for (const { target } of entries) target.classList.toggle("wide", target.scrollWidth > target.clientWidth + 1);
});
document.querySelectorAll(".scroll").forEach((box) => measured.observe(box));
// Print collapsed parts, too.
let collapsed = [];
window.addEventListener("beforeprint", () => {
  collapsed = [...document.querySelectorAll("details:not([open])")];
  collapsed.forEach((one) => { one.open = true; });
});
window.addEventListener("afterprint", () => collapsed.forEach((one) => { one.open = false; }));
