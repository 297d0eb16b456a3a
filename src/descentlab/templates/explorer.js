"use strict";
// The explorer: what the form asks for, drawn by Vega-Lite, said in a sentence and set in a table. Names go into the page as
// text alone.
(() => {
  const NAMED = 8; // as many names as still fit beside the lines
  const HEIGHT = { chart: 320, difference: 180 };
  const LETTER = 12, LINE = 15; // of names, in pixels
  const { pairedDifference, number, spread, limits, acrossLimits, differenceLimits, logTicks, symlogTicks, tickLabel, fill } =
    window.descentlabExplorer;

  const root = document.currentScript.closest(".explorer");
  const find = (selector) => root.querySelector(selector);
  const form = find("form"), chart = find(".chart"), below = find(".difference"), tip = find(".tip");
  const { charts, problems, arms, optimizers, measures, axes, quantiles, words } = JSON.parse(find(".setup").textContent);
  const counted = (n, one, other) => fill(words[n === 1 ? one : other], { n: n.toLocaleString("en-US") });
  const told = (value, signed) => number(value, signed, words.unknown);
  const interval = ({ mean, half, n }, signed) =>
    `${told(mean, signed)} ${Number.isFinite(half) ? `[${told(mean - half, signed)}, ${told(mean + half, signed)}]` : words.no_interval}, n = ${n}`;

  async function unpack(name) {
    const letters = atob(find(name).textContent.trim()), bytes = new Uint8Array(letters.length);
    for (let i = 0; i < letters.length; i += 1) bytes[i] = letters.charCodeAt(i);
    return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).text();
  }

  // Columns into one entry a curve, by the places of its problem, arm and optimizer, with its runs.
  function curvesOf({ curves, means, runs, values }) {
    const all = curves.evaluations.map(() => null), found = new Map();
    const take = (columns, from, to) => Object.fromEntries(Object.entries(columns).map(([name, all]) => [name, all.slice(from, to)]));
    let from = 0;
    curves.evaluations.forEach((count, i) => {
      all[i] = { rate: curves.rate[i], ...take(means, from, from + count), runs: [] };
      found.set([curves.problem[i], curves.arm[i], curves.optimizer[i]].join(), all[i]);
      from += count;
    });
    from = 0;
    runs.evaluations.forEach((count, i) => {
      const run = { id: runs.id[i], seed: runs.seed[i], status: runs.status[i], ...take(values, from, from + count) };
      all[runs.curve[i]].runs.push(run);
      from += count;
    });
    return found;
  }

  let curves, singles, state, shown;
  const views = new Map(); // what is drawn, by its container

  function read() {
    const chosen = new FormData(form);
    const place = (name) => Number(chosen.get(name));
    return {
      problem: problems[place("problem")], arm: arms[place("arm")], axis: axes[place("axis")].column,
      axisTitle: axes[place("axis")].title, measure: measures[place("measure")], view: chosen.get("view"),
      title: problems[place("problem")].titles[place("measure")], higher: problems[place("problem")].higher[place("measure")],
      log: { x: chosen.has("log-x"), y: chosen.has("log-y") }, key: [place("problem"), place("arm")],
      selected: chosen.getAll("optimizer").map(Number),
    };
  }

  // The selected optimizers that ran here, each with its curve.
  const present = () => state.selected.map((place) => ({ place, ...optimizers[place], curve: curves.get([...state.key, place].join()) }))
    .filter(({ curve }) => curve);

  function meanLine({ place, name, colour, curve }) {
    const points = curve.updates.map((_, i) => {
      const value = curve[state.measure][i], half = curve[`${state.measure}_half`][i];
      return { x: curve[state.axis][i], value, half, low: half === null ? null : value - half,
        high: half === null ? null : value + half, n: curve.n[i] };
    });
    return { place, name, colour, rate: curve.rate, points };
  }

  const seedLines = ({ place, name, colour, curve }) => curve.runs.map((run) => ({
    place, name, colour, rate: curve.rate, run,
    points: run.at.map((at, i) => ({ x: curve[state.axis][at], value: run[state.measure][i] })),
  }));

  const visible = (points) => points.filter(({ x, value }) => x !== null && value !== null);
  const last = (points) => visible(points).pop();

  // Two optimizers' runs of the same seed, at the end and wherever both were evaluated after as many updates (or examples).
  function compare([first, second]) {
    const axis = state.axis === "examples" ? "examples" : "updates";
    const bySeed = new Map(second.curve.runs.map((run) => [run.seed, run]));
    const pairs = first.curve.runs.filter(({ seed }) => bySeed.has(seed)).map((run) => [run, bySeed.get(run.seed)]);
    const at = (run, curve, place) => { const i = run.at.indexOf(place); return i < 0 ? null : run[state.measure][i]; };
    const difference = (i, j) => pairedDifference(
      pairs.map(([run]) => at(run, first.curve, i)), pairs.map(([, run]) => at(run, second.curve, j)), quantiles);
    const end = difference(first.curve[axis].length - 1, second.curve[axis].length - 1);
    const points = [];
    first.curve[axis].forEach((x, i) => {
      const j = second.curve[axis].indexOf(x);
      if (x === null || j < 0) return;
      const { mean, half, n } = difference(i, j);
      if (n) points.push({ x, value: mean, half, n, low: Number.isFinite(half) ? mean - half : null,
        high: Number.isFinite(half) ? mean + half : null });
    });
    const whole = first.curve[axis].at(-1) === second.curve[axis].at(-1);
    return { first, second, axis, end, whole, lost: Math.max(first.curve.runs.length, second.curve.runs.length) - end.n, points,
      axisTitle: axes.find(({ column }) => column === axis).title };
  }

  function palette() {
    const style = getComputedStyle(root), colour = (name) => style.getPropertyValue(name).trim();
    return { ink: colour("--ink"), soft: colour("--soft"), rule: colour("--rule"), paper: colour("--paper"), font: style.fontFamily };
  }

  function configured({ ink, soft, rule, font }) {
    return {
      font, view: { stroke: null }, mark: { aria: false }, rule: { color: soft }, text: { color: ink, fontSize: LETTER },
      title: { aria: false, color: ink, subtitleColor: soft, fontSize: 13, subtitleFontSize: LETTER, fontWeight: 600, anchor: "start", offset: 10 },
      axis: { aria: false, labelColor: ink, titleColor: ink, gridColor: rule, domainColor: rule, tickColor: rule, labelFontSize: 11,
        titleFontSize: LETTER, titleFontWeight: "normal" },
    };
  }

  function textWidth(text, font) {
    const context = document.createElement("canvas").getContext("2d");
    context.font = `${LETTER}px ${font}`;
    return context.measureText(text).width;
  }

  // A channel's scale and axis. ``constant``: how far from 0 a logarithmic axis of both signs stays linear.
  function scaled({ domain, log, constant, title }, room) {
    const most = Math.max(2, Math.floor(room)), axis = { title, labelExpr: "tickLabel(datum.value)", labelOverlap: "greedy" };
    if (!log) return { scale: { domain, nice: false, zero: false }, axis: { ...axis, tickCount: most } };
    const values = constant ? symlogTicks(domain, constant, most) : logTicks(domain, most);
    const scale = constant ? { type: "symlog", constant, domain, nice: false } : { type: "log", domain, nice: false };
    return { scale, axis: { ...axis, values, tickCount: values.length } };
  }

  // Room at the right for the names.
  function roomFor(names, outer) {
    const widest = Math.max(0, ...names.map((name) => textWidth(name, palette().font)));
    return names.length ? Math.min(widest + 24, outer * 0.3, 190) : 14;
  }

  async function draw(container, kind, { lines, named, right, x, y, title, height }) {
    const asked = state, colours = palette(), outer = container.clientWidth;
    const short = textWidth(title.subtitle.join(", "), colours.font) < outer - 66;
    const subtitle = short ? title.subtitle.join(", ") : title.subtitle;
    const padding = { left: 58, right, top: 50 + (short ? 0 : 15 * (subtitle.length - 1)), bottom: 44 };
    const width = Math.max(outer - padding.left - right, 80);
    const spec = structuredClone(charts[kind]);
    const channels = { x: scaled(x, width / 60), y: scaled(y, height / 28) };
    channels.x.axis.grid = false;
    for (const { encoding } of spec.layer)
      for (const channel of ["x", "y"])
        if (encoding[channel]?.field && encoding[channel].scale !== null) Object.assign(encoding[channel], channels[channel]);
    const positive = y.log && !y.constant;
    const rows = lines.flatMap(({ points, ...line }, i) => points
      .filter(({ x: at, value }) => at !== null && value !== null && (!positive || value > 0))
      .map((point) => ({ ...point, row: point, line: i, source: line, optimizer: line.place, colour: line.colour,
        x: x.log ? Math.max(point.x, x.domain[0]) : point.x,
        low: point.low === null ? point.value : positive ? Math.max(point.low, y.domain[0]) : point.low,
        high: point.high ?? point.value })));
    const to = (value) => (y.log ? Math.log(value) : value);
    const pixel = (value) => height * (1 - (to(value) - to(y.domain[0])) / (to(y.domain[1]) - to(y.domain[0])));
    const heights = named.map(({ end }) => Math.min(Math.max(y.log && end <= 0 ? height : pixel(end), 0), height));
    const places = spread(heights, LINE, 0, height);
    const ends = named.map(({ place, name, colour }, i) =>
      ({ text: name, optimizer: place, colour, end: heights[i], place: places[i] }));
    const chart = {
      ...spec, width, height, padding, autosize: "none", background: colours.paper, datasets: { rows, ends },
      title: { text: title.text, subtitle, limit: outer - 58 }, config: configured(colours),
    };
    const place = document.createElement("div");
    const { view } = await window.descentlabEmbed(place, chart, {
      mode: "vega-lite", actions: false, defaultStyle: false, renderer: "svg", expressionFunctions: { tickLabel },
      tooltip: (handler, event, item, row) => point(event, row),
    });
    if (asked !== state) return view.finalize(); // the reader has chosen something else meanwhile
    views.get(container)?.finalize();
    views.set(container, view);
    container.replaceChildren(place);
  }

  function point(event, row) {
    tip.hidden = !row?.source;
    if (tip.hidden) return;
    const { source, row: { x, value, half, n } } = row;
    const lines = [source.run ? source.run.id : source.name,
      `${state.measureTitle}: ${n === undefined ? told(value) : interval({ mean: value, half: half ?? NaN, n }, source.signed)}`,
      `${source.axisTitle ?? state.axisTitle}: ${told(x)}`];
    if (source.rate !== undefined && source.rate !== null) lines.push(`${words.rate}: ${told(source.rate)}`);
    tip.replaceChildren(...lines.map((text) => { const line = document.createElement("div"); line.textContent = text; return line; }));
    const { width, height } = tip.getBoundingClientRect();
    tip.style.left = `${Math.max(4, event.clientX + 14 + width > innerWidth ? event.clientX - width - 14 : event.clientX + 14)}px`;
    tip.style.top = `${Math.max(4, event.clientY - height - 12)}px`;
  }

  function render() {
    state = read();
    state.measureTitle = state.title.replace(/ \([^()]*\)$/, "");
    tip.hidden = true;
    for (const box of form.elements.optimizer.length ? form.elements.optimizer : [form.elements.optimizer]) {
      const absent = !curves.has([...state.key, Number(box.value)].join());
      box.disabled = absent;
      box.parentElement.classList.toggle("absent", absent);
    }
    const chosen = present(), means = chosen.map(meanLine).filter(({ points }) => visible(points).length);
    const lines = state.view === "means" ? means : chosen.flatMap(seedLines).filter(({ points }) => visible(points).length);
    const pair = chosen.length === 2 && singles ? compare(chosen) : null;
    shown = { lines, pair };
    const all = lines.flatMap(({ points }) => visible(points));
    const domain = limits(all.map(({ value }) => value), state.log.y), across = acrossLimits(all, state.log.x);
    const named = means.length <= NAMED
      ? means.map(({ place, name, colour, points }) => ({ place, name, colour, end: last(points).value })) : [];
    const right = roomFor(named.map(({ name }) => name), chart.clientWidth);
    if (domain && across) {
      draw(chart, state.view, { lines, named, right, height: HEIGHT.chart,
        x: { domain: across, log: state.log.x, title: state.axisTitle }, y: { domain, log: state.log.y, title: null },
        title: { text: state.title, subtitle: [state.problem.name, state.arm] } }).catch(fail);
    } else clear();
    say(means, lines, pair, chosen);
    below.hidden = !(pair && pair.points.length > 1);
    if (!below.hidden) drawDifference(pair, across, right);
    chart.setAttribute("aria-label", find(".said").textContent);
    below.setAttribute("aria-label", find(".said").textContent);
    tabulate(means, lines);
  }

  function clear() {
    views.get(chart)?.finalize();
    views.delete(chart);
    chart.replaceChildren();
  }

  function drawDifference({ first, second, points, axis, axisTitle }, across, right) {
    const better = fill(words[state.higher ? "above" : "below"], { first: first.name }), line = { place: -1, colour: palette().ink };
    draw(below, "difference", {
      lines: [{ ...line, name: `${first.name} − ${second.name}`, signed: true, axisTitle, points }], named: [], right,
      x: { domain: axis === state.axis ? across : acrossLimits(points, state.log.x), log: state.log.x, title: axisTitle },
      y: { ...differenceLimits(points), log: state.log.y, title: null },
      title: { text: `${first.name} − ${second.name}`, subtitle: [words.pairs, words.t_interval, better] }, height: HEIGHT.difference,
    }).catch(fail);
  }

  function say(means, lines, pair, chosen) {
    const here = { measure: state.measureTitle, problem: state.problem.name, arm: state.arm, axis: state.axisTitle,
      optimizers: counted(means.length, "one_optimizer", "optimizers") };
    const sentences = [];
    if (!lines.length) sentences.push(fill(words.nothing, here));
    else if (state.view === "means") sentences.push(fill(words.means, { ...here, n: Math.max(...means.flatMap(({ points }) => points.map(({ n }) => n))) }));
    else sentences.push(fill(words.seeds, { ...here, runs: counted(lines.length, "one_run", "runs") }));
    if (means.length > 1) {
      const sign = state.higher ? -1 : 1;
      const ends = means.map(({ place, points }) => ({ place, ...last(points) })).sort((a, b) => sign * (a.value - b.value));
      const { place, value, half, n } = ends[0];
      sentences.push(fill(words[state.higher ? "highest" : "lowest"],
        { optimizer: optimizers[place].title, value: interval({ mean: value, half: half ?? NaN, n }) }));
    }
    if (pair) {
      const { first, second, end, lost, points, whole, axisTitle } = pair, names = { first: first.title, second: second.title };
      if (!end.n) sentences.push(fill(words.no_difference, names));
      else {
        const better = fill(words[state.higher ? "above" : "below"], names);
        sentences.push(fill(words.difference, { ...names, value: interval(end, true), better }));
        if (lost) sentences.push(counted(lost, "one_lost", "lost"));
      }
      if (points.length < 2) sentences.push(fill(words.unpaired, { axis: axisTitle }));
      else if (!whole) sentences.push(fill(words.partly, { axis: axisTitle, last: told(last(points).x) }));
    } else if (chosen.length === 2) sentences.push(words.no_runs);
    const said = sentences.join(" ");
    find(".said").textContent = said[0].toUpperCase() + said.slice(1);
  }

  function cell(kind, text, numeric) {
    const made = document.createElement(kind);
    made.textContent = text;
    if (numeric) made.className = "n";
    return made;
  }

  function tabulate(means, lines) {
    const singles = state.view === "seeds", axis = fill(words.last, { axis: state.axisTitle });
    const heads = singles ? [words.run, words.status, words.rate, axis, words.value] : [words.optimizer, words.rate, axis, words.mean];
    const rows = lines.map(({ name, rate, run, points }) => {
      const { x, value, half, n } = last(points), where = [rate === null ? "" : told(rate), told(x)];
      return singles ? [run.id, words[run.status], ...where, told(value)] : [name, ...where, interval({ mean: value, half: half ?? NaN, n })];
    });
    const numeric = (i) => i >= (singles ? 2 : 1);
    const head = document.createElement("thead"), body = document.createElement("tbody");
    const titles = heads.map((text, i) => cell("th", text, numeric(i)));
    titles.forEach((made) => { made.scope = "col"; });
    head.append(document.createElement("tr"));
    head.firstChild.append(...titles);
    for (const row of rows) {
      const made = document.createElement("tr");
      made.append(...row.map((text, i) => cell(i ? "td" : "th", text, numeric(i))));
      made.firstChild.scope = "row";
      body.append(made);
    }
    find("table").replaceChildren(head, body);
  }

  function csv() {
    const singles = state.view === "seeds";
    const quote = (value) => (/[",\n]/.test(value) ? `"${String(value).replaceAll('"', '""')}"` : value ?? "");
    const heads = ["problem", "arm", "optimizer", "learning_rate", ...(singles ? ["run_id", "status"] : []), state.axis, state.measure,
      ...(singles ? [] : ["low", "high", "n"])];
    const rows = shown.lines.flatMap(({ name, rate, run, points }) => visible(points).map(({ x, value, low, high, n }) =>
      [state.problem.name, state.arm, name, rate, ...(run ? [run.id, run.status] : []), x, value, ...(run ? [] : [low, high, n])]));
    return [heads, ...rows].map((row) => row.map(quote).join(",")).join("\n") + "\n";
  }

  function save(href, ending) {
    const link = document.createElement("a");
    link.href = href;
    link.download = `explorer.${ending}`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(href), 1000);
  }

  async function download({ target: { name } }) {
    if (name === "csv") save(URL.createObjectURL(new Blob([csv()], { type: "text/csv" })), name);
    else if (views.has(chart)) save(await views.get(chart).toImageURL(name, name === "png" ? 2 : 1), name);
  }

  function emphasise(event) {
    const label = event.target.closest?.(".grid label"), on = label && ["pointerover", "focusin"].includes(event.type);
    const place = on && !label.querySelector("input").disabled && label.querySelector("input").checked ? Number(label.querySelector("input").value) : -1;
    views.get(chart)?.signal("emphasised", place).run();
  }

  function choose({ target }) {
    const boxes = [...form.querySelectorAll("[name=optimizer]")];
    if (target.name === "measure") form.elements["log-y"].checked = measures[Number(target.value)] !== "val_metric";
    if (target.name === "all") boxes.forEach((box) => { box.checked = true; });
    if (target.name === "none") boxes.forEach((box) => { box.checked = false; });
    if (target.name === "first") boxes.forEach((box) => { box.checked = box.defaultChecked; });
    render();
  }

  let started;
  async function start() {
    const [code, data] = await Promise.all([unpack(".library"), unpack(".data")]);
    const script = document.createElement("script");
    script.textContent = code;
    document.head.append(script);
    curves = curvesOf(JSON.parse(data));
    singles = [...curves.values()].some(({ runs }) => runs.length);
    render();
    root.classList.add("ready");
    form.addEventListener("change", choose);
    form.addEventListener("click", (event) => { if (event.target.matches("button")) choose(event); });
    for (const type of ["pointerover", "pointerout", "focusin", "focusout"]) form.addEventListener(type, emphasise);
    find(".downloads").addEventListener("click", (event) => { if (event.target.matches("button")) download(event); });
    let width = chart.clientWidth;
    new ResizeObserver(() => {
      if (chart.clientWidth && chart.clientWidth !== width) { width = chart.clientWidth; requestAnimationFrame(render); }
    }).observe(chart);
    // The style sheet's own condition: it also changes when the page is printed.
    matchMedia("screen and (prefers-color-scheme: dark)").addEventListener("change", render);
  }
  const begin = () => { started ??= start().catch(fail); };
  function fail(error) {
    console.error(error);
    form.hidden = find(".drawn").hidden = true;
    find(".note").hidden = false;
  }

  if (!window.DecompressionStream) return;
  find(".note").hidden = true;
  form.hidden = find(".drawn").hidden = false;
  form.addEventListener("focusin", begin, { once: true });
  new IntersectionObserver((entries) => { if (entries.some(({ isIntersecting }) => isIntersecting)) begin(); }, { rootMargin: "600px" }).observe(root);
})();
