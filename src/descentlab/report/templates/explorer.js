"use strict";
// The explorer: what the form asks for, drawn, said in sentences and set in a table. Names go into the page as text alone.
(() => {
  const NAMED = 8; // as many names as still fit beside the lines
  const HEIGHT = { chart: 320, difference: 180 };
  const { pairedDifference, number, limits, acrossLimits, differenceLimits, fill, palette, roomFor, drawChart } =
    window.descentlabExplorer;

  const root = document.currentScript.closest(".explorer");
  const find = (selector) => root.querySelector(selector);
  const form = find("form"), chart = find(".chart"), below = find(".difference"), tip = find(".tip");
  const boxes = [...form.querySelectorAll("[name=optimizer]")];
  const { charts, problems, arms, optimizers, measures, axes, quantiles, words } = JSON.parse(find(".setup").textContent);

  const counted = (n, one, other) => fill(words[n === 1 ? one : other], { n: n.toLocaleString("en-US") });
  const told = (value, signed) => number(value, signed, words.unknown);
  function interval({ value, half, n }, signed) {
    const ends = half === null ? words.no_interval : `[${told(value - half, signed)}, ${told(value + half, signed)}]`;
    return `${told(value, signed)} ${ends}, n = ${n}`;
  }

  async function unpack(name) {
    const letters = atob(find(name).textContent.trim()), bytes = new Uint8Array(letters.length);
    for (let i = 0; i < letters.length; i += 1) bytes[i] = letters.charCodeAt(i);
    return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).text();
  }

  // Columns into one entry a curve, by the places of its problem, arm and optimizer, with its runs.
  function curvesOf({ curves, means, runs, values }) {
    const found = new Map(), all = [];
    const take = (columns, from, to) =>
      Object.fromEntries(Object.entries(columns).map(([name, column]) => [name, column.slice(from, to)]));
    let from = 0;
    curves.evaluations.forEach((count, i) => {
      all.push({ rate: curves.rate[i], ...take(means, from, from + count), runs: [] });
      found.set([curves.problem[i], curves.arm[i], curves.optimizer[i]].join(), all[i]);
      from += count;
    });
    from = 0;
    runs.evaluations.forEach((count, i) => {
      const about = { id: runs.id[i], seed: runs.seed[i], status: runs.status[i] };
      all[runs.curve[i]].runs.push({ ...about, ...take(values, from, from + count) });
      from += count;
    });
    return found;
  }

  let curves, singles, state;
  const views = new Map(); // what is drawn, by its container

  // What the form asks for.
  function read() {
    const asked = new FormData(form), place = (name) => Number(asked.get(name));
    const problem = problems[place("problem")], measure = place("measure"), axis = axes[place("axis")];
    return {
      problem: problem.name, arm: arms[place("arm")], key: [place("problem"), place("arm")], axis: axis.column, axisTitle: axis.title,
      column: measures[measure], measure: problem.measures[measure], title: problem.titles[measure], higher: problem.higher[measure],
      each: asked.get("view") === "seeds", log: { x: asked.has("log-x"), y: asked.has("log-y") },
      selected: asked.getAll("optimizer").map(Number),
    };
  }

  const curveOf = (place) => curves.get([...state.key, place].join());
  const visible = (points) => points.filter(({ x, value }) => x !== null && value !== null);
  const last = (points) => visible(points).pop();
  const ranged = (x, value, half, n) =>
    ({ x, value, half, n, low: half === null ? null : value - half, high: half === null ? null : value + half });

  const meanLine = ({ place, name, color, curve }) => ({
    place, name, color, rate: curve.rate,
    points: curve[state.axis].map((x, i) => ranged(x, curve[state.column][i], curve[`${state.column}_half`][i], curve.n[i])),
  });

  const seedLines = ({ place, name, color, curve }) => curve.runs.map((run) => ({
    place, name, color, rate: curve.rate, run,
    points: run.at.map((at, i) => ({ x: curve[state.axis][at], value: run[state.column][i], low: null, high: null })),
  }));

  // Two optimizers' runs of the same seed, at the end and wherever both were evaluated after as many updates (or examples).
  function compare([first, second]) {
    const axis = axes.find(({ column }) => column === (state.axis === "examples" ? "examples" : "updates"));
    const ones = first.curve[axis.column], others = second.curve[axis.column];
    const bySeed = new Map(second.curve.runs.map((run) => [run.seed, run]));
    const pairs = first.curve.runs.filter(({ seed }) => bySeed.has(seed)).map((run) => [run, bySeed.get(run.seed)]);
    const valueAt = (run, place) => run[state.column][run.at.indexOf(place)] ?? null;
    const differenceAt = (x, i, j) => {
      const values = [pairs.map(([run]) => valueAt(run, i)), pairs.map(([, run]) => valueAt(run, j))];
      const { mean, half, n } = pairedDifference(...values, quantiles);
      return ranged(x, mean, half, n);
    };
    const points = ones.map((x, i) => [x, i, others.indexOf(x)]).filter(([x, , j]) => x !== null && j >= 0)
      .map((places) => differenceAt(...places)).filter(({ n }) => n);
    const end = differenceAt(null, ones.length - 1, others.length - 1);
    const lost = Math.max(first.curve.runs.length, second.curve.runs.length) - end.n;
    return { first, second, axis, points, end, lost, whole: ones.at(-1) === others.at(-1) };
  }

  function render() {
    state = read();
    tip.hidden = true;
    for (const box of boxes) {
      box.disabled = !curveOf(box.value);
      box.parentElement.classList.toggle("absent", box.disabled);
    }
    const drawn = ({ points }) => visible(points).length;
    const chosen = state.selected.map((place) => ({ place, ...optimizers[place], curve: curveOf(place) })).filter(({ curve }) => curve);
    const means = chosen.map(meanLine).filter(drawn), lines = state.each ? chosen.flatMap(seedLines).filter(drawn) : means;
    const pair = chosen.length === 2 && singles ? compare(chosen) : null;
    state = { ...state, chosen, means, lines, pair };
    say();
    tabulate();
    draw();
  }

  function draw() {
    const { means, lines, pair, log } = state, points = lines.flatMap((line) => visible(line.points));
    const domain = limits(points.map(({ value }) => value), log.y), across = acrossLimits(points, log.x);
    const named = means.length > NAMED ? [] : means.map((line) => ({ ...line, end: last(line.points).value }));
    const right = roomFor(named.map(({ name }) => name), chart);
    if (domain && across)
      replace(chart, state.each ? "seeds" : "means", {
        lines, named, right, height: HEIGHT.chart, title: { text: state.title, subtitle: `${state.problem}, ${state.arm}` },
        x: { domain: across, log: log.x, title: state.axisTitle }, y: { domain, log: log.y, title: null },
      });
    else clear(chart);
    find(".below").hidden = !(pair?.points.length > 1);
    if (find(".below").hidden) return clear(below);
    const { first, second, axis } = pair, name = `${first.name} − ${second.name}`;
    const better = fill(words[state.higher ? "above" : "below"], { first: first.name });
    replace(below, "difference", {
      lines: [{ place: -1, name, color: palette(root).ink, axis, points: pair.points }], named: [], right, height: HEIGHT.difference,
      title: { text: name, subtitle: `${words.pairs}, ${words.t_interval}, ${better}` },
      x: { domain: axis.column === state.axis ? across : acrossLimits(pair.points, log.x), log: log.x, title: axis.title },
      y: { ...differenceLimits(pair.points), log: log.y, title: null },
    });
  }

  async function replace(container, kind, options) {
    const asked = state;
    try {
      const { element, view } = await drawChart(container, charts[kind], { ...options, tooltip: showTip });
      if (asked !== state) return view.finalize(); // the reader has chosen something else meanwhile
      clear(container);
      views.set(container, view);
      container.append(element);
    } catch (error) {
      fail(error);
    }
  }

  function clear(container) {
    views.get(container)?.finalize();
    views.delete(container);
    container.replaceChildren();
  }

  function showTip(event, row) {
    tip.hidden = !row?.source;
    if (tip.hidden) return;
    const { source: { run, name, rate, axis }, point } = row;
    const value = run ? told(point.value) : interval(point, axis);
    const lines = [run ? run.id : name, `${state.measure}: ${value}`, `${axis ? axis.title : state.axisTitle}: ${told(point.x)}`];
    if (Number.isFinite(rate)) lines.push(`${words.rate}: ${told(rate)}`);
    tip.replaceChildren(...lines.map((text) => cell("div", text)));
    const { width, height } = tip.getBoundingClientRect(), { clientX: x, clientY: y } = event;
    tip.style.left = `${Math.max(4, x + 14 + width > innerWidth ? x - width - 14 : x + 14)}px`;
    tip.style.top = `${Math.max(4, y - height - 12)}px`;
  }

  // What is shown, in sentences; each chart's are its name for a reader who can't see it.
  function say() {
    const { means, lines, pair, chosen, higher } = state;
    const here = { measure: state.measure, problem: state.problem, arm: state.arm, axis: state.axisTitle };
    const count = { optimizers: counted(means.length, "one_optimizer", "optimizers"), runs: counted(lines.length, "one_run", "runs") };
    const n = Math.max(...means.flatMap(({ points }) => points.map((point) => point.n)));
    const sentences = [fill(words[!lines.length ? "nothing" : state.each ? "seeds" : "means"], { ...here, ...count, n })];
    const ends = means.map(({ place, points }) => ({ place, ...points.at(-1) })).filter(({ value }) => value !== null);
    if (ends.length > 1) {
      const best = ends.reduce((one, other) => ((higher ? other.value > one.value : other.value < one.value) ? other : one));
      const named = { optimizer: optimizers[best.place].title, value: interval(best) };
      sentences.push(fill(words[higher ? "highest" : "lowest"], named));
    }
    const differences = pair ? sayDifference(pair) : chosen.length === 2 ? [words.no_runs] : [];
    const capital = (text) => text && text[0].toUpperCase() + text.slice(1);
    find(".said").textContent = capital([...sentences, ...differences].join(" "));
    chart.setAttribute("aria-label", capital(sentences.join(" ")));
    below.setAttribute("aria-label", capital(differences.join(" ")));
  }

  function sayDifference({ first, second, axis, points, end, lost, whole }) {
    const names = { first: first.title, second: second.title }, sentences = [];
    if (end.n) {
      const better = fill(words[state.higher ? "above" : "below"], names);
      sentences.push(fill(words.difference, { ...names, value: interval(end, true), better }));
      if (lost) sentences.push(counted(lost, "one_lost", "lost"));
    } else sentences.push(fill(words.no_difference, names));
    if (points.length < 2) sentences.push(fill(words.unpaired, { axis: axis.title }));
    else if (!whole) sentences.push(fill(words.partly, { axis: axis.title, last: told(points.at(-1).x) }));
    return sentences;
  }

  function cell(kind, text, properties = {}) {
    return Object.assign(document.createElement(kind), { textContent: text }, properties);
  }

  function tabulate() {
    const heads = [...(state.each ? [words.run, words.status] : [words.optimizer]), words.rate, fill(words.last, { axis: state.axisTitle }),
      state.each ? words.value : words.mean];
    const numeric = (i) => (i >= (state.each ? 2 : 1) ? "n" : "");
    const rows = state.lines.map(({ name, rate, run, points }) => {
      const point = last(points), names = run ? [run.id, words[run.status]] : [name];
      return [...names, rate === null ? "" : told(rate), told(point.x), run ? told(point.value) : interval(point)];
    });
    const head = document.createElement("thead"), body = document.createElement("tbody");
    head.insertRow().append(...heads.map((text, i) => cell("th", text, { scope: "col", className: numeric(i) })));
    for (const [name, ...rest] of rows)
      body.insertRow().append(cell("th", name, { scope: "row" }),
        ...rest.map((text, i) => cell("td", text, { className: numeric(i + 1) })));
    find("table").replaceChildren(head, body);
  }

  function csvOf(container) {
    const { problem, arm, axis, column, pair, lines, each } = state;
    const quote = (value) => (/[",\n]/.test(value) ? `"${String(value).replaceAll('"', '""')}"` : value ?? "");
    const ends = ["low", "high", "n"], places = ["problem", "arm"];
    const rows = container === below
      ? [[...places, "first", "second", pair.axis.column, `${column}_difference`, ...ends],
        ...pair.points.map(({ x, value, low, high, n }) => [problem, arm, pair.first.name, pair.second.name, x, value, low, high, n])]
      : [[...places, "optimizer", "learning_rate", ...(each ? ["run_id", "status"] : []), axis, column, ...(each ? [] : ends)],
        ...lines.flatMap(({ name, rate, run, points }) => visible(points).map(({ x, value, low, high, n }) =>
          [problem, arm, name, rate, ...(run ? [run.id, run.status] : []), x, value, ...(run ? [] : [low, high, n])]))];
    return rows.map((row) => `${row.map(quote).join(",")}\n`).join("");
  }

  async function download({ target }) {
    if (!target.matches("button")) return;
    const container = target.closest(".below") ? below : chart, ending = target.name;
    if (!views.has(container)) return;
    const href = ending === "csv" ? URL.createObjectURL(new Blob([csvOf(container)], { type: "text/csv" }))
      : await views.get(container).toImageURL(ending, ending === "png" ? 2 : 1);
    cell("a", "", { href, download: `explorer.${ending}` }).click();
    setTimeout(() => URL.revokeObjectURL(href), 1000);
  }

  // The line of the optimizer whose name has the pointer or the focus stands out.
  function emphasize({ target, type }) {
    const box = target.closest(".grid label")?.querySelector("input"), on = ["pointerover", "focusin"].includes(type);
    views.get(chart)?.signal("emphasized", on && box?.checked && !box.disabled ? Number(box.value) : -1).run();
  }

  function choose({ target, type }) {
    if (type === "click" && !target.matches("button")) return;
    if (target.name === "measure") form.elements["log-y"].checked = measures[target.value] !== "val_metric";
    const check = { all: () => true, none: () => false, first: (box) => box.defaultChecked }[target.name];
    if (check) boxes.forEach((box) => { box.checked = check(box); });
    render();
  }

  async function start() {
    const [code, data] = await Promise.all([unpack(".library"), unpack(".data")]);
    document.head.append(cell("script", code));
    curves = curvesOf(JSON.parse(data));
    singles = [...curves.values()].some(({ runs }) => runs.length);
    render();
    form.addEventListener("change", choose);
    form.addEventListener("click", choose);
    for (const type of ["pointerover", "pointerout", "focusin", "focusout"]) form.addEventListener(type, emphasize);
    find(".drawn").addEventListener("click", download);
    let width = chart.clientWidth;
    new ResizeObserver(() => {
      if (!chart.clientWidth || chart.clientWidth === width) return;
      width = chart.clientWidth;
      requestAnimationFrame(render);
    }).observe(chart);
    // The style sheet's own condition: it also changes when the page is printed.
    matchMedia("screen and (prefers-color-scheme: dark)").addEventListener("change", render);
    root.classList.add("ready");
  }

  function fail(error) {
    console.error(error);
    form.hidden = find(".drawn").hidden = true;
    find(".note").hidden = false;
  }

  if (!window.DecompressionStream) return;
  find(".note").hidden = true;
  form.hidden = find(".drawn").hidden = false;
  let started;
  const begin = () => { started ??= start().catch(fail); };
  form.addEventListener("focusin", begin, { once: true });
  const near = (entries) => { if (entries.some(({ isIntersecting }) => isIntersecting)) begin(); };
  new IntersectionObserver(near, { rootMargin: "600px" }).observe(root);
})();
