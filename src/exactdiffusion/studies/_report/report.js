"use strict";
// Names come from the user's files: they reach the page as text nodes only, and plotly (which reads a little HTML) as entities.

const byId = (id) => document.getElementById(id);
const entities = (text) => String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");

// Okabe and Ito's colours without the yellow; the pairs are (light page, dark page).
const COLOURS = [["#0072B2", "#56A9E8"], ["#D55E00", "#FF8A3D"], ["#009E73", "#2CC79B"], ["#CC79A7", "#E79AC4"],
  ["#000000", "#F2F2F2"], ["#3FA4DC", "#A5DBFF"], ["#B87A00", "#F0B93A"], ["#7F7F7F", "#A9A9A9"]];
const DASHES = ["solid", "dash", "dot", "dashdot", "longdash", "longdashdot"];
const MARKERS = ["circle", "square-open", "triangle-up", "diamond-open", "triangle-down", "cross-open", "x", "triangle-left-open",
  "star", "hexagon-open", "pentagon", "bowtie-open"];
const PAGE = 100;
const FRAME = 30;

function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name in made) made[name] = value; else made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}

async function unpack(id) {
  const bytes = Uint8Array.from(atob(byId(id).textContent), (c) => c.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).text();
}

function shown(value) {
  if (value === null || value === undefined || value === "") return "–";
  if (typeof value !== "number") return String(value);
  if (Number.isInteger(value) && Math.abs(value) < 1e9) return String(value);
  const size = Math.abs(value);
  return size >= 1e-3 && size < 1e6 ? String(Number(value.toPrecision(5))) : value.toExponential(3);
}

// -- tables that sort --------------------------------------------------------------------------------------------------

function compare(a, b) {
  const missing = (v) => v === null || v === undefined || v === "";
  if (missing(a) || missing(b)) return missing(a) - missing(b);  // absent values last, whatever the direction
  return typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b), "en", { numeric: true });
}

function sorted(items, key, descending) {
  const missing = (v) => v === null || v === undefined || v === "";
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
      if (typeof value === "number") cell.append(element("data", { value: String(value), title: String(value) }, shown(value)));
      else cell.textContent = column.text ? column.text(item) : shown(value);
      row.append(cell);
    }
    body.append(row);
  }
  table.replaceChildren(header(table, columns, state, changed), body);
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
  const cells = decode(data.cells);
  const curves = data.curves;
  const unique = (values) => [...new Set(values)];
  const setting = (c) => `${c.samples} samples, ${c.start} start`;
  const allSamplers = unique(curves.map((c) => c.sampler)), allSchedules = unique(curves.map((c) => c.schedule));
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const state = { axis: "steps", off: new Set(), cells: { column: null, descending: false },
    slopes: { column: null, descending: false }, limit: PAGE };

  function options(id, values, keep, everything) {
    const list = everything && values.length > 1 ? [...values, ""] : values;
    byId(id).replaceChildren(...list.map((v) => element("option", { value: v }, v === "" ? "every schedule" : v)));
    byId(id).value = list.includes(keep) ? keep : list[0];
  }

  function offer(first) {
    const of = (id) => byId(id).value;
    if (first) options("target", unique(curves.map((c) => c.target)));
    let left = curves.filter((c) => c.target === of("target"));
    options("metric", unique(left.map((c) => c.metric)), of("metric"));
    left = left.filter((c) => c.metric === of("metric"));
    const settings = unique(left.map(setting));
    options("setting", settings, of("setting"));
    byId("setting-label").hidden = settings.length < 2;
    left = left.filter((c) => setting(c) === of("setting"));
    options("schedule", unique(left.map((c) => c.schedule)), of("schedule"), true);
    left = left.filter((c) => !of("schedule") || c.schedule === of("schedule"));
    const names = unique(left.map((c) => c.sampler));
    byId("samplers").querySelector(".boxes").replaceChildren(...names.map((name) => {
      const box = element("input", { type: "checkbox", value: name, checked: !state.off.has(name) });
      box.addEventListener("change", () => { state.off[box.checked ? "delete" : "add"](name); draw(); });
      return element("label", {}, box, " " + name);
    }));
  }

  const chosen = (c) => c.target === byId("target").value && c.metric === byId("metric").value
    && setting(c) === byId("setting").value && (!byId("schedule").value || c.schedule === byId("schedule").value)
    && !state.off.has(c.sampler);

  const several = () => !byId("schedule").value && byId("schedule").options.length > 1;
  const title = (c) => c.sampler + (several() ? " · " + c.schedule : "");
  const style = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  function look(curve) {
    const i = allSamplers.indexOf(curve.sampler), j = allSchedules.indexOf(curve.schedule);
    return { colour: COLOURS[i % COLOURS.length][dark.matches ? 1 : 0], dash: DASHES[(several() ? j : i) % DASHES.length],
      marker: MARKERS[(several() ? i + 3 * j : i) % MARKERS.length] };
  }

  function wrap(text) {
    return entities(text).replace(/(.{52}\S*)\s/g, "$1<br>");
  }

  function interval(p) {
    if (p.low === null || p.high === null) return "";
    const what = p.coverage === null ? "interval of the measurement" : `${shown(100 * p.coverage)} % for the median`;
    return `[${shown(p.low)}, ${shown(p.high)}], ${what}`;
  }

  function hoverPoint(c, p) {
    return [`<b>${wrap(c.sampler)}</b>`, `${wrap(c.target)}; ${wrap(c.schedule)}`,
      `steps ${p.steps}, oracle calls ${shown(p.calls)}` + (p.seconds === null ? "" : `, ${shown(p.seconds)} s`),
      `median of ${p.seeds}: <b>${shown(p.median)}</b>`, interval(p),
      p.exact_draws === null ? "" : `exact draws ${shown(p.exact_draws)}`
        + (p.exact_draws_high ? ` [${shown(p.exact_draws_low)}, ${shown(p.exact_draws_high)}]` : ""),
      p.vacuous === null ? "" : `vacuous bound, ${wrap(p.vacuous)}`,
      p.bound === null ? "" : `${entities(p.bound_kind || "")} bound ${shown(p.bound)}: ${entities(p.statement || "")}`,
    ].filter(Boolean).join("<br>");
  }

  function hoverCell(r) {
    return [`<b>${wrap(r.sampler)}</b>, seed ${r.seed}`, `${wrap(r.target)}; ${wrap(r.schedule)}`,
      `steps ${r.steps}, oracle calls ${r.oracle_calls}` + (r.seconds === null ? "" : `, ${shown(r.seconds)} s`),
      `value <b>${shown(r.value)}</b>` + (r.lower === null && r.upper === null ? "" : ` in [${shown(r.lower)}, ${shown(r.upper)}]`),
      r.method === null ? "" : wrap(r.method)].filter(Boolean).join("<br>");
  }

  /** Ticks of a logarithmic axis, written out: the values themselves, or 1, 2, 5 (or 1) in every decade they span. */
  function ticks(values, themselves) {
    const positive = values.filter((v) => v > 0);
    if (themselves || !positive.length) return { tickvals: positive, ticktext: positive.map(shown) };
    const first = Math.floor(Math.log10(Math.min(...positive))) - 1, last = Math.ceil(Math.log10(Math.max(...positive))) + 1;
    const tickvals = [];
    for (let k = first; k <= last; k += last - first > 14 ? 2 : 1) {
      for (const base of last - first > 6 ? [1] : [1, 2, 5]) tickvals.push(Number(`${base}e${k}`));
    }
    return { tickvals, ticktext: tickvals.map((v) => (v >= 1e-4 && v < 1e6 ? String(v) : v.toExponential(0).replace("+", ""))) };
  }

  function drawPlot(found) {
    const axis = state.axis, cellAxis = { steps: "steps", calls: "oracle_calls", seconds: "seconds" }[axis];
    const bands = [], lines = [], bounds = [], dots = [], drawn = new Map();
    let zero = 0, rounded = 0;
    for (const c of found) {
      const s = look(c);
      const points = c.points.filter((p) => p[axis] > 0 && p.median > c.rounding).sort((p, q) => p[axis] - q[axis]);
      rounded += c.points.filter((p) => p[axis] > 0 && p.median > 0 && p.median <= c.rounding).length;
      zero += c.points.filter((p) => p[axis] > 0 && !(p.median > 0)).length;
      const group = { legendgroup: entities(title(c)), showlegend: false };
      const low = points.map((p) => Math.max(p.low === null ? p.median : p.low, 0.01 * p.median));
      const high = points.map((p) => (p.high === null ? p.median : p.high));
      const at = points.map((p) => p[axis]);
      bands.push({ ...group, type: "scatter", mode: "lines", x: [...at, ...[...at].reverse()], y: [...high, ...low.reverse()],
        fill: "toself", fillcolor: s.colour + "2e", line: { width: 0 }, hoverinfo: "skip" });
      lines.push({ ...group, showlegend: true, name: entities(title(c)), type: "scatter", mode: "lines+markers", x: at,
        y: points.map((p) => p.median), line: { color: s.colour, dash: s.dash, width: 2 },
        marker: { color: s.colour, symbol: s.marker, size: 9, line: { color: s.colour, width: 2 } },
        text: points.map((p) => hoverPoint(c, p)), hovertemplate: "%{text}<extra></extra>" });
      const bounded = points.filter((p) => p.bound > 0);
      if (bounded.length) {
        bounds.push({ ...group, type: "scatter", mode: "lines+markers", x: bounded.map((p) => p[axis]),
          y: bounded.map((p) => p.bound), line: { color: s.colour, dash: "dot", width: 1.2 },
          marker: { symbol: "line-ew", size: 9, line: { color: s.colour, width: 1.5 } },
          text: bounded.map((p) => `${entities(p.bound_kind || "")} bound ${shown(p.bound)}<br>${entities(p.statement || "")}`
            + `<br>${wrap(title(c))}, steps ${p.steps}`), hovertemplate: "%{text}<extra></extra>" });
      }
      for (const p of c.points) {
        if (p.exact_draws > 0) {
          const low = p.exact_draws_low || p.exact_draws, high = p.exact_draws_high || p.exact_draws;
          drawn.set([low, p.exact_draws, high].join("/"), { low, mean: p.exact_draws, high });
        }
      }
      if (byId("seeds").checked) {
        const mine = cells.filter((r) => ["target", "metric", "sampler", "schedule", "samples", "start"].every((k) => r[k] === c[k])
          && r.value > c.rounding && r[cellAxis] > 0);
        dots.push({ ...group, type: "scatter", mode: "markers", x: mine.map((r) => r[cellAxis]), y: mine.map((r) => r.value),
          marker: { color: s.colour, size: 5, opacity: 0.55 }, text: mine.map(hoverCell), hovertemplate: "%{text}<extra></extra>" });
      }
    }
    const shapes = [];
    for (const p of drawn.values()) {
      shapes.push({ type: "rect", xref: "paper", x0: 0, x1: 1, y0: p.low, y1: p.high,
        fillcolor: style("--band"), line: { width: 0 }, layer: "below" });
      shapes.push({ type: "line", xref: "paper", x0: 0, x1: 1, y0: p.mean, y1: p.mean, line: { color: style("--soft"), width: 1 },
        layer: "below" });
    }
    const metric = byId("metric").value;
    const axes = { type: "log", gridcolor: style("--grid"), linecolor: style("--line"), zeroline: false, ticks: "outside",
      tickcolor: style("--line"), automargin: true, tickmode: "array" };
    const abscissae = unique(found.flatMap((c) => c.points.map((p) => p[axis]))).filter((v) => v > 0).sort((a, b) => a - b);
    const apart = axis !== "seconds" && abscissae.length <= 9 && abscissae.every((v, i) => i === 0 || v > 1.3 * abscissae[i - 1]);
    const measured = [...bands, ...dots].flatMap((t) => t.y).concat([...drawn.values()].flatMap((p) => [p.low, p.high]));
    // A bound further than FRAME from the data does not widen the frame: it would flatten every curve.
    const least = Math.min(...measured) / FRAME, most = Math.max(...measured) * FRAME;
    const bounding = bounds.flatMap((t) => t.y);
    const ordinates = [...measured, ...bounding.filter((v) => least <= v && v <= most)];
    const beyond = bounding.length + measured.length - ordinates.length;
    const ends = [Math.min(...ordinates), Math.max(...ordinates)].map(Math.log10), margin = 0.06 * (ends[1] - ends[0]) || 0.3;
    const frame = ordinates.length ? { range: [ends[0] - margin, ends[1] + margin] } : {};
    // Below a narrow plot the legend takes a line for every curve: the page grows instead of the plot shrinking. The legend
    // starts 62 pixels under the axis, where its labels end; it is placed in parts of the height between the margins.
    const box = byId("plot"), narrow = box.clientWidth < 640, inside = narrow ? 300 : 400;
    const entries = Math.ceil(found.length / (narrow ? 1 : Math.max(1, Math.floor(box.clientWidth / 330))));
    const height = inside + 12 + 62 + 21 * Math.max(1, entries) + 8;
    box.style.height = `${height}px`;
    Plotly.react("plot", [...bands, ...bounds, ...lines, ...dots], {
      paper_bgcolor: style("--paper"), plot_bgcolor: style("--paper"), shapes,
      font: { color: style("--ink"), family: getComputedStyle(document.body).fontFamily, size: 13 },
      xaxis: { ...axes, title: { text: entities(data.axes[axis]), standoff: 6 }, ...ticks(abscissae, apart) },
      yaxis: { ...axes, title: { text: entities(data.labels[metric] || metric), standoff: 6 }, ...frame,
        ...ticks(ordinates, false) },
      margin: { l: 55, r: 12, t: 12, b: height - inside - 12 }, height, hovermode: "closest",
      hoverlabel: { bgcolor: style("--panel"), bordercolor: style("--line"), font: { color: style("--ink") }, align: "left" },
      legend: { orientation: narrow ? "v" : "h", tracegroupgap: 0, y: -62 / inside, yanchor: "top", x: 0, xanchor: "left",
        groupclick: "togglegroup" },
    }, { responsive: true, displaylogo: false,
      // listed, because the default ones include an upload to a server
      modeBarButtons: [["toImage", "zoom2d", "pan2d", "zoomIn2d", "zoomOut2d", "resetScale2d"]] });
    const parts = [];
    const coverages = unique(found.flatMap((c) => c.points.map((p) => p.coverage))).filter((v) => v !== null);
    if (coverages.length) {
      parts.push(`Markers: median over the seeds. Bands cover it with probability ${shown(100 * Math.min(...coverages))} % or more `
        + "(order statistics).");
    } else if (found.length) parts.push("One seed per point; bands are the interval of the measurement.");
    for (const text of unique(found.map((c) => c.drawn)).filter((t) => t !== null)) {
      parts.push(`Grey band: ${text}; perfect samplers score below their median in half of all runs.`);
    }
    const vacuous = found.flatMap((c) => c.points).filter((p) => p.vacuous !== null);
    if (vacuous.length) {
      const worst = vacuous.reduce((p, q) => (q.bound > p.bound ? q : p));
      parts.push(`${vacuous.length} bound(s) are vacuous, up to ${shown(worst.bound)}: ${worst.vacuous}.`);
    }
    if (bounds.length) parts.push("Dotted with dashes: a theorem's bound for the curve of that colour; hover says which.");
    if (beyond) parts.push(`${beyond} bound(s) lie beyond the frame; a double click on the plot shows them.`);
    if (zero) parts.push(`${zero} point(s) at 0 have no place on a logarithmic axis; the table has them.`);
    if (rounded) {
      parts.push(`${rounded} point(s) are 0 up to rounding (below 2e-16 of the largest value): they are neither drawn nor `
        + "fitted, and rounding alone may put them above a bound of 0.");
    }
    if (!found.length) parts.push("No sampler is chosen.");
    byId("plot-note").textContent = parts.join(" ");
    // the statements whose bounds these curves have, each a link to its place below
    const keys = unique(found.flatMap((c) => c.points.map((p) => p.statement))).filter((key) => key);
    byId("statements").replaceChildren(...(keys.length ? ["Statements of the bounds: "] : []), ...keys.flatMap((key, i) => {
      const place = "statement-" + key.replace("/", "-");
      return [i ? ", " : "", byId(place) ? element("a", { href: "#" + place }, key) : key];
    }));
  }

  /** The selection as the fragment of the address: a link to it. */
  function remember() {
    const wanted = new URLSearchParams(["target", "metric", "setting", "schedule"].map((id) => [id, byId(id).value]));
    wanted.set("axis", state.axis);
    state.off.forEach((name) => wanted.append("off", name));
    history.replaceState(null, "", "#" + wanted);
  }

  function restore() {
    const wanted = new URLSearchParams(location.hash.slice(1));
    if (!wanted.has("target")) return;
    for (const id of ["target", "metric", "setting", "schedule"]) {
      if ([...byId(id).options].some((option) => option.value === wanted.get(id))) byId(id).value = wanted.get(id);
      offer(false);
    }
    wanted.getAll("off").forEach((name) => state.off.add(name));
    offer(false);
    const radio = [...document.querySelectorAll("input[name=axis]")].find((r) => r.value === wanted.get("axis"));
    if (radio) { radio.checked = true; state.axis = radio.value; }
  }

  /** The rows that the table shows, all of them, with every digit. */
  function download() {
    const quoted = (v) => (v === null || v === undefined ? "" : /[",\r\n]/.test(v) ? `"${String(v).replace(/"/g, '""')}"` : String(v));
    const lines = [state.columns.map((c) => quoted(c.label)), ...state.items.map((item) => state.columns.map((c) => quoted(c.value(item))))];
    const address = URL.createObjectURL(new Blob([lines.map((l) => l.join(",") + "\r\n").join("")], { type: "text/csv" }));
    element("a", { href: address, download: `${byId("target").value}-${byId("metric").value}.csv` }).click();
    setTimeout(() => URL.revokeObjectURL(address), 1000);
  }

  function drawTables(found) {
    const word = (label, name) => ({ label, value: (r) => r[name] });
    const number = (label, name) => ({ label, value: (r) => r[name], number: true });
    const perCurve = [word("sampler", "sampler"), ...(several() ? [word("schedule", "schedule")] : [])];
    const slopes = found.map((c) => ({ ...c, ...(c.slopes[state.axis] || { slope: null, low: null, high: null, n: null }) }));
    fill(byId("slopes"), [...perCurve, number("slope", "slope"), number("from", "low"), number("to", "high"),
      number("points", "n")], slopes, state.slopes, Infinity, () => drawTables(found));

    const medians = document.querySelector("input[name=rows]:checked").value === "medians";
    let items, columns;
    if (medians) {
      items = found.flatMap((c) => c.points.map((p) => ({ ...c, ...p })));
      columns = [...perCurve, number("steps", "steps"), number("median", "median"), number("from", "low"), number("to", "high"),
        number("seeds", "seeds")];
    } else {
      const keys = new Set(found.map((c) => JSON.stringify([c.sampler, c.schedule])));
      items = cells.filter((r) => chosen(r) && keys.has(JSON.stringify([r.sampler, r.schedule])));
      columns = [...perCurve, number("steps", "steps"), number("seed", "seed"), number("value", "value"), number("lower", "lower"),
        number("upper", "upper")];
    }
    columns.push(number("exact draws", "exact_draws"), number("5 %", "exact_draws_low"), number("95 %", "exact_draws_high"),
      number("bound", "bound"), number("oracle calls", medians ? "calls" : "oracle_calls"),
      number("seconds", "seconds"));
    if (!medians) columns.push(number("inner evaluations", "inner_evaluations"), word("rung", "rung"), word("method", "method"));
    columns = columns.filter((column) => column.number !== true || ["median", "value", "steps"].includes(column.label)
      || items.some((item) => column.value(item) !== null && column.value(item) !== undefined));
    Object.assign(state, { columns, items });
    fill(byId("cells"), columns, items, state.cells, state.limit, () => drawTables(found));
    byId("count").textContent = `${items.length} rows: ${byId("target").value}, ${byId("metric").value}, `
      + `${byId("schedule").value || "every schedule"}.`;
    const left = items.length - state.limit;
    byId("more").hidden = left <= 0;
    byId("more").textContent = `Show ${Math.min(PAGE, left)} more of ${items.length}`;
  }

  function draw() {
    const found = curves.filter(chosen);
    drawPlot(found);
    drawTables(found);
    if (state.ready) remember();
  }

  for (const id of ["target", "metric", "setting", "schedule"]) {
    byId(id).addEventListener("change", () => { state.limit = PAGE; offer(false); draw(); });
  }
  for (const [name, label] of Object.entries(data.axes)) {
    const radio = element("input", { type: "radio", name: "axis", value: name, checked: name === "steps" });
    radio.addEventListener("change", () => { state.axis = name; draw(); });
    byId("axis").append(element("label", {}, radio, " " + label));
  }
  byId("seeds").addEventListener("change", draw);
  document.querySelectorAll("input[name=rows]").forEach((radio) => radio.addEventListener("change", () => {
    state.limit = PAGE; state.cells = { column: null, descending: false }; draw();
  }));
  byId("more").addEventListener("click", () => { state.limit += PAGE; draw(); });
  byId("all").addEventListener("click", () => { state.off.clear(); offer(false); draw(); });
  byId("none").addEventListener("click", () => { allSamplers.forEach((name) => state.off.add(name)); offer(false); draw(); });
  dark.addEventListener("change", draw);
  byId("download").addEventListener("click", download);
  offer(true);
  restore();
  draw();
  state.ready = true;
}

// -- the verdicts: rows are in the page, one <tbody> per statement ------------------------------------------------------------

function verdicts() {
  const table = byId("verdict-table");
  if (!table) return;
  const bodies = [...table.tBodies], headers = [...table.tHead.rows[0].cells];
  const key = (index) => (body) => {
    const text = body.rows[0].cells[index].dataset.sort;
    return text === "" ? null : Number.isNaN(Number(text)) ? text : Number(text);
  };
  headers.forEach((cell, index) => cell.querySelector("button").addEventListener("click", () => {
    const descending = cell.getAttribute("aria-sort") === "ascending";
    headers.forEach((other) => other.setAttribute("aria-sort", "none"));
    cell.setAttribute("aria-sort", descending ? "descending" : "ascending");
    table.append(...sorted(bodies, key(index), descending));
  }));
  function open(body, wanted) {
    const button = body.querySelector("button");
    button.setAttribute("aria-expanded", String(wanted));
    body.rows[1].hidden = !wanted;
  }
  for (const body of bodies) {
    const button = body.querySelector("button");
    button.addEventListener("click", () => open(body, button.getAttribute("aria-expanded") !== "true"));
  }
  function filter() {
    let count = 0;
    for (const body of bodies) {
      const match = ["paper", "verdict"].every((name) => ["", body.dataset[name]].includes(byId("of-" + name).value));
      body.hidden = !match;
      count += match;
    }
    byId("verdict-count").textContent = `${count} of ${bodies.length} statements.`;
  }
  ["paper", "verdict"].forEach((name) => byId("of-" + name).addEventListener("change", filter));
  filter();

  /** Open the statement that the address names, whatever the filters hide. */
  function reveal() {
    const body = bodies.find((b) => b.id && "#" + b.id === location.hash);
    if (!body) return;
    ["paper", "verdict"].forEach((name) => { byId("of-" + name).value = ""; });
    filter();
    open(body, true);
    body.scrollIntoView();
  }
  addEventListener("hashchange", reveal);
  reveal();
}

(async () => {
  try {
    verdicts();
    const data = JSON.parse(await unpack("data-gzip"));
    document.head.append(element("script", { textContent: await unpack("plotly-gzip") }));
    explorer(data);
    document.documentElement.dataset.ready = "true";
  } catch (error) {
    byId("failure").hidden = false;
    byId("failure").textContent = `The results cannot be shown (${error.message}). A browser of 2023 or later is needed.`;
    console.error(error);
  }
})();
