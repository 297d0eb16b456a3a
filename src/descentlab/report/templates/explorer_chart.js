"use strict";
// The explorer's charts: lines and names in, a Vega-Lite chart in the page's colors out.
Object.assign(window.descentlabExplorer, (() => {
  const LETTER = 12, LINE = 15; // of names, in pixels
  const TITLE = "600 13px", LINES = 3; // of a title at most
  const LEFT = 58, TOP = 18, BOTTOM = 44; // room for labels
  const { spread, logTicks, symlogTicks, tickLabel } = window.descentlabExplorer;

  function palette(element) {
    const style = getComputedStyle(element), color = (name) => style.getPropertyValue(name).trim();
    return { ink: color("--ink"), soft: color("--soft"), rule: color("--rule"), paper: color("--paper"), font: style.fontFamily };
  }

  function configured({ ink, soft, rule, font }) {
    return {
      font, view: { stroke: null }, mark: { aria: false }, rule: { color: soft }, text: { color: ink, fontSize: LETTER },
      title: { aria: false, anchor: "start", offset: 10, color: ink, fontSize: 13, fontWeight: 600, lineHeight: LINE,
        subtitleColor: soft, subtitleFontSize: LETTER, subtitleLineHeight: LINE },
      axis: { aria: false, labelColor: ink, titleColor: ink, gridColor: rule, domainColor: rule, tickColor: rule, labelFontSize: 11,
        titleFontSize: LETTER, titleFontWeight: "normal" },
    };
  }

  function textWidth(text, font) {
    const context = document.createElement("canvas").getContext("2d");
    context.font = font;
    return context.measureText(text).width;
  }

  // ``text`` in lines that are narrower than ``limit``, as far as its words are.
  function wrapped(text, font, limit) {
    const lines = [];
    for (const word of text.split(" ")) {
      const longer = lines.length ? `${lines.at(-1)} ${word}` : word;
      if (lines.length && textWidth(longer, font) <= limit) lines[lines.length - 1] = longer;
      else lines.push(word);
    }
    return lines.slice(0, LINES);
  }

  // Pixels at the right of a chart for names beside the lines.
  function roomFor(names, container) {
    const { font } = palette(container), widest = Math.max(0, ...names.map((name) => textWidth(name, `${LETTER}px ${font}`)));
    return names.length ? Math.min(widest + 24, container.clientWidth * 0.3, 190) : 14;
  }

  // A channel's scale and axis. ``constant``: how far from 0 a logarithmic axis of both signs stays linear.
  function scaled({ domain, log, constant, title }, room) {
    const most = Math.max(2, Math.floor(room)), axis = { title, labelExpr: "tickLabel(datum.value)", labelOverlap: "greedy" };
    if (!log) return { scale: { domain, nice: false, zero: false }, axis: { ...axis, tickCount: most } };
    const values = constant ? symlogTicks(domain, constant, most) : logTicks(domain, most);
    const scale = constant ? { type: "symlog", constant, domain, nice: false } : { type: "log", domain, nice: false };
    return { scale, axis: { ...axis, values, tickCount: values.length } };
  }

  // The points of the lines as rows of one table; on a logarithmic axis, what has no place on it goes to its end or goes.
  function rowsOf(lines, x, y) {
    const positive = y.log && !y.constant;
    return lines.flatMap((source, line) => source.points
      .filter(({ x: at, value }) => at !== null && value !== null && (!positive || value > 0))
      .map((point) => ({
        value: point.value, low: positive && point.low !== null ? Math.max(point.low, y.domain[0]) : point.low ?? point.value,
        high: point.high ?? point.value, x: x.log ? Math.max(point.x, x.domain[0]) : point.x,
        line, source, point, optimizer: source.place, color: source.color,
      })));
  }

  // Names at the height where their lines end, moved apart; in pixels.
  function endsOf(named, y, height) {
    const to = (value) => (y.log ? Math.log(value) : value), [low, high] = y.domain.map(to);
    const heights = named.map(({ end }) =>
      Math.min(Math.max(y.log && end <= 0 ? height : height * (1 - (to(end) - low) / (high - low)), 0), height));
    const places = spread(heights, LINE, 0, height);
    return named.map(({ place, name, color }, i) => ({ text: name, optimizer: place, color, end: heights[i], place: places[i] }));
  }

  // A new element with the chart in it, as wide as ``container``, and its Vega view.
  //   base: the Vega-Lite chart without data. lines: {place, color, points: [{x, value, low, high}]}. named: lines with a name
  //   beside their ``end``. right: pixels for those names. x, y: {domain, log, constant, title}. title: {text, subtitle}.
  async function drawChart(container, base, { lines, named, right, x, y, title, height, tooltip }) {
    const colors = palette(container), outer = container.clientWidth, limit = outer - LEFT;
    const text = wrapped(title.text, `${TITLE} ${colors.font}`, limit - 8);
    const subtitle = wrapped(title.subtitle, `${LETTER}px ${colors.font}`, limit - 8);
    const padding = { left: LEFT, right, top: TOP + LINE * (text.length + subtitle.length), bottom: BOTTOM };
    const width = Math.max(outer - LEFT - right, 80);
    const channels = { x: scaled(x, width / 60), y: scaled(y, height / 28) };
    channels.x.axis.grid = false;
    const chart = {
      ...structuredClone(base), width, height, padding, autosize: "none", background: colors.paper, config: configured(colors),
      title: { text, subtitle, limit },
      datasets: { rows: rowsOf(lines, x, y), ends: endsOf(named, y, height) },
    };
    for (const { encoding } of chart.layer)
      for (const channel of ["x", "y"])
        if (encoding[channel]?.field && encoding[channel].scale !== null) Object.assign(encoding[channel], channels[channel]);
    const element = document.createElement("div");
    const { view } = await window.descentlabEmbed(element, chart, {
      mode: "vega-lite", actions: false, defaultStyle: false, renderer: "svg", expressionFunctions: { tickLabel },
      tooltip: (handler, event, item, row) => tooltip(event, row),
    });
    return { element, view };
  }

  return { palette, roomFor, drawChart };
})());
