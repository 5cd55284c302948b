"use strict";
// Tables sort by a click on a heading, or by Enter or Space on it; what has no value goes last either way.
const value = (row, place) => row.cells[place].dataset.value;
const compare = (first, second, numeric) => (numeric ? first - second : first.localeCompare(second, "en"));
for (const table of document.querySelectorAll("table.sortable")) {
  const headings = [...table.tHead.rows[0].cells];
  const body = table.tBodies[0];
  headings.forEach((heading, place) => {
    heading.querySelector("button").addEventListener("click", () => {
      const up = heading.getAttribute("aria-sort") !== "ascending";
      const rows = [...body.rows];
      const numeric = rows.every((row) => row.cells[place].classList.contains("number"));
      const known = rows.filter((row) => value(row, place) !== undefined);
      const unknown = rows.filter((row) => value(row, place) === undefined);
      known.sort((a, b) => (up ? 1 : -1) * compare(value(a, place), value(b, place), numeric));
      body.append(...known, ...unknown);
      headings.forEach((other) => other.removeAttribute("aria-sort"));
      heading.setAttribute("aria-sort", up ? "ascending" : "descending");
    });
  });
}
// A link to a pair opens its texts.
const open = () => {
  const target = location.hash.startsWith("#pair-") && document.getElementById(location.hash.slice(1));
  if (target) {
    for (const details of target.closest("article").querySelectorAll("details")) details.open = true;
    target.scrollIntoView();
  }
};
addEventListener("hashchange", open);
open();
