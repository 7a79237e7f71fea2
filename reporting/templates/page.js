"use strict";
// Tables sort by the column whose heading is pressed: numbers from the highest, words from A, and the other way round
// when it is pressed again. Cells without a number stay at the end.
for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    head.querySelector("button")?.addEventListener("click", () => {
      const body = table.tBodies[0];
      const numbers = body.rows[0].cells[column].hasAttribute("data-key");
      const before = head.getAttribute("aria-sort");
      const first = numbers ? "descending" : "ascending";
      const order = before === first ? (numbers ? "ascending" : "descending") : first;
      const sign = order === "ascending" ? 1 : -1;
      const words = new Intl.Collator("en", { numeric: true });
      const compare = (one, other) => {
        const [a, b] = [one.cells[column], other.cells[column]];
        if (!numbers) return sign * words.compare(a.textContent, b.textContent);
        const [x, y] = [a.dataset.key, b.dataset.key];
        return (x === "") - (y === "") || (x === "" ? 0 : sign * (Number(x) - Number(y)));
      };
      body.append(...[...body.rows].sort(compare));
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", order);
      document.getElementById("said").textContent = `${table.caption.textContent}: ${order} by ${head.textContent}`;
    });
  });
}
// What is folded away is printed, too.
let folded = [];
window.addEventListener("beforeprint", () => {
  folded = [...document.querySelectorAll("details:not([open])")];
  folded.forEach((one) => { one.open = true; });
});
window.addEventListener("afterprint", () => folded.forEach((one) => { one.open = false; }));
