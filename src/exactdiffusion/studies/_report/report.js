"use strict";
// Names come from the user's files: they reach the page as text nodes and attributes only, never as markup.

const byId = (id) => document.getElementById(id);

// The palette of print (print_style.py), each with its pair on a dark page.
const COLOURS = [["#0072B2", "#3E93DE"], ["#C84E00", "#F5722A"], ["#00916A", "#14B98C"], ["#D884B8", "#E58CC4"],
  ["#000000", "#FFFFFF"], ["#56B4E9", "#9AD6FF"], ["#E69F00", "#FFD84A"], ["#7A1F4F", "#A84C80"]];
const DASHES = ["", "7 3", "2 2", "7 3 2 3", "12 4", "12 3 2 3"];
// Each marker as a path around the origin; every second one is hollow.
const MARKERS = ["M4 0A4 4 0 1 1-4 0A4 4 0 1 1 4 0Z", "M-3.6-3.6H3.6V3.6H-3.6Z", "M0-4.6L4.4 3.4H-4.4Z", "M0-5L5 0L0 5L-5 0Z",
  "M0 4.6L4.4-3.4H-4.4Z", "M-1.6-4.6H1.6V-1.6H4.6V1.6H1.6V4.6H-1.6V1.6H-4.6V-1.6H-1.6Z", "M-4.6 0L3.4 4.4V-4.4Z",
  "M4.6 0L-3.4 4.4V-4.4Z"];
const PAGE = 100;       // rows of a table at a time
const MOST_PANELS = 12;

function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name in made) made[name] = value; else made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}

function drawn(tag, attributes = {}, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

const bytes = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));

async function unpack(id) {
  const stream = new Blob([bytes(byId(id).textContent)]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).text();
}

function save(name, type, text) {
  const address = URL.createObjectURL(new Blob([text], { type }));
  element("a", { href: address, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(address), 1000);
}

function shown(value) {
  if (value === null || value === undefined || value === "") return "–";
  if (typeof value !== "number") return String(value);
  if (Number.isInteger(value) && Math.abs(value) < 1e9) return String(value);
  const size = Math.abs(value);
  return size >= 1e-3 && size < 1e6 ? String(Number(value.toPrecision(5))) : value.toExponential(3);
}

const brief = (value) => (value === null ? "–" : value >= 1e-3 && value < 1e5 ? String(Number(value.toPrecision(3))) : value.toExponential(1));

// -- tables that sort --------------------------------------------------------------------------------------------------

const missing = (v) => v === null || v === undefined || v === "";

function compare(a, b) {
  if (missing(a) || missing(b)) return missing(a) - missing(b);  // absent values last, whatever the direction
  return typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b), "en", { numeric: true });
}

function sorted(items, key, descending) {
  return [...items].sort((p, q) => {
    const a = key(p), b = key(q), order = compare(a, b);
    return descending && !missing(a) && !missing(b) ? -order : order;
  });
}

/** Header whose buttons sort; `state` = {column, descending} lives with the caller, `changed` redraws the table. */
function header(table, columns, state, changed) {
  const row = element("tr");
  columns.forEach((column, index) => {
    const button = element("button", { type: "button" }, column.label);
    button.addEventListener("click", () => {
      state.descending = state.column === index ? !state.descending : false;
      state.column = index;
      changed();
      table.querySelectorAll("th button")[index].focus();  // the button of the new header: the focus stays where it was
    });
    row.append(element("th", { scope: "col", className: column.number ? "number" : "",
      "aria-sort": state.column === index ? (state.descending ? "descending" : "ascending") : "none" }, button));
  });
  return element("thead", {}, row);
}

function fill(table, columns, items, state, limit, changed) {
  if (state.column !== null && state.column >= columns.length) state.column = null;
  const order = state.column === null ? items : sorted(items, columns[state.column].value, state.descending);
  const body = element("tbody");
  for (const item of order.slice(0, limit)) {
    const row = element("tr");
    for (const column of columns) {
      const value = column.value(item);
      const cell = element("td", { className: column.number ? "number" : "" });
      // the text is rounded, the value attribute is the number of the CSV
      if (column.zero && value !== 0 && column.zero(item)) {
        cell.append(element("data", { value: String(value), title: `${value}: zero but for rounding` }, "≈ 0"));
      } else if (typeof value === "number") {
        cell.append(element("data", { value: String(value), title: String(value) }, shown(value)));
      } else if (column.link && value) cell.append(element("a", { href: "#" + value }, value));
      else cell.textContent = shown(value);
      row.append(cell);
    }
    body.append(row);
  }
  table.replaceChildren(header(table, columns, state, changed), body);
}

// -- axes ----------------------------------------------------------------------------------------------------------------

const plain = (v) => (v >= 1e-4 && v < 1e6 ? String(Number(v.toPrecision(6))) : v.toExponential(0).replace("+", ""));

/** Ticks of a logarithmic axis within its frame [low, high], and only there: the fewest kind that makes three, at most nine. */
function ticks(low, high) {
  const first = Math.floor(Math.log10(low)), last = Math.ceil(Math.log10(high)), every = Math.max(1, Math.ceil((last - first) / 8));
  const inside = (values) => values.filter((v) => low <= v && v <= high);
  for (const bases of [[1], [1, 3], [1, 2, 5], [1, 2, 3, 4, 5, 6, 7, 8, 9]]) {
    const found = [];
    for (let k = first; k <= last; k += bases.length > 1 ? 1 : every) found.push(...bases.map((base) => Number(`${base}e${k}`)));
    const here = inside(found);
    if (here.length >= 3 && here.length <= 9) return here;
  }
  // less than a factor of about two: even steps of 1, 2 or 5
  const rough = (high - low) / 4, power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 5, 10].find((m) => m * power >= rough);
  const found = [];
  for (let k = Math.ceil(low / step); k * step <= high; k += 1) found.push(Number((k * step).toPrecision(12)));
  return found.length <= 9 ? found : inside([low, high]);
}

/** The frame of the ordinate: all that was measured, and the bounds near it. A bound far away would flatten every curve: above,
 * the frame grows by no more than the data span (at least a factor of 4, at most 30), below by a factor of 2. */
function frame(measured, bounding) {
  const least = Math.min(...measured), most = Math.max(...measured), reach = Math.min(30, Math.max(4, most / least));
  const near = bounding.filter((v) => least / 2 <= v && v <= most * reach);
  const all = [...measured, ...near].map(Math.log10);
  if (!all.length) return { range: [0.1, 1], beyond: bounding.length, near };
  const low = Math.min(...all), high = Math.max(...all), margin = 0.06 * (high - low) || 0.15;
  return { range: [10 ** (low - margin), 10 ** (high + margin)], beyond: bounding.length - near.length, near };
}

// -- the results -------------------------------------------------------------------------------------------------------

function decode(columns) {
  const names = Object.keys(columns);
  const length = names.length ? (columns[names[0]].codes || columns[names[0]]).length : 0;
  return Array.from({ length }, (_, i) => Object.fromEntries(names.map((name) => {
    const column = columns[name];
    return [name, column.codes ? column.levels[column.codes[i]] : column[i]];
  })));
}

function explorer(data) {
  const cells = decode(data.cells), curves = data.curves;
  for (const place of [byId("rows"), byId("seeds").closest("p")]) place.hidden = !cells.length;  // left out of a large page
  const unique = (values) => [...new Set(values)];
  const setting = (c) => `${c.samples} samples, ${c.start} start`;
  const allSamplers = unique(curves.map((c) => c.sampler)), allSchedules = unique(curves.map((c) => c.schedule));
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const SELECTS = ["target", "metric", "setting", "schedule"];
  const state = { axis: "steps", at: null, off: new Set(), cells: { column: null, descending: false },
    slopes: { column: null, descending: false }, limit: PAGE };
  const style = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const chosenOf = (id) => byId(id).value;

  // ---- what is chosen

  function options(id, values, keep, preferred) {
    const list = values.length > 1 ? [...values, ""] : values;
    byId(id).replaceChildren(...list.map((v) => element("option", { value: v }, v === "" ? `every ${id}` : v)));
    byId(id).value = list.includes(keep) ? keep : list.includes(preferred) ? preferred : list[0];
  }

  /** Offer what goes together: metrics of the target, settings of both, schedules of all. */
  function offer(first) {
    const keep = (id) => (first ? undefined : chosenOf(id));
    const match = (list, id, key) => list.filter((c) => !chosenOf(id) || key(c) === chosenOf(id));
    options("target", unique(curves.map((c) => c.target)), keep("target"));
    let left = match(curves, "target", (c) => c.target);
    const metrics = unique(left.map((c) => c.metric));
    options("metric", metrics, keep("metric"), metrics.length <= 4 ? "" : undefined);  // a few metrics share the cursor at once
    left = match(left, "metric", (c) => c.metric);
    const settings = unique(left.map(setting));
    byId("setting").replaceChildren(...settings.map((v) => element("option", { value: v }, v)));
    byId("setting").value = settings.includes(keep("setting")) ? keep("setting") : settings[0];
    byId("setting-label").hidden = settings.length < 2;
    left = left.filter((c) => setting(c) === chosenOf("setting"));
    options("schedule", unique(left.map((c) => c.schedule)), keep("schedule"));
    left = match(left, "schedule", (c) => c.schedule);
    byId("samplers").querySelector(".boxes").replaceChildren(...unique(left.map((c) => c.sampler)).map((name) => {
      const box = element("input", { type: "checkbox", value: name, checked: !state.off.has(name) });
      box.addEventListener("change", () => { state.off[box.checked ? "delete" : "add"](name); draw(); });
      return element("label", {}, box, swatch(left.find((c) => c.sampler === name)), element("span", {}, name));
    }));
  }

  const words = () => chosenOf("search").toLowerCase().split(/\s+/).filter(Boolean);
  const holds = (text) => { const low = text.toLowerCase(); return words().every((w) => low.includes(w)); };
  const text = (c) => [c.sampler, c.schedule, c.target, c.metric, ...unique(c.points.map((p) => p.statement || ""))].join(" ");
  const chosen = (c) => ["target", "metric", "schedule"].every((id) => !chosenOf(id) || c[id] === chosenOf(id))
    && setting(c) === chosenOf("setting") && !state.off.has(c.sampler) && holds(text(c));
  const several = () => !chosenOf("schedule") && byId("schedule").options.length > 1;
  const title = (c) => c.sampler + (several() ? " · " + c.schedule : "");

  function look(curve) {
    const i = allSamplers.indexOf(curve.sampler), j = allSchedules.indexOf(curve.schedule);
    return { colour: COLOURS[i % COLOURS.length][dark.matches ? 1 : 0], dash: DASHES[(several() ? j : i) % DASHES.length],
      marker: MARKERS[i % MARKERS.length], hollow: i % 2 === 1 };
  }

  const marker = (s, x, y, size = 1) => drawn("path", { d: s.marker, transform: `translate(${x} ${y}) scale(${size})`,
    fill: s.hollow ? style("--paper") : s.colour, stroke: s.colour, "stroke-width": 1.6, class: "mark" });
  const stroke = (s) => ({ fill: "none", stroke: s.colour, "stroke-width": 2, "stroke-dasharray": s.dash });

  function swatch(curve) {
    const s = look(curve);
    return drawn("svg", { width: 34, height: 14, viewBox: "0 0 34 14", "aria-hidden": "true", class: "swatch" },
      drawn("path", { d: "M1 7H33", ...stroke(s) }), marker(s, 17, 7));
  }

  // ---- the panels

  const abscissa = (p) => p[state.axis];
  const usable = (c) => c.points.filter((p) => abscissa(p) > 0 && p.median > c.rounding).sort((p, q) => abscissa(p) - abscissa(q));
  const bounded = (c) => usable(c).filter((p) => p.bound > 0);

  function panelsOf(found) {
    const keys = unique(found.map((c) => JSON.stringify([c.target, c.metric])));
    return keys.slice(0, MOST_PANELS).map((key) => {
      const [target, metric] = JSON.parse(key);
      return { target, metric, members: found.filter((c) => c.target === target && c.metric === metric) };
    });
  }

  /** Bands of exact draws of a panel, each once. */
  function bandsOf(panel) {
    const found = new Map();
    for (const p of panel.members.flatMap((c) => c.points)) {
      if (p.exact_draws > 0) {
        const band = { low: p.exact_draws_low || p.exact_draws, mean: p.exact_draws, high: p.exact_draws_high || p.exact_draws };
        found.set(Object.values(band).join("/"), band);
      }
    }
    return [...found.values()];
  }

  /** One panel as SVG of this width; with names below where it leaves the page. Fills in `panel.points` for the pointer. */
  function picture(panel, width, alone) {
    const left = 62, right = 12, top = 10, inside = 240, bottom = 46;
    const names = alone ? panel.members : [], height = top + inside + bottom + 20 * names.length;
    const xs = unique(panel.members.flatMap(usable).map(abscissa)).sort((a, b) => a - b);
    const bands = bandsOf(panel);
    const dots = !byId("seeds").checked ? [] : panel.members.flatMap((c) => cells.filter((r) => r.value > c.rounding
      && ["target", "metric", "sampler", "schedule", "samples", "start"].every((k) => r[k] === c[k])).map((r) => [c, r]));
    const low = (p) => Math.max(p.low === null ? p.median : p.low, 0.01 * p.median), high = (p) => (p.high === null ? p.median : p.high);
    const measured = [...panel.members.flatMap(usable).flatMap((p) => [p.median, low(p), high(p)]), ...dots.map(([, r]) => r.value),
      ...bands.flatMap((b) => [b.low, b.high])];
    // a bound with fewer than two points in the frame would be a stub: the note names it
    const { beyond, near } = frame(measured, panel.members.flatMap(bounded).map((p) => p.bound));
    const seen = (c) => bounded(c).filter((p) => near.includes(p.bound)).length >= Math.min(2, bounded(c).length);
    const { range } = frame(measured, panel.members.filter(seen).flatMap(bounded).map((p) => p.bound));
    panel.beyond = beyond;
    panel.stubs = unique(panel.members.filter((c) => !seen(c)).map((c) => bounded(c)[0].statement));

    // from numbers to pixels
    const ends = xs.length ? [xs[0], xs[xs.length - 1]] : [1, 10];
    const pad = xs.length > 1 ? 0.04 * Math.log(ends[1] / ends[0]) : 0.5;
    const span = [ends[0] * Math.exp(-pad), ends[1] * Math.exp(pad)];
    const place = (v, from, to, a, b) => a + (b - a) * Math.log(v / from) / Math.log(to / from);
    const x = (v) => place(v, span[0], span[1], left, width - right), y = (v) => place(v, range[0], range[1], top + inside, top);
    const line = (points) => points.map(([a, b], i) => `${i ? "L" : "M"}${x(a).toFixed(1)} ${y(b).toFixed(1)}`).join("");
    const write = (value, attributes) => drawn("text", { fill: style("--ink"), "font-size": 12, ...attributes }, value);

    const clip = `clip-${panel.number}${alone ? "-alone" : ""}`;
    const svg = drawn("svg", { viewBox: `0 0 ${width} ${height}`, width, height, role: "img", xmlns: "http://www.w3.org/2000/svg",
      "font-family": "system-ui, sans-serif", "aria-label": `${data.labels[panel.metric] || panel.metric} of ${panel.target} against `
        + `${data.axes[state.axis]}; the tables below hold the numbers` });
    if (alone) svg.append(drawn("rect", { width, height, fill: style("--paper") }));
    svg.append(drawn("defs", {}, drawn("clipPath", { id: clip },
      drawn("rect", { x: left, y: top, width: width - left - right, height: inside }))));

    // grid and ticks: the numbers that were run, where their labels do not touch
    const across = state.axis !== "seconds" && xs.length <= 9 && xs.every((v, i) => !i || x(v) - x(xs[i - 1]) > 30) ? xs : ticks(...span);
    for (const v of across) {
      svg.append(drawn("path", { d: `M${x(v)} ${top}V${top + inside}`, stroke: style("--grid") }),
        write(plain(v), { x: x(v), y: top + inside + 17, "text-anchor": "middle", class: "x-tick" }));
    }
    for (const v of ticks(...range)) {
      svg.append(drawn("path", { d: `M${left} ${y(v)}H${width - right}`, stroke: style("--grid") }),
        write(plain(v), { x: left - 6, y: y(v) + 4, "text-anchor": "end", class: "y-tick" }));
    }
    svg.append(write(data.axes[state.axis], { x: (left + width - right) / 2, y: top + inside + 36, "text-anchor": "middle" }),
      drawn("rect", { x: left, y: top, width: width - left - right, height: inside, fill: "none", stroke: style("--line") }));

    // exact draws, bounds (each a link to its statement), intervals, curves
    const within = drawn("g", { "clip-path": `url(#${clip})` });
    for (const b of bands) {
      within.append(drawn("rect", { x: left, width: width - left - right, y: y(b.high), height: Math.max(0, y(b.low) - y(b.high)),
        fill: style("--band"), class: "exact" }), drawn("path", { d: `M${left} ${y(b.mean)}H${width - right}`, stroke: style("--soft") }));
    }
    panel.points = [];
    for (const c of panel.members) {
      const s = look(c), points = usable(c), at = points.map(abscissa);
      if (!points.length) continue;
      const band = [...points.map((p, i) => [at[i], high(p)]), ...points.map((p, i) => [at[i], low(p)]).reverse()];
      within.append(drawn("path", { d: line(band) + "Z", fill: s.colour, "fill-opacity": 0.16, class: "interval" }));
      const limits = seen(c) ? bounded(c) : [];
      if (limits.length) {
        const path = line(limits.map((p) => [abscissa(p), p.bound])), kind = limits[0].bound_kind || "";
        const link = drawn("a", { href: "#" + limits[0].statement, class: "bound", "aria-label":
          `${kind} bound of ${title(c)}: ${limits[0].statement}` }, drawn("title", {}, `${kind} bound: ${limits[0].statement}`),
        drawn("path", { d: path, fill: "none", stroke: "transparent", "stroke-width": 14 }),
        drawn("path", { d: path, fill: "none", stroke: s.colour, "stroke-width": 1.4, "stroke-dasharray": "1.5 3" }),
        ...limits.map((p) => drawn("path", { d: `M${x(abscissa(p)) - 6} ${y(p.bound)}h12`, stroke: s.colour, "stroke-width": 1.6 })));
        within.append(link);
      }
      within.append(drawn("path", { d: line(points.map((p, i) => [at[i], p.median])), ...stroke(s), class: "curve" }),
        ...dots.filter(([of]) => of === c).map(([, r]) => drawn("circle", { r: 2.2, fill: s.colour, "fill-opacity": 0.55, class: "dot",
          cx: x({ steps: r.steps, calls: r.oracle_calls, seconds: r.seconds }[state.axis]), cy: y(r.value) })));
      for (const p of points) {
        const mark = marker(s, x(abscissa(p)), y(p.median));
        panel.points.push({ steps: p.steps, x: x(abscissa(p)), y: y(p.median), mark, s });
        within.append(mark);
      }
    }
    svg.append(within);
    names.forEach((c, i) => {
      const s = look(c), h = top + inside + bottom + 20 * i + 6;
      svg.append(drawn("path", { d: `M${left} ${h}h32`, ...stroke(s) }), marker(s, left + 16, h),
        write(title(c), { x: left + 40, y: h + 4 }));
    });
    panel.x = x; panel.inside = [top, top + inside];
    return svg;
  }

  let panels = [];

  function drawPanels(found) {
    panels = panelsOf(found);
    const box = byId("panels"), columns = Math.max(1, Math.min(panels.length, Math.floor(box.clientWidth / 380)));
    const width = Math.floor((box.clientWidth - 16 * (columns - 1)) / columns);
    box.style.gridTemplateColumns = `repeat(${columns}, minmax(0, 1fr))`;
    box.replaceChildren(...panels.map((panel, number) => {
      panel.number = number;
      panel.svg = picture(panel, width);
      panel.cursor = drawn("path", { stroke: style("--accent"), "stroke-dasharray": "4 3", class: "cursor-line", "pointer-events": "none" });
      panel.svg.append(panel.cursor);
      const near = (event) => {
        const r = panel.svg.getBoundingClientRect(), px = event.clientX - r.left, py = event.clientY - r.top;
        const far = (p) => (state.axis === "steps" ? Math.abs(p.x - px) : Math.hypot(p.x - px, p.y - py));
        if (panel.points.length) move(panel.points.reduce((p, q) => (far(q) < far(p) ? q : p)).steps);
      };
      panel.svg.addEventListener("pointermove", near);
      panel.svg.addEventListener("pointerdown", near);
      const button = element("button", { type: "button", className: "svg" }, "SVG");
      button.setAttribute("aria-label", `Download the panel ${panel.target}, ${panel.metric} as SVG`);
      button.addEventListener("click", () => save(`${panel.target}-${panel.metric}.svg`, "image/svg+xml",
        new XMLSerializer().serializeToString(picture(panel, 640, true))));
      return element("figure", { className: "panel" }, element("figcaption", {}, element("strong", {}, panel.target),
        element("span", {}, data.labels[panel.metric] || panel.metric), button), panel.svg);
    }));
    note(found);
  }

  function note(found) {
    const parts = [], coverages = unique(found.flatMap((c) => c.points.map((p) => p.coverage))).filter((v) => v !== null);
    const count = (list, one, many) => `${list} ${list === 1 ? one : many}`;
    if (coverages.length) {
      parts.push(`Markers: median over the seeds. Bands cover it with probability ${shown(100 * Math.min(...coverages))} % or more `
        + "(order statistics).");
    } else if (found.length) parts.push("One seed per point; bands are the interval of the measurement.");
    for (const words of unique(found.map((c) => c.drawn)).filter((t) => t !== null)) {
      parts.push(`Grey band: ${words}; perfect samplers score below their median in half of all runs.`);
    }
    if (byId("panels").querySelector("a.bound")) parts.push("Dotted with bars: a theorem's bound for the curve of that colour, a link to its statement.");
    const beyond = panels.reduce((sum, panel) => sum + panel.beyond, 0);
    if (beyond) parts.push(`${count(beyond, "bound lies", "bounds lie")} beyond the frame; the values at the cursor have them.`);
    const stubs = unique(panels.flatMap((panel) => panel.stubs));
    if (stubs.length) parts.push(`Not drawn, because fewer than two of its points lie in the frame: the bound of ${stubs.join(" and of ")}.`);
    const vacuous = found.flatMap((c) => c.points).filter((p) => p.vacuous !== null);
    if (vacuous.length) {
      const worst = vacuous.reduce((p, q) => (q.bound > p.bound ? q : p));
      parts.push(`${count(vacuous.length, "bound is", "bounds are")} vacuous, up to ${shown(worst.bound)}: ${worst.vacuous}.`);
    }
    const rounded = found.flatMap((c) => c.points.filter((p) => p.median <= c.rounding)).length;
    if (rounded) {
      parts.push(`${count(rounded, "point is", "points are")} zero but for rounding (at most ${data.share.toExponential(0)} of the largest `
        + "value): not drawn, not fitted, and not compared with a bound.");
    }
    if (several()) parts.push("Dashes tell the schedules apart: " + allSchedules.map((s, j) => `${s} ${["solid", "dashed", "dotted",
      "dash-dotted", "long dashes", "long dash-dotted"][j % DASHES.length]}`).join(", ") + ".");
    const kinds = unique(found.map((c) => JSON.stringify([c.target, c.metric]))).length;
    if (kinds > panels.length) parts.push(`${kinds - panels.length} more panels: choose a target or a metric.`);
    if (data.samples.own_code) {
      parts.push(`${count(data.samples.own_code, "cell has", "cells have")} no samples here because own code makes them: report --own-code runs it.`);
    }
    if (data.samples.left_out) {
      parts.push(`${count(data.samples.left_out, "cell has", "cells have")} no samples here: the run takes too long, or fails.`);
    }
    if (!cells.length) parts.push("The values of single seeds are in results.csv: with them this page would be too large.");
    if (!found.length) parts.push("Nothing is chosen.");
    byId("plot-note").textContent = parts.join(" ");
  }

  // ---- the cursor: one number of steps for all panels, the values and the samples at it

  const stepsOf = (found) => unique(found.flatMap((c) => c.points.map((p) => p.steps))).sort((a, b) => a - b);

  function move(steps) {
    if (steps === state.at) return;
    state.at = steps;
    drawCursor(curves.filter(chosen));
    if (state.ready) remember();
  }

  function drawCursor(found) {
    const all = stepsOf(found);
    if (!all.includes(state.at)) state.at = all.length ? all[Math.floor((all.length - 1) / 2)] : null;
    Object.assign(byId("cursor"), { max: Math.max(0, all.length - 1), value: String(all.indexOf(state.at)), disabled: all.length < 2 });
    byId("cursor").setAttribute("aria-valuetext", `N = ${state.at}`);
    byId("cursor-value").textContent = state.at === null ? "–" : String(state.at);
    for (const panel of panels) {
      const on = state.axis === "steps" && state.at !== null && panel.points.length;
      panel.cursor.setAttribute("d", on ? `M${panel.x(state.at)} ${panel.inside[0]}V${panel.inside[1]}` : "");
      for (const p of panel.points) {
        p.mark.setAttribute("transform", `translate(${p.x} ${p.y}) scale(${p.steps === state.at ? 1.6 : 1})`);
      }
    }
    readout(found);
    drawSamples(found);
  }

  function readout(found) {
    const rows = unique(found.map(title)), head = element("tr", {}, element("th", { scope: "col" }, `N = ${state.at}`),
      ...panels.map((p) => element("th", { scope: "col" }, panels.every((q) => q.target === p.target) ? p.metric : `${p.target}, ${p.metric}`)));
    const body = rows.map((name) => {
      const row = element("tr", {}, element("th", { scope: "row" }, swatch(found.find((c) => title(c) === name)), " " + name));
      for (const panel of panels) {
        const c = panel.members.find((m) => title(m) === name), p = c && c.points.find((q) => q.steps === state.at);
        const cell = element("td");
        if (p) cell.append(...reading(c, p));
        row.append(cell);
      }
      return row;
    });
    byId("readout").replaceChildren(element("thead", {}, head), element("tbody", {}, ...body));
  }

  /** The value of a point, its interval, and its bound with a link to the statement. */
  function reading(c, p) {
    if (!(p.median > c.rounding)) return [element("data", { value: String(p.median), title: String(p.median) }, "≈ 0 (rounding)")];
    const parts = [element("data", { value: String(p.median), title: String(p.median), className: "value" }, shown(p.median))];
    if (p.low !== null && p.high !== null) parts.push(" ", element("span", { className: "soft" }, `[${brief(p.low)}, ${brief(p.high)}]`));
    if (p.bound !== null) {
      const sign = { upper: "≤ ", lower: "≥ ", equality: "= " }[p.bound_kind] || "";
      const ratio = p.vacuous !== null ? "vacuous" : p.bound > 0 ? `${brief(p.bound / p.median)} ×` : "";
      parts.push(element("br"), element("a", { href: "#" + p.statement, title: p.statement }, `${sign}${shown(p.bound)}`), " ",
        element("span", { className: "soft" }, ratio));
    }
    return parts;
  }

  function thumbnail(target, code, colour, name) {
    const side = 132, canvas = element("canvas", { width: 2 * side, height: 2 * side });
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", name);
    const pen = canvas.getContext("2d"), values = bytes(code), shape = target.shape;
    if (shape) {
      // sixteen images, four in a row with a line between them, light where the value is high
      const [h, w] = shape, across = 4 * w + 3, image = pen.createImageData(across, 4 * h + 3);
      values.forEach((v, i) => {
        const of = Math.floor(i / (h * w)), r = Math.floor((i % (h * w)) / w), s = i % w;
        image.data.set([v, v, v, 255], 4 * ((Math.floor(of / 4) * (h + 1) + r) * across + (of % 4) * (w + 1) + s));
      });
      Object.assign(canvas, { width: across, height: 4 * h + 3 });
      pen.putImageData(image, 0, 0);
    } else {
      const line = target.low.length === 1, scatter = (all, ink, size) => {
        pen.fillStyle = ink;
        for (let i = 0; i < all.length; i += line ? 1 : 2) {
          const v = line ? 255 * ((i * 0.618034) % 1) : all[i + 1];  // on a line the height says nothing
          pen.fillRect(all[i] / 255 * 2 * side - size / 2, (1 - v / 255) * 2 * side - size / 2, size, size);
        }
      };
      scatter(bytes(target.draws), style("--line"), 4);
      scatter(values, colour, 5);
    }
    return element("figure", { className: "sample" }, canvas, element("figcaption", {}, name));
  }

  function drawSamples(found) {
    const box = byId("samples"), groups = [];
    for (const name of unique(found.map((c) => c.target))) {
      const target = data.samples.targets[name], seen = new Set(), cells = [];
      if (!target) continue;
      for (const c of found.filter((m) => m.target === name)) {
        const p = c.points.find((q) => q.steps === state.at && q.sample);
        if (p && !seen.has(title(c))) cells.push(thumbnail(target, p.sample, look(c).colour, title(c)));
        seen.add(title(c));
      }
      if (cells.length) {
        groups.push(element("h3", {}, `Samples of seed ${data.samples.seed} at N = ${state.at}: ${name}`),
          element("p", { className: "note" }, target.shape ? target.what + "; first the target's own"
            : target.what + "; grey: draws of the target itself; points outside the box lie on its edge"),
          element("div", { className: "thumbnails" },
            ...(target.shape ? [thumbnail(target, target.draws, "", "target")] : []), ...cells));
      }
    }
    box.replaceChildren(...groups);
  }

  // ---- tables

  function drawTables(found) {
    const word = (label, name) => ({ label, value: (r) => r[name] });
    const number = (label, name) => ({ label, value: (r) => r[name], number: true });
    const every = (id) => !chosenOf(id) && byId(id).options.length > 1;
    const perCurve = [...["target", "metric"].filter(every).map((id) => word(id, id)), word("sampler", "sampler"),
      ...(several() ? [word("schedule", "schedule")] : [])];
    const slopes = found.map((c) => ({ ...c, ...{ slope: null, low: null, high: null, n: null, first: null, last: null, why: "" },
      ...c.orders[state.axis] }));
    fill(byId("slopes"), [...perCurve, number("slope", "slope"), number("from", "low"), number("to", "high"), number("points", "n"),
      number("first", "first"), number("last", "last"), word("why none", "why")].filter((column) => column.label !== "why none"
      || slopes.some((s) => s.why)), slopes, state.slopes, Infinity, () => drawTables(found));

    const medians = document.querySelector("input[name=rows]:checked").value === "medians";
    const rounding = new Map(found.map((c) => [JSON.stringify([c.target, c.metric]), c.rounding]));
    const rounded = (name) => (r) => r[name] !== null && r[name] <= rounding.get(JSON.stringify([r.target, r.metric]));
    const value = (label, name) => ({ ...number(label, name), zero: rounded(name) });
    let items, columns;
    if (medians) {
      items = found.flatMap((c) => c.points.map((p) => ({ ...c, ...p })));
      columns = [...perCurve, number("steps", "steps"), value("median", "median"), value("from", "low"), value("to", "high"),
        number("seeds", "seeds")];
    } else {
      const keys = new Set(found.map((c) => JSON.stringify([c.target, c.metric, c.sampler, c.schedule])));
      items = cells.filter((r) => setting(r) === chosenOf("setting") && keys.has(JSON.stringify([r.target, r.metric, r.sampler, r.schedule])));
      columns = [...perCurve, number("steps", "steps"), number("seed", "seed"), value("value", "value"), value("lower", "lower"),
        value("upper", "upper")];
    }
    columns.push(number("exact draws", "exact_draws"), number("5 %", "exact_draws_low"), number("95 %", "exact_draws_high"),
      number("bound", "bound"), ...(medians ? [{ ...word("statement", "statement"), link: true }] : []),
      number("oracle calls", medians ? "calls" : "oracle_calls"), number("seconds", "seconds"));
    if (!medians) columns.push(number("inner evaluations", "inner_evaluations"), word("rung", "rung"), word("method", "method"));
    columns = columns.filter((column) => ["sampler", "median", "value", "steps"].includes(column.label)
      || items.some((item) => !missing(column.value(item))));
    Object.assign(state, { columns, items });
    fill(byId("cells"), columns, items, state.cells, state.limit, () => drawTables(found));
    byId("count").textContent = `${items.length} rows: ` + ["target", "metric", "schedule"].map((id) => chosenOf(id) || `every ${id}`)
      .join(", ") + ".";
    const left = items.length - state.limit;
    byId("more").hidden = left <= 0;
    byId("more").textContent = `Show ${Math.min(PAGE, left)} more of ${items.length}`;
  }

  /** The rows that the table shows, all of them, with every digit. */
  function csv() {
    const quoted = (v) => (missing(v) ? "" : /[",\r\n]/.test(v) ? `"${String(v).replace(/"/g, '""')}"` : String(v));
    return [state.columns.map((c) => quoted(c.label)), ...state.items.map((item) => state.columns.map((c) => quoted(c.value(item))))]
      .map((line) => line.join(",") + "\r\n").join("");
  }

  // ---- the address

  /** The selection as the fragment of the address: a link to it. */
  function remember() {
    const wanted = new URLSearchParams(SELECTS.map((id) => [id, chosenOf(id)]));
    wanted.set("axis", state.axis);
    if (state.at !== null) wanted.set("at", state.at);
    if (chosenOf("search")) wanted.set("search", chosenOf("search"));
    if (byId("seeds").checked) wanted.set("seeds", "1");
    state.off.forEach((name) => wanted.append("off", name));
    history.replaceState(null, "", "#" + wanted);
  }

  function restore() {
    const wanted = new URLSearchParams(location.hash.slice(1));
    if (!wanted.has("target")) return false;
    state.off = new Set(wanted.getAll("off"));
    byId("search").value = wanted.get("search") || "";
    byId("seeds").checked = wanted.has("seeds");
    for (const id of SELECTS) {
      if ([...byId(id).options].some((option) => option.value === wanted.get(id))) byId(id).value = wanted.get(id);
      offer(false);
    }
    if (wanted.has("at")) state.at = Number(wanted.get("at"));
    const radio = [...document.querySelectorAll("input[name=axis]")].find((r) => r.value === wanted.get("axis"));
    if (radio) { radio.checked = true; state.axis = radio.value; }
    return true;
  }

  function filterStatements() {
    let hidden = 0;
    for (const article of document.querySelectorAll("#statements article")) {
      article.hidden = !holds(article.textContent);
      hidden += article.hidden;
    }
    byId("unmatched").hidden = !hidden;
    byId("unmatched").textContent = `${hidden} statement${hidden === 1 ? "" : "s"} without these words.`;
  }

  function draw() {
    const found = curves.filter(chosen);
    drawPanels(found);
    drawCursor(found);
    drawTables(found);
    if (state.ready) remember();
  }

  for (const id of SELECTS) byId(id).addEventListener("change", () => { state.limit = PAGE; offer(false); draw(); });
  for (const [name, label] of Object.entries(data.axes)) {
    const radio = element("input", { type: "radio", name: "axis", value: name, checked: name === "steps" });
    radio.addEventListener("change", () => { state.axis = name; draw(); });
    byId("axis").append(element("label", {}, radio, " " + label));
  }
  document.querySelectorAll("input[name=rows]").forEach((radio) => radio.addEventListener("change", () => {
    state.limit = PAGE; state.cells = { column: null, descending: false }; draw();
  }));
  byId("seeds").addEventListener("change", draw);
  byId("search").addEventListener("input", () => { filterStatements(); draw(); });
  byId("choice").addEventListener("submit", (event) => event.preventDefault());
  byId("cursor").addEventListener("input", () => move(stepsOf(curves.filter(chosen))[Number(chosenOf("cursor"))]));
  byId("more").addEventListener("click", () => { state.limit += PAGE; draw(); });
  byId("all").addEventListener("click", () => { state.off.clear(); offer(false); draw(); });
  byId("none").addEventListener("click", () => { allSamplers.forEach((name) => state.off.add(name)); offer(false); draw(); });
  byId("download").addEventListener("click", () => save("results.csv", "text/csv", csv()));
  dark.addEventListener("change", () => { offer(false); draw(); });

  /** Go where the address leads: to a selection, or to a statement, whatever the search hides. */
  function follow() {
    state.ready = false;  // the address stays as it is
    const selection = restore(), goal = selection ? byId("results") : byId(decodeURIComponent(location.hash.slice(1)));
    const article = goal && goal.closest("article");
    if (article && article.hidden) byId("search").value = "";
    if (goal && goal.tagName === "DETAILS") goal.open = true;
    filterStatements();
    draw();
    state.ready = true;
    return goal;
  }
  addEventListener("hashchange", () => { const goal = follow(); if (goal) goal.scrollIntoView(); });
  offer(true);
  const goal = follow();
  if (goal && goal.id !== "results") goal.scrollIntoView();
  let width = byId("panels").clientWidth;
  new ResizeObserver(() => {
    if (byId("panels").clientWidth !== width) { width = byId("panels").clientWidth; drawPanels(curves.filter(chosen)); drawCursor(curves.filter(chosen)); }
  }).observe(byId("panels"));
}

(async () => {
  try {
    explorer(JSON.parse(await unpack("data-gzip")));
    document.documentElement.dataset.ready = "true";
  } catch (error) {
    byId("failure").hidden = false;
    byId("failure").textContent = `The results cannot be shown (${error.message}). A browser of 2023 or later is needed.`;
    console.error(error);
  }
})();
