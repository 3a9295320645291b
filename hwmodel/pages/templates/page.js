"use strict";
(() => {
  const tip = document.getElementById("tip");
  const said = (element) => {
    const own = element.closest("[data-tip]");
    if (own) return own.dataset.tip;
    const series = element.closest("[data-tips]");
    if (!series) return null;
    const points = [...series.querySelectorAll("use")];
    return JSON.parse(series.dataset.tips)[points.indexOf(element)] ?? null;
  };
  document.addEventListener("pointermove", (event) => {
    const text = event.target.closest?.("svg") ? said(event.target) : null;
    tip.hidden = text === null;
    if (text === null) return;
    tip.textContent = text;
    const room = document.documentElement.clientWidth - tip.offsetWidth - 8;
    tip.style.left = `${Math.max(4, Math.min(event.clientX + 12, room))}px`;
    tip.style.top = `${event.clientY + 16}px`;
  });

  const value = (row, column) => {
    const cell = row.cells[column];
    return cell.dataset.value ?? cell.textContent;
  };
  const compare = (a, b) => {
    if (a === "" || b === "") return (a === "") - (b === "");
    const difference = Number(a) - Number(b);
    return Number.isNaN(difference) ? a.localeCompare(b, "en", { numeric: true }) : difference;
  };
  for (const table of document.querySelectorAll("table")) {
    const heads = [...table.tHead.rows[0].cells];
    const body = table.tBodies[0];
    const rows = [...body.rows];
    if (rows.length < 2) continue;
    heads.forEach((head, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = head.textContent;
      head.replaceChildren(button);
      button.addEventListener("click", () => {
        const down = head.getAttribute("aria-sort") === "ascending";
        heads.forEach((other) => other.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", down ? "descending" : "ascending");
        const sorted = [...rows].sort((a, b) => {
          const [x, y] = [value(a, column), value(b, column)];
          const order = compare(x, y);
          return down && x !== "" && y !== "" ? -order : order;
        });
        body.replaceChildren(...sorted);
      });
    });
    if (rows.length < 8) continue;
    const tools = table.closest("details").querySelector(".tools");
    const label = document.createElement("label");
    const input = document.createElement("input");
    input.type = "search";
    label.append("Filter ", input);
    tools.append(label);
    input.addEventListener("input", () => {
      const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
      for (const row of rows) {
        const text = row.textContent.toLowerCase();
        row.hidden = !words.every((word) => text.includes(word));
      }
    });
  }
})();
