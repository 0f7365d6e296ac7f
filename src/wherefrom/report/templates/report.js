(function () {
  "use strict";
  function reveal(target) {
    var view = target.closest(".view");
    if (view && view.hidden) {
      view.closest(".part").querySelectorAll("[data-choice]").forEach(function (choice) {
        choice.value = view.dataset[choice.dataset.choice];
      });
      view.closest(".part").querySelector(".choices").dispatchEvent(new Event("change"));
    }
    var own = target.querySelector(":scope > details.fold");
    if (own) { own.open = true; }
    for (var fold = target.closest("details"); fold; fold = fold.parentNode.closest("details")) {
      fold.open = true;
    }
    target.scrollIntoView({ block: own || target.matches("section, figure") ? "start" : "center", inline: "center" });
  }
  document.querySelectorAll(".part").forEach(function (part) {
    var form = part.querySelector(".choices");
    form.hidden = !form.querySelector("[data-choice]");
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
        if (on) { view.removeAttribute("hidden"); } else { view.setAttribute("hidden", "until-found"); }
        found = found || on;
      });
      part.querySelector(".absent").hidden = found;
    }
    form.addEventListener("change", show);
    part.addEventListener("beforematch", function (event) { reveal(event.target); });
    show();
  });
  function follow() {
    var target = document.getElementById(location.hash.slice(1));
    if (target) { reveal(target); }
  }
  window.addEventListener("hashchange", follow);
  follow();
  // A link that is followed twice changes no address.
  document.addEventListener("click", function (event) {
    var link = event.target.closest('a[href^="#"]');
    if (link && link.getAttribute("href") === location.hash) { follow(); }
  });
  document.querySelectorAll(".scroll, .paper").forEach(function (box) {
    function cue() {
      box.classList.toggle("more", box.scrollLeft + box.clientWidth < box.scrollWidth - 2);
    }
    box.addEventListener("scroll", cue, { passive: true });
    new ResizeObserver(cue).observe(box);
    cue();
  });
  window.addEventListener("beforeprint", function () {
    document.querySelectorAll("details").forEach(function (fold) { fold.open = true; });
  });
  document.querySelectorAll(".grid thead th").forEach(function (head) {
    function sort() {
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
    }
    head.tabIndex = 0;
    head.addEventListener("click", sort);
    head.addEventListener("keydown", function (event) { if (event.key === "Enter") { sort(); } });
  });
})();
