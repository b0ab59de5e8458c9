/* Sorts tables by a click on a heading; the page reads the same without it. */
"use strict";
(function () {
  function valueOf(row, column) {
    var cell = row.cells[column];
    if (!cell) return "";
    return cell.hasAttribute("data-v") ? parseFloat(cell.getAttribute("data-v")) : cell.textContent.trim();
  }

  /* numbers before texts, what is empty last whichever way */
  function compare(a, b, sign) {
    if (a === "" || b === "") return (a === "") - (b === "");
    if (typeof a !== typeof b) return typeof a === "number" ? -1 : 1;
    if (typeof a === "number") return sign * (a - b);
    return sign * a.localeCompare(b, "en", { numeric: true });
  }

  function sort(table, column, heading) {
    var sign = heading.getAttribute("aria-sort") === "ascending" ? -1 : 1, body = table.tBodies[0];
    Array.prototype.slice.call(body.rows)
      .sort(function (a, b) { return compare(valueOf(a, column), valueOf(b, column), sign); })
      .forEach(function (row) { body.appendChild(row); });
    Array.prototype.forEach.call(table.tHead.rows[0].cells, function (other) { other.removeAttribute("aria-sort"); });
    heading.setAttribute("aria-sort", sign > 0 ? "ascending" : "descending");
  }

  Array.prototype.forEach.call(document.querySelectorAll("table.sortable"), function (table) {
    Array.prototype.forEach.call(table.tHead.rows[0].cells, function (heading, column) {
      var button = document.createElement("button");
      button.type = "button";
      button.textContent = heading.textContent;
      button.addEventListener("click", function () { sort(table, column, heading); });
      heading.textContent = "";
      heading.appendChild(button);
    });
  });
})();
