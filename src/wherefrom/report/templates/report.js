(function () {
  "use strict";
  document.querySelectorAll(".part").forEach(function (part) {
    var form = part.querySelector(".choices");
    form.hidden = false;
    function show() {
      var found = false;
      var chosen = {};
      form.querySelectorAll("[data-choice]").forEach(function (choice) {
        chosen[choice.dataset.choice] = choice.value;
      });
      part.querySelectorAll(".view").forEach(function (view) {
        var on = ["model", "task", "head", "metric"].every(function (name) {
          return chosen[name] === undefined || view.dataset[name] === chosen[name];
        });
        view.hidden = !on;
        found = found || on;
      });
      part.querySelectorAll(".reference").forEach(function (block) {
        block.hidden = block.dataset.reference !== chosen.reference;
      });
      part.querySelector(".absent").hidden = found;
    }
    form.addEventListener("change", show);
    show();
  });
  document.querySelectorAll(".grid thead th").forEach(function (head) {
    head.addEventListener("click", function () {
      var down = head.getAttribute("aria-sort") !== "descending";
      var body = head.closest("table").tBodies[0];
      var column = head.cellIndex;
      head.parentNode.querySelectorAll("th").forEach(function (other) {
        other.removeAttribute("aria-sort");
      });
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      function key(row) {
        var cell = row.cells[column];
        if (column === 0) { return cell.textContent; }
        return cell.dataset.sort === undefined ? -Infinity : Number(cell.dataset.sort);
      }
      Array.from(body.rows).sort(function (a, b) {
        var x = key(a), y = key(b);
        return (x < y ? 1 : x > y ? -1 : 0) * (down ? 1 : -1);
      }).forEach(function (row) { body.appendChild(row); });
    });
  });
})();
