"use strict";
// The explorer's arithmetic: functions of their arguments alone.
window.descentlabExplorer = (() => {
  const finite = (values) => values.filter((value) => Number.isFinite(value));
  const sum = (values) => values.reduce((total, value) => total + value, 0);

  // Mean and half the t interval of the pairs' differences, null where there is none; quantiles[d - 1] is Student's 0.975
  // quantile of d degrees of freedom.
  function pairedDifference(first, second, quantiles) {
    const differences = finite(first.map((value, i) => (value === null || second[i] === null ? NaN : value - second[i])));
    const n = differences.length;
    if (!n) return { mean: null, half: null, n };
    const mean = sum(differences) / n;
    if (n === 1) return { mean, half: null, n };
    const deviation = Math.sqrt(sum(differences.map((value) => (value - mean) ** 2)) / (n - 1));
    return { mean, half: (quantiles[n - 2] * deviation) / Math.sqrt(n), n };
  }

  // Python's ``:.3g`` as the report writes it.
  function number(value, signed, unknown) {
    if (!Number.isFinite(value)) return unknown;
    const size = Math.abs(value), rounded = Number(size.toPrecision(3));
    let text;
    if (rounded >= 1e7 || (rounded > 0 && rounded < 1e-4)) {
      const [digits, power] = size.toExponential(2).split("e");
      text = `${Number(digits)}e${power[0]}${power.slice(1).padStart(2, "0")}`.replace("-", "−");
    } else text = rounded >= 1e3 ? Math.round(size).toLocaleString("en-US") : String(rounded);
    return (value < 0 ? "−" : signed ? "+" : "") + text;
  }

  // Positions moved apart to be at least ``least`` away, each as near to its own as that allows.
  function spread(positions, least, low, high) {
    if (positions.length > 1 && least * (positions.length - 1) > high - low) least = (high - low) / (positions.length - 1);
    const order = positions.map((_, i) => i).sort((i, j) => positions[i] - positions[j] || i - j);
    const groups = [];
    for (const i of order) {
      groups.push({ center: Math.min(Math.max(positions[i], low), high), members: [i] });
      for (;;) {
        const last = groups[groups.length - 1], half = (least * (last.members.length - 1)) / 2;
        last.center = Math.min(Math.max(last.center, low + half), high - half);
        const before = groups[groups.length - 2];
        if (!before) break;
        const m = before.members.length, k = last.members.length;
        if (last.center - before.center >= (least * (m + k)) / 2 - 1e-9) break;
        groups.splice(-2, 2, {
          center: (before.center * m + last.center * k) / (m + k), members: [...before.members, ...last.members],
        });
      }
    }
    const moved = new Array(positions.length);
    for (const { center, members } of groups)
      members.forEach((i, place) => { moved[i] = center + least * (place - (members.length - 1) / 2); });
    return moved;
  }

  const quantile = (sorted, share) => {
    const place = share * (sorted.length - 1), below = Math.floor(place);
    return sorted[below] + (place - below) * ((sorted[below + 1] ?? sorted[below]) - sorted[below]);
  };

  // Limits that show all but the wildest of the values on the bad side of a diverging curve; null without a value.
  function limits(values, log) {
    const sorted = finite(values).filter((value) => !log || value > 0).sort((a, b) => a - b);
    if (!sorted.length) return null;
    const high = quantile(sorted, 0.97), most = sorted[sorted.length - 1];
    if (log) return [Math.max(sorted[0], high * 1e-6) / 1.3, high * 1.3];
    const top = most <= 1.5 * Math.abs(high) ? most : high, room = (top - sorted[0]) * 0.06 || 0.01;
    return [sorted[0] - room, top + room];
  }

  // On a logarithmic axis the start stands half a step left of the first point that has a place there.
  function acrossLimits(points, log) {
    const xs = points.map(({ x }) => x), positive = xs.filter((x) => x > 0);
    if (!xs.length) return null;
    const high = Math.max(...xs), low = log ? Math.min(...positive) / 2 : Math.min(...xs);
    return Number.isFinite(low) && low < high ? [low, high] : log ? [high / 2 || 0.5, high * 2 || 2] : [low - 1, high + 1];
  }

  // Limits of differences: 0 and the intervals, but for the wildest; and the scale of the last one, below which a logarithmic
  // axis is linear.
  function differenceLimits(points) {
    const lows = points.map(({ low, value }) => low ?? value), highs = points.map(({ high, value }) => high ?? value);
    const reach = (values) => {
      const sorted = finite([0, ...values]).sort((a, b) => a - b), most = sorted[sorted.length - 1];
      const usual = quantile(sorted, 0.97);
      return most <= 2 * usual ? most : usual;
    };
    const low = -reach(lows.map((value) => -value)), high = reach(highs);
    const room = (high - low) * 0.06 || 0.01, { value, half } = points[points.length - 1];
    const constant = Math.max(Math.abs(value), half || 0, (high - low) * 1e-4) || 1;
    return { domain: [low - room, high + room], constant };
  }

  // Decades, and 2 and 5 between them where they are few; every other or third one where they are many.
  function logTicks([low, high], most) {
    const ticks = [], decades = Math.log10(high / low);
    const step = Math.max(1, Math.ceil(decades / most)), leads = decades < 2 && 3 * decades <= most + 1 ? [1, 2, 5] : [1];
    for (let power = Math.floor(Math.log10(low)); power <= Math.log10(high); power += 1)
      for (const lead of leads) {
        const tick = lead * 10 ** power;
        if (power % step === 0 && tick >= low * 0.999 && tick <= high * 1.001) ticks.push(tick);
      }
    return ticks;
  }

  // Decades on both sides of 0 that lie beyond the linear part.
  function symlogTicks([low, high], constant, most) {
    const ticks = logTicks([constant, Math.max(-low, high, constant)], Math.max(1, most / 2));
    return [...ticks.map((tick) => -tick).reverse(), 0, ...ticks].filter((tick) => tick >= low && tick <= high);
  }

  function tickLabel(value) {
    const size = Math.abs(value);
    if (value === 0 || (size > 1e-4 && size < 1e5)) return String(Number(value.toPrecision(6))).replace("-", "−");
    const power = Math.floor(Math.log10(size) + 1e-9), lead = Number((value / 10 ** power).toPrecision(3));
    const raised = String(power).replace(/./g, (letter) => "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"["-0123456789".indexOf(letter)]);
    return `${lead === 1 ? "" : `${String(lead).replace("-", "−")}·`}10${raised}`;
  }

  const fill = (text, values) => text.replace(/\{(\w+)\}/g, (_, name) => values[name]);

  return { pairedDifference, number, spread, limits, acrossLimits, differenceLimits, logTicks, symlogTicks, tickLabel, fill };
})();
