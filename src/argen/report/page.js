"use strict";
// The page of a network: one state, and one function for each part of the page that shows it.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const { genes, edges, feedback } = data;
  const number = (v) => (v === null || v === undefined ? NaN : v === "inf" ? Infinity : v === "-inf" ? -Infinity : v);
  const byId = (id) => document.getElementById(id);
  const all = (n) => Array.from({ length: n }, (_, i) => i);
  const geneIndex = new Map(genes.name.map((name, i) => [name, i]));
  const nEdges = edges.source.length;
  const ends = all(nEdges).map((i) => [geneIndex.get(edges.source[i]), geneIndex.get(edges.target[i])]);
  const effect = edges.effect.map(number);
  const z = effect.map((e, i) => Math.abs(e / number(edges.std_error[i])));
  const parents = genes.name.map(() => []);
  const children = genes.name.map(() => []);
  ends.forEach(([s, t], i) => { children[s].push(i); parents[t].push(i); });
  const degree = genes.name.map((_, g) => parents[g].length + children[g].length);
  const drawn = all(genes.name.length).filter((g) => genes.x[g] !== null);
  const byDegree = [...drawn].sort((a, b) => degree[b] - degree[a] || a - b);
  const largest = Math.max(...effect.map(Math.abs).filter(Number.isFinite), 1e-9);
  const state = { gene: null, search: "", weak: "", sort: "log10_p", down: false, shown: 200 };

  // Texts. Names are set as textContent, never as markup.
  const element = (tag, text, className) => {
    const made = document.createElement(tag);
    if (text !== undefined) made.textContent = text;
    if (className) made.className = className;
    return made;
  };
  const shownNumber = (v, digits = 3) => {
    v = number(v);
    return Number.isNaN(v) ? "–" : Number.isFinite(v) ? v.toFixed(digits) : v > 0 ? "+∞" : "−∞";
  };
  const shownP = (log10) => {
    log10 = number(log10);
    if (Number.isNaN(log10)) return "–";
    if (log10 === -Infinity) return "0";
    if (log10 > -3) return (10 ** log10).toPrecision(2);
    const power = Math.floor(log10);
    const [digits, shift] = (10 ** (log10 - power)).toExponential(1).split("e"); // 9.96 is 1.0e+1
    return `${digits}e${power + Number(shift)}`;
  };
  const shownQ = (q) => {
    q = number(q);
    return Number.isNaN(q) ? "–" : q < 0.001 ? q.toExponential(1) : q.toPrecision(2);
  };
  const shortened = (name) => (name.length > 24 ? `${name.slice(0, 23)}…` : name);
  const many = (n, one, more) => `${n} ${n === 1 ? one : more}`;
  const sign = (e) => (e > 0 ? "raises" : "lowers");

  // What the reader's filters leave.
  const limits = () => ({
    q: Number(byId("q").value) === 0 ? Infinity : 10 ** Number(byId("q").value),
    effect: (Number(byId("effect").value) / 100) * largest,
    stability: byId("stability") ? Number(byId("stability").value) : 0,
    sign: Number(byId("sign").value),
  });
  const passing = () => {
    const limit = limits();
    return all(nEdges).filter((i) =>
      (limit.q === Infinity || number(edges.q[i]) <= limit.q) &&
      Math.abs(effect[i]) >= limit.effect &&
      (limit.stability === 0 || number(edges.stability[i]) >= limit.stability) &&
      (!limit.sign || Math.sign(effect[i]) === limit.sign));
  };

  // The graph.
  const model = (name) => {
    for (const doc of Bokeh.documents) {
      const found = doc.get_model_by_name(name);
      if (found) return found;
    }
    return null;
  };
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
  let kept = passing();
  let fitted = 1; // data units per pixel when all is shown

  const unitsPerPixel = () => {
    const plot = model("graph");
    return (plot.x_range.end - plot.x_range.start) / Math.max(plot.inner_width, 1);
  };
  let rowHeight = 1; // in widths of a column, so that the drawing has the shape of its box
  const spread = (g) => [genes.x[g], genes.y[g] * rowHeight];

  const drawGraph = () => {
    const plot = model("graph");
    if (!plot) return;
    const unit = unitsPerPixel();
    const zoom = Math.min(Math.max(fitted / unit, 1), 4);
    const size = (drawn.length > 150 ? 5 : drawn.length > 50 ? 7 : 10) * Math.sqrt(zoom);
    const near = new Set(state.gene === null ? [] : [state.gene]);
    const around = (i) => state.gene === null || ends[i].includes(state.gene);
    const lines = { x0: [], y0: [], x1: [], y1: [], cx: [], cy: [], colour: [], alpha: [], width: [], dash: [] };
    const heads = { x: [], y: [], angle: [], marker: [], colour: [], alpha: [], size: [] };
    const dense = nEdges > 400;
    const narrow = new Set(drawn.map((g) => Math.round(genes.x[g]))).size === 1;
    // Edges of the selected gene last, on top of the others.
    for (const i of [...kept].sort((a, b) => around(a) - around(b))) {
      const [s, t] = ends[i];
      const [x0, y0] = spread(s);
      const [x1, y1] = spread(t);
      const length = Math.hypot(x1 - x0, y1 - y0) || 1;
      // Bent, so that an edge does not hide behind the genes between its ends.
      const layers = Math.abs(genes.y[s] - genes.y[t]);
      // Where all genes stand in one column, on both sides of it.
      const side = narrow ? 0.25 * (layers % 2 ? 1 : -1) : x1 >= x0 ? 0.1 : -0.1;
      const bend = layers <= 1 ? 0.04 : side;
      const cx = (x0 + x1) / 2 - bend * (y1 - y0);
      const cy = (y0 + y1) / 2 + bend * (x1 - x0);
      const certain = Number.isFinite(z[i]) ? Math.min(z[i] / 10, 1) : 0.5;
      const lit = state.gene !== null && around(i);
      if (lit) { near.add(s); near.add(t); }
      const alpha = lit ? 1 : state.gene !== null ? 0.05 : (dense ? 0.25 : 0.45) + (dense ? 0.35 : 0.55) * certain;
      const tint = effect[i] > 0 ? colours.raises : colours.lowers;
      const strength = Number.isFinite(effect[i]) ? Math.min(Math.abs(effect[i]) / largest, 1) : 1;
      lines.x0.push(x0); lines.y0.push(y0); lines.x1.push(x1); lines.y1.push(y1);
      lines.cx.push(cx); lines.cy.push(cy); lines.colour.push(tint); lines.alpha.push(alpha);
      lines.dash.push(edges.put_in_doubt[i] ? "dashed" : "solid");
      lines.width.push((lit ? 1.2 : dense ? 0.5 : 0.8) + (dense ? 1.2 : 2.5) * strength);
      if (dense && !lit && zoom < 1.8) continue; // heads would cover everything
      const away = Math.min((size / 2 + 5) * unit, length / 2) / length;
      const p = 1 - away; // a place on the curve, just before its end
      heads.x.push((1 - p) ** 2 * x0 + 2 * p * (1 - p) * cx + p * p * x1);
      heads.y.push((1 - p) ** 2 * y0 + 2 * p * (1 - p) * cy + p * p * y1);
      heads.angle.push(Math.atan2(y1 - cy, x1 - cx) - Math.PI / 2);
      heads.marker.push(effect[i] > 0 ? "triangle" : "dash");
      heads.colour.push(tint); heads.alpha.push(alpha); heads.size.push(effect[i] > 0 ? 8 : 11);
    }
    const lit = (g) => state.gene === null || near.has(g);
    const points = { x: [], y: [], name: [], colour: [], alpha: [], size: [], parents: [], children: [] };
    for (const g of drawn) {
      const [x, y] = spread(g);
      points.x.push(x); points.y.push(y); points.name.push(shortened(genes.name[g]));
      points.colour.push(g === state.gene ? colours.serious : colours.ink);
      points.alpha.push(lit(g) ? 1 : 0.2);
      points.size.push(g === state.gene ? size * 1.6 : size);
      points.parents.push(parents[g].length); points.children.push(children[g].length);
    }
    model("edges").data = lines;
    model("heads").data = heads;
    model("genes").data = points;
    model("names-renderer").glyph.y_offset = { value: size / 2 + 2 };
    model("names").data = names(near, unit);
  };

  // As many names as do not run into each other; the selected gene and its neighbours first.
  const names = (near, unit) => {
    const plot = model("graph");
    const { x_range: xs, y_range: ys } = plot;
    const taken = new Map();
    const found = { x: [], y: [], name: [], colour: [], alpha: [] };
    const first = byDegree.filter((g) => near.has(g)).sort((a, b) => (b === state.gene) - (a === state.gene));
    // Names of genes that are not meant would hide the edges of the one that is.
    const rest = state.gene !== null && drawn.length > 50 ? [] : byDegree.filter((g) => !near.has(g));
    const most = (plot.inner_width * plot.inner_height) / 6000; // more would hide the edges
    for (const g of [...first, ...rest]) {
      if (found.x.length >= most) break;
      const [x, y] = spread(g);
      if (x < xs.start || x > xs.end || y < ys.start || y > ys.end) continue;
      const name = shortened(genes.name[g]);
      const half = (name.length * 3.6 + 4) * unit;
      const row = Math.round(y / (15 * unit));
      const clash = [row - 1, row, row + 1].some((r) =>
        (taken.get(r) || []).some(([a, b, at]) => Math.abs(at - y) < 14 * unit && a < x + half && b > x - half));
      if (clash) continue;
      if (!taken.has(row)) taken.set(row, []);
      taken.get(row).push([x - half, x + half, y]);
      found.x.push(x); found.y.push(y); found.name.push(name); found.colour.push(colours.ink);
      found.alpha.push(state.gene === null || near.has(g) ? 1 : 0.25);
    }
    return found;
  };

  const setView = (cx, cy, unit) => {
    const plot = model("graph");
    const [w, h] = [(plot.inner_width * unit) / 2, (plot.inner_height * unit) / 2];
    plot.x_range.setv({ start: cx - w, end: cx + w });
    plot.y_range.setv({ start: cy - h, end: cy + h });
  };
  const fit = () => {
    const plot = model("graph");
    if (!plot || plot.inner_width < 2 || !drawn.length) return;
    const span = (values) => Math.max(...values) - Math.min(...values);
    const shape = (span(drawn.map((g) => genes.x[g])) + 1) / (span(drawn.map((g) => genes.y[g])) + 1);
    rowHeight = Math.min(Math.max((shape * plot.inner_height) / plot.inner_width, 0.5), 2.5);
    const xs = drawn.map((g) => spread(g)[0]);
    const ys = drawn.map((g) => spread(g)[1]);
    const [x0, x1, y0, y1] = [Math.min(...xs), Math.max(...xs), Math.min(...ys), Math.max(...ys)];
    fitted = Math.max((x1 - x0) / Math.max(plot.inner_width - 70, 50), (y1 - y0) / Math.max(plot.inner_height - 60, 50), 0.004);
    setView((x0 + x1) / 2, (y0 + y1) / 2, fitted);
    drawGraph();
  };
  const move = (dx, dy, factor = 1) => {
    const { x_range: xs, y_range: ys } = model("graph");
    const unit = unitsPerPixel();
    const middle = [(xs.start + xs.end) / 2, (ys.start + ys.end) / 2];
    // Zooming goes towards the selected gene.
    const [x, y] = factor !== 1 && state.gene !== null && genes.x[state.gene] !== null ? spread(state.gene) : middle;
    setView(x + dx * 60 * unit, y + dy * 60 * unit, unit * factor);
  };
  let waiting = 0;
  const later = (action, ms) => { clearTimeout(waiting); waiting = setTimeout(action, ms); };

  // The selected gene.
  const geneButton = (g) => {
    const button = element("button", genes.name[g], "gene");
    button.type = "button";
    button.addEventListener("click", () => select(g));
    return button;
  };
  const evidence = (i, g) => {
    const item = element("li");
    item.append(geneButton(g), " ", element("span", `${sign(effect[i])}: ${shownNumber(edges.effect[i])}`, sign(effect[i])));
    const interval = `[${shownNumber(edges.ci_low[i])}, ${shownNumber(edges.ci_high[i])}]`;
    const more = [`${interval}, p = ${shownP(edges.log10_p[i])}, q = ${shownQ(edges.q[i])}`,
      `perturbed ${shownNumber(edges.forward[i], 2)}, reverse ${shownNumber(edges.backward[i], 2)}`];
    if (edges.stability) more.push(`stability ${shownNumber(edges.stability[i], 2)}`);
    if (edges.status[i] !== "OK") more.push(edges.status[i]);
    item.append(element("br"), element("span", more.join("; "), "quiet"));
    item.append(element("p", edges.sentence[i]));
    return item;
  };
  const showPanel = () => {
    const panel = byId("panel");
    panel.replaceChildren();
    const g = state.gene;
    panel.classList.toggle("no-print", g === null);
    if (g === null) {
      panel.append(element("h3", "No gene selected"), element("p", "Click a gene or search it. The genes with most edges:"));
      const list = element("ul");
      for (const hub of byDegree.slice(0, 10)) {
        const item = element("li");
        item.append(geneButton(hub), element("span", ` ${many(parents[hub].length, "parent", "parents")}, ${many(children[hub].length, "child", "children")}`, "quiet"));
        list.append(item);
      }
      panel.append(list);
      return;
    }
    const close = element("button", "Show all genes");
    close.type = "button";
    close.addEventListener("click", () => select(null));
    const place = genes.position[g] === null ? "a sink: measured, not perturbed" : `place ${genes.position[g]} in the causal order`;
    panel.append(element("h3", genes.name[g]), close, element("p", `${place}; ${many(genes.tested[g], "candidate parent", "candidate parents")} tested`, "quiet"));
    if (genes.remaining[g] !== null) {
      const left = [genes.remaining[g], genes.remaining_low[g], genes.remaining_high[g]].map((v) => shownNumber(100 * number(v), 0));
      panel.append(element("p", `Perturbing it leaves ${left[0]} % of its expression [${left[1]}, ${left[2]}].`));
    }
    if (genes.penetrance[g] !== null) {
      const share = [genes.penetrance[g], genes.penetrance_low[g], genes.penetrance_high[g]].map((v) => shownNumber(100 * number(v), 0));
      panel.append(element("p", `Its guide works in ${share[0]} % of the cells that carry it [${share[1]}, ${share[2]}].`));
    }
    const partners = feedback.filter((pair) => pair.includes(genes.name[g])).map(([a, b]) => (a === genes.name[g] ? b : a));
    if (partners.length) panel.append(element("p", `Both ways in the screen with: ${partners.join(", ")}`, "warning"));
    for (const [title, list, end] of [["Parents", parents[g], 0], ["Children", children[g], 1]]) {
      const shown = list.filter((i) => kept.includes(i));
      const hidden = list.length - shown.length;
      panel.append(element("h4", `${title}: ${shown.length}${hidden ? ` (${hidden} filtered out)` : ""}`));
      const items = element("ul");
      items.append(...shown.map((i) => evidence(i, ends[i][end])));
      panel.append(items);
    }
  };
  const select = (g) => {
    state.gene = g;
    byId("gene").value = g === null ? "" : genes.name[g];
    if (g !== null && genes.x[g] !== null && model("graph")) {
      const [x, y] = spread(g);
      const { x_range: xs, y_range: ys } = model("graph");
      if (x < xs.start || x > xs.end || y < ys.start || y > ys.end) setView(x, y, unitsPerPixel());
    }
    showPanel();
    drawGraph();
  };

  // The table.
  const columns = [
    ["source", "source"], ["target", "target"], ["rank", "weakest point"], ["effect", "effect"], ["ci_low", "low"], ["ci_high", "high"],
    ["log10_p", "p"], ["q", "q"], ["forward", "perturbed"], ["backward", "reverse"],
    ...(edges.stability ? [["stability", "stability"]] : []), ["status", "fit"],
  ];
  const isText = new Set(["source", "target", "status"]);
  const isLeft = new Set([...isText, "rank"]);
  const rows = () => {
    const wanted = state.search.toLowerCase();
    const found = kept.filter((i) => (!state.weak || edges.weak_point[i] === state.weak) && (!wanted ||
      edges.source[i].toLowerCase().includes(wanted) || edges.target[i].toLowerCase().includes(wanted)));
    const values = edges[state.sort];
    const text = isText.has(state.sort);
    const direction = state.down ? -1 : 1;
    return found.sort((a, b) => {
      if (text) return direction * values[a].localeCompare(values[b], undefined, { numeric: true }) || a - b;
      const [va, vb] = [number(values[a]), number(values[b])];
      if (Number.isNaN(va) || Number.isNaN(vb)) return Number.isNaN(va) - Number.isNaN(vb) || a - b; // missing last
      return va === vb ? a - b : direction * (va < vb ? -1 : 1);
    });
  };
  const cell = (name, i) => {
    if (name === "log10_p") return shownP(edges.log10_p[i]);
    if (name === "q") return shownQ(edges.q[i]);
    return shownNumber(edges[name][i]);
  };
  const weakPoint = (i) => {
    const details = element("details", undefined, "in-print");
    details.append(element("summary", edges.weak_point[i]), element("p", edges.sentence[i]));
    if (edges.also[i]) details.append(element("p", `Also: ${edges.also[i]}.`, "quiet"));
    return details;
  };
  const showWeakPoints = () => {
    const counts = new Map();
    for (const i of [...all(nEdges)].sort((a, b) => edges.rank[a] - edges.rank[b])) {
      counts.set(edges.weak_point[i], (counts.get(edges.weak_point[i]) || 0) + 1);
    }
    for (const [name, n] of counts) {
      const option = element("option", `${name}: ${n}`);
      option.value = name;
      byId("weak").append(option);
    }
  };
  const showTable = () => {
    const found = rows();
    const body = document.createElement("tbody");
    for (const i of found.slice(0, state.shown)) {
      const row = body.insertRow();
      for (const [name] of columns) {
        const td = row.insertCell();
        if (name === "source") td.append(geneButton(ends[i][0]));
        else if (name === "target") td.append(geneButton(ends[i][1]));
        else if (name === "rank") td.append(weakPoint(i));
        else if (name === "status") td.textContent = edges.status[i];
        else {
          td.className = name === "effect" ? `number ${sign(effect[i])}` : "number";
          td.textContent = cell(name, i);
        }
      }
    }
    byId("table").tBodies[0].replaceWith(body);
    for (const th of byId("table").tHead.rows[0].cells) {
      const sorted = th.dataset.column === state.sort;
      th.setAttribute("aria-sort", sorted ? (state.down ? "descending" : "ascending") : "none");
      th.querySelector("span").textContent = sorted ? (state.down ? " ▼" : " ▲") : "";
    }
    byId("more").hidden = found.length <= state.shown;
    byId("more").textContent = `Show all ${found.length} rows`;
  };
  const makeHead = () => {
    const row = byId("table").tHead.insertRow();
    for (const [name, label] of columns) {
      const th = element("th", undefined, isLeft.has(name) ? "" : "number");
      th.scope = "col";
      th.dataset.column = name;
      const button = element("button", label);
      button.type = "button";
      button.append(element("span"));
      button.addEventListener("click", () => {
        state.down = state.sort === name ? !state.down : false;
        state.sort = name;
        showTable();
      });
      th.append(button);
      row.append(th);
    }
  };
  const download = () => {
    const names = Object.keys(edges);
    const field = (v) => {
      const text = v === null ? "" : String(v);
      return /["\t\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
    };
    const lines = [names, ...rows().map((i) => names.map((name) => edges[name][i]))];
    const text = lines.map((line) => line.map(field).join("\t")).join("\n");
    const link = element("a");
    link.href = URL.createObjectURL(new Blob([`${text}\n`], { type: "text/tab-separated-values" }));
    link.download = "edges.tsv";
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  };

  // All of it.
  const filter = () => {
    kept = passing();
    const limit = limits();
    byId("q-value").textContent = limit.q === Infinity ? "any" : shownQ(limit.q);
    byId("effect-value").textContent = limit.effect.toFixed(2);
    if (byId("stability")) byId("stability-value").textContent = limit.stability.toFixed(2);
    const alone = genes.name.length - drawn.length;
    byId("count").textContent = `${kept.length} of ${nEdges} edges pass the filters. Genes without an edge, not drawn: ${alone}; the search finds them.`;
    showTable();
    showPanel();
    drawGraph();
  };
  let colours = {};
  // Blue and orange of the page; what a figure came with is kept, as paper and print change them.
  const came = new Map();
  const tinted = (value) => ({ "#0072b2": colours.raises, "#d55e00": colours.lowers })[String(value).toLowerCase()] || value;
  const tint = (part) => {
    if (!part.glyph) return;
    const source = part.data_source;
    if (source && source.data.colour) {
      if (!came.has(source.id)) came.set(source.id, [...source.data.colour]);
      source.data = { ...source.data, colour: came.get(source.id).map(tinted) };
    }
    for (const key of ["fill_color", "line_color"]) {
      const now = part.glyph[key];
      if (!now || now.value === undefined) continue;
      const own = `${part.id}-${key}`;
      if (!came.has(own)) came.set(own, now.value);
      part.glyph[key] = { value: tinted(came.get(own)) };
    }
  };
  const paint = (forPrint) => {
    const shades = ["paper", "ink", "quiet", "line", "raises", "lowers", "serious"];
    colours = Object.fromEntries(shades.map((name) => [name, colour(name)]));
    if (forPrint) colours = { paper: "#ffffff", ink: "#000000", quiet: "#444444", line: "#bbbbbb", raises: "#0072b2", lowers: "#c04a00", serious: "#a3142e" };
    for (const name of ["graph", ...Object.keys(data.figures)]) {
      const plot = model(name);
      if (!plot) continue;
      for (const axis of [...plot.below, ...plot.left]) {
        axis.setv({
          axis_label_text_color: colours.ink, major_label_text_color: colours.ink, axis_line_color: colours.quiet,
          major_tick_line_color: colours.quiet, minor_tick_line_color: null,
        });
      }
      for (const part of plot.renderers) {
        tint(part);
        if (part.name === "names") part.glyph.setv({ text_color: colours.ink, background_fill_color: colours.paper });
      }
      for (const part of plot.center) {
        if (part.grid_line_color !== undefined) part.grid_line_color = colours.line;
        if (part.label_text_color !== undefined) part.label_text_color = colours.ink; // of a legend
      }
    }
    model("names-renderer").glyph.background_fill_color = colours.paper;
    drawGraph();
  };

  // Paper cannot be clicked: all that is in words is open on it, and drawings, which do not follow
  // its width, keep the size that they have on the screen.
  let opened = [];
  const unfold = (forPrint) => {
    if (forPrint) opened = [...document.querySelectorAll("details.in-print:not([open])")];
    for (const details of opened) details.open = forPrint;
    for (const box of document.querySelectorAll(".figure, #graph-box")) {
      box.style.width = forPrint ? `${box.offsetWidth}px` : "";
      box.style.height = forPrint ? `${box.offsetHeight}px` : "";
    }
  };
  const listen = () => {
    for (const id of ["q", "effect", "stability", "sign"]) if (byId(id)) byId(id).addEventListener("input", filter);
    byId("clear").addEventListener("click", () => {
      byId("controls").reset();
      select(null);
      filter();
      fit();
    });
    byId("gene").addEventListener("change", () => {
      const wanted = byId("gene").value.trim();
      const exact = geneIndex.get(wanted);
      const folded = genes.name.findIndex((name) => name.toLowerCase() === wanted.toLowerCase());
      if (exact !== undefined || folded >= 0) select(exact ?? folded);
      else if (!wanted) select(null);
      else byId("count").textContent = `No gene is called ${wanted}.`;
    });
    byId("search").addEventListener("input", () => { state.search = byId("search").value.trim(); showTable(); });
    byId("weak").addEventListener("change", () => { state.weak = byId("weak").value; showTable(); });
    byId("more").addEventListener("click", () => { state.shown = Infinity; showTable(); });
    byId("download").addEventListener("click", download);
    byId("zoom-in").addEventListener("click", () => move(0, 0, 1 / 1.5));
    byId("zoom-out").addEventListener("click", () => move(0, 0, 1.5));
    byId("zoom-fit").addEventListener("click", fit);
    byId("graph-box").addEventListener("keydown", (event) => {
      const acts = {
        ArrowLeft: () => move(-1, 0), ArrowRight: () => move(1, 0), ArrowUp: () => move(0, 1), ArrowDown: () => move(0, -1),
        "+": () => move(0, 0, 1 / 1.5), "=": () => move(0, 0, 1 / 1.5), "-": () => move(0, 0, 1.5), 0: fit,
        "/": () => byId("gene").focus(), Escape: () => select(null),
      };
      if (event.ctrlKey || event.metaKey || event.altKey || !(event.key in acts)) return;
      event.preventDefault();
      acts[event.key]();
    });
    document.addEventListener("gene-tapped", (event) => {
      if (event.detail.length) {
        const g = drawn[event.detail[0]];
        model("genes").selected.indices = [];
        select(g);
      }
    });
    document.addEventListener("graph-moved", () => later(drawGraph, 120));
    document.addEventListener("graph-resized", () => requestAnimationFrame(fit));
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => paint(false));
    addEventListener("beforeprint", () => { unfold(true); paint(true); });
    addEventListener("afterprint", () => { unfold(false); paint(false); });
    byId("copy").addEventListener("click", async () => {
      const range = document.createRange();
      range.selectNodeContents(byId("methods-text"));
      getSelection().removeAllRanges();
      getSelection().addRange(range);
      try {
        await navigator.clipboard.writeText(byId("methods-text").textContent);
        byId("copied").textContent = "copied";
      } catch {
        byId("copied").textContent = "selected; copy with Ctrl-C";
      }
    });
  };

  const start = async () => {
    Bokeh.set_log_level("error");
    byId("genes").append(...genes.name.map((name) => { const o = element("option"); o.value = name; return o; }));
    makeHead();
    showWeakPoints();
    listen();
    filter();
    await Bokeh.embed.embed_item(data.graph, "graph");
    paint(false);
    fit();
    document.body.dataset.ready = "network";
    for (const [name, item] of Object.entries(data.figures)) await Bokeh.embed.embed_item(item, `figure-${name}`);
    paint(false);
    document.body.dataset.ready = "all";
  };
  start();
})();
