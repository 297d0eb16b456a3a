"use strict";
// What a page can't do without a script: mark in the contents where the reader is, and give a drawing away as a file.
(() => {
  const links = new Map([...document.querySelectorAll("nav a")].map((link) => [link.hash.slice(1), link]));
  const places = [...links.keys()].map((id) => document.getElementById(id)).filter(Boolean);
  const mark = () => {
    // The last heading above a third of the window's height.
    const here = places.filter((place) => place.getBoundingClientRect().top < innerHeight / 3).pop() || places[0];
    for (const [id, link] of links) {
      if (id !== here.id) link.removeAttribute("aria-current");
      else if (!link.hasAttribute("aria-current")) {
        link.setAttribute("aria-current", "true");
        const list = link.closest("nav"), box = link.getBoundingClientRect(), room = list.getBoundingClientRect();
        if (box.left < room.left || box.right > room.right) list.scrollLeft += box.left - room.left - 16;
        if (box.top < room.top || box.bottom > room.bottom) list.scrollTop += box.top - room.top - room.height / 2;
      }
    }
  };
  let waiting = false;
  addEventListener("scroll", () => {
    if (!waiting) requestAnimationFrame(() => { waiting = false; mark(); });
    waiting = true;
  }, { passive: true });
  mark();

  const save = (blob, name) => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(blob);
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  };
  const ways = {
    csv: async (box, button) => {
      const bytes = Uint8Array.from(atob(button.dataset.gzip), (letter) => letter.charCodeAt(0));
      const text = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
      save(new Blob([await new Response(text).blob()], { type: "text/csv" }), `${box.id}.csv`);
    },
    svg: (box) => {
      const drawing = box.querySelector("svg.plot").cloneNode(true);
      const ink = document.createElementNS("http://www.w3.org/2000/svg", "style");
      ink.textContent = "svg{color:#1b1f24;--rule:#d5dae0;background:#fff}";
      drawing.prepend(ink);
      save(new Blob([new XMLSerializer().serializeToString(drawing)], { type: "image/svg+xml" }), `${box.id}.svg`);
    },
    // The browser's own PDF: of this figure alone, its lines as lines and its letters as letters.
    pdf: (box) => {
      document.body.classList.add("single");
      box.classList.add("printed");
      print();
      box.classList.remove("printed");
      document.body.classList.remove("single");
    },
  };
  for (const button of document.querySelectorAll("button[data-as]")) {
    button.hidden = false;
    button.addEventListener("click", () => ways[button.dataset.as](button.closest("[id]"), button));
  }
})();
