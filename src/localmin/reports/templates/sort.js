"use strict";
// Sort a table by the column whose button was pressed; a second press turns the order around.
for (const table of document.querySelectorAll("table.sortable")) {
  const heads = Array.from(table.tHead.rows[0].cells);
  const body = table.tBodies[0];
  const text = new Intl.Collator(undefined, { numeric: true });
  const read = (row, column) => row.cells[column].textContent.trim();
  const number = (row, column) => Number(row.cells[column].querySelector("data").value);
  heads.forEach((head, column) => {
    const button = head.querySelector("button");
    if (!button) return;
    button.addEventListener("click", () => {
      const numeric = head.dataset.type === "number";
      const before = head.getAttribute("aria-sort");
      const descending = before ? before === "ascending" : numeric;
      const compare = numeric
        ? (a, b) => number(a, column) - number(b, column)
        : (a, b) => text.compare(read(a, column), read(b, column));
      const rows = Array.from(body.rows).sort(compare);
      if (descending) rows.reverse();
      body.append(...rows);
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", descending ? "descending" : "ascending");
    });
  });
}
