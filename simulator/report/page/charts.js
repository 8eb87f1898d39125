/* Draws the charts of a report from the JSON in #figures. Reads nothing else, loads nothing. */
"use strict";
(() => {
  const figures = JSON.parse(document.getElementById("figures").textContent);
  const root = document.documentElement;
  const x = figures.times_s;
  const whole = [0, Math.max(figures.duration_s, x.length ? x[x.length - 1] : 0, 1)];
  const charts = [];
  const DASHES = [[], [7, 4], [2, 3], [10, 3, 2, 3], [4, 4], [14, 4]];
  const LABEL_FONT = "11px system-ui, sans-serif";
  const ROW = 15;

  const colour = (name) => getComputedStyle(root).getPropertyValue(name).trim();

  // Numbers and times

  const grouped = (value, digits) =>
    value.toLocaleString("en-US", { maximumFractionDigits: digits, minimumFractionDigits: 0 });

  function short(value, unit) {
    if (value === null || value === undefined) return "–";
    if (unit === "%") return grouped(value * 100, 1) + " %";
    if (unit === "B/s") {
      const step = [[1e9, "GB/s"], [1e6, "MB/s"], [1e3, "kB/s"]].find(([size]) => Math.abs(value) >= size);
      return step ? grouped(value / step[0], 2) + " " + step[1] : grouped(value, 0) + " B/s";
    }
    const size = Math.abs(value);
    const digits = size < 1 ? 3 : size < 10 ? 2 : size < 100 ? 1 : 0;
    return grouped(value, digits) + (unit ? " " + unit : "");
  }

  function clock(seconds) {
    const all = Math.round(seconds * 10) / 10;
    const hours = Math.floor(all / 3600);
    const minutes = Math.floor((all % 3600) / 60);
    const rest = all % 60;
    const tail = (rest < 10 ? "0" : "") + (Number.isInteger(rest) ? rest : rest.toFixed(1));
    return hours ? hours + ":" + String(minutes).padStart(2, "0") + ":" + tail : minutes + ":" + tail;
  }

  // Phases and faults, the same on every chart

  const rows = Math.min(3, figures.marks.length);

  /**
   * Gives each mark, sorted by place, its label and a row. A label is written out when it ends
   * before the mark that would need its row; otherwise it is the sign alone, or nothing.
   */
  function labelled(shown, widthOf, edge) {
    const ends = new Array(rows).fill(-Infinity);
    return shown.map(({ mark, place }, index) => {
      const next = shown[index + rows];
      const limit = next ? next.place.left : edge;
      const text = place.left + widthOf(mark.label) <= limit ? mark.label : mark.short;
      const width = widthOf(text);
      const left = Math.min(place.left, edge - width);
      const row = ends.findIndex((end) => end <= left);
      if (row >= 0) ends[row] = left + width;
      return { text, left, row };
    });
  }

  function span(u, start_s, end_s) {
    const { min, max } = u.scales.x;
    if (end_s < min || start_s > max) return null;
    const place = (at) => u.valToPos(Math.min(Math.max(at, min), max), "x", true);
    return { left: place(start_s), right: place(end_s), begins: start_s >= min };
  }

  function behind(u) {
    const { ctx, bbox } = u;
    ctx.save();
    ctx.font = LABEL_FONT.replace("11px", 11 * uPlot.pxRatio + "px");
    ctx.textBaseline = "middle";
    const ratio = uPlot.pxRatio;
    const phaseRow = bbox.top - ROW * ratio * (rows + 0.5);
    figures.phases.forEach((phase, index) => {
      const place = span(u, phase.start_s, phase.end_s);
      if (!place || place.right <= place.left) return;
      ctx.fillStyle = colour("--band");
      if (index % 2 === 0) ctx.fillRect(place.left, bbox.top, place.right - place.left, bbox.height);
      ctx.fillRect(place.left, phaseRow - ROW * ratio * 0.5, place.right - place.left - ratio, ROW * ratio);
      ctx.fillStyle = colour("--quiet");
      ctx.textAlign = "center";
      const room = place.right - place.left - 6 * ratio;
      let text = phase.name;
      while (text.length > 1 && ctx.measureText(text).width > room) text = text.slice(0, -1);
      if (text !== phase.name) text = text.length > 4 ? text.slice(0, -1) + "…" : "";
      if (text) ctx.fillText(text, (place.left + place.right) / 2, phaseRow);
    });
    for (const mark of figures.marks) {
      const place = span(u, mark.start_s, mark.end_s);
      const lasts_s = mark.end_s - mark.start_s;
      if (!place || lasts_s <= 0) continue;
      const width = place.right - place.left;
      // What lasts most of the run would only tint it; its bar says as much.
      ctx.fillStyle = colour("--fault");
      if (lasts_s < 0.5 * (whole[1] - whole[0])) ctx.fillRect(place.left, bbox.top, width, bbox.height);
      ctx.fillStyle = colour("--fault-ink");
      ctx.fillRect(place.left, bbox.top, width, 2 * ratio);
    }
    ctx.restore();
  }

  function infront(u) {
    const { ctx, bbox } = u;
    const ratio = uPlot.pxRatio;
    ctx.save();
    ctx.font = LABEL_FONT.replace("11px", 11 * ratio + "px");
    ctx.textBaseline = "middle";
    ctx.textAlign = "left";
    ctx.lineWidth = 1.5 * ratio;
    const shown = figures.marks
      .map((mark) => ({ mark, place: span(u, mark.start_s, mark.end_s) }))
      .filter(({ place }) => place)
      .sort((a, b) => a.place.left - b.place.left);
    const widthOf = (text) => ctx.measureText(text).width + 8 * ratio;
    const labels = labelled(shown, widthOf, bbox.left + bbox.width);
    shown.forEach(({ mark, place }, index) => {
      ctx.strokeStyle = colour(mark.fault ? "--fault-ink" : "--quiet");
      ctx.setLineDash(mark.fault ? [5 * ratio, 4 * ratio] : [2 * ratio, 2 * ratio]);
      if (!place.begins) return;
      const { row } = labels[index];
      ctx.beginPath();
      ctx.moveTo(place.left, row < 0 ? bbox.top : bbox.top - ROW * ratio * (rows - row));
      ctx.lineTo(place.left, bbox.top + bbox.height);
      ctx.stroke();
    });
    // Labels lie over the lines of other marks.
    shown.forEach(({ mark }, index) => {
      const { text, left, row } = labels[index];
      if (row < 0) return;
      const y = bbox.top - ROW * ratio * (rows - row - 0.5);
      ctx.fillStyle = colour("--paper");
      ctx.fillRect(left + 2 * ratio, y - 6 * ratio, widthOf(text) - 6 * ratio, 12 * ratio);
      ctx.fillStyle = colour(mark.fault ? "--fault-ink" : "--quiet");
      ctx.fillText(text, left + 4 * ratio, y);
    });
    ctx.restore();
  }

  // Charts

  /** Points that have no neighbour on either side would be invisible in a line. */
  function lonely(u, index) {
    const values = u.data[index];
    const found = [];
    for (let i = 0; i < values.length; i++) {
      const gap = (at) => values[at] === null || values[at] === undefined;
      if (!gap(i) && gap(i - 1) && gap(i + 1)) found.push(i);
    }
    return found;
  }

  function logTicks(u, splits) {
    return splits.map((value) => {
      const power = Math.log10(value);
      return Math.abs(power - Math.round(power)) < 1e-6 ? value : null;
    });
  }

  function options(chart, width) {
    const axis = (extra) => ({
      stroke: colour("--quiet"),
      font: LABEL_FONT,
      grid: { stroke: colour("--grid"), width: 1 },
      ticks: { stroke: colour("--grid"), width: 1, size: 4 },
      ...extra,
    });
    const { unit, log } = chart.spec;
    return {
      width,
      height: chart.host.parentElement.classList.contains("wide") ? 300 : 230,
      padding: [ROW * (rows + 1.2), 14, 0, 0],
      legend: { show: false },
      cursor: { sync: { key: "run", setSeries: false }, drag: { x: true, y: false }, points: { size: 5 } },
      scales: {
        x: { time: false, range: (u, low, high) => (high > low ? [low, high] : whole) },
        y: log
          ? { distr: 3, log: 10 }
          : { range: (u, low, high) => [0, high > 0 ? high * 1.08 : unit === "%" ? 0.1 : 1] },
      },
      axes: [
        axis({
          values: (u, splits) => splits.map(clock),
          incrs: [0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200, 86400],
          space: 64,
          size: 30,
        }),
        axis({
          scale: "y",
          size: 74,
          space: 34,
          ...(log ? { filter: logTicks } : {}),
          values: (u, splits) => splits.map((value) => (value === null ? "" : short(value, unit))),
        }),
      ],
      series: [
        {},
        ...chart.spec.series.map((series, index) => ({
          label: series.label,
          scale: "y",
          stroke: () => colour("--c" + (series.colour % 8)),
          width: series.strong ? 2.2 : 1.5,
          dash: DASHES[series.dash % DASHES.length],
          show: chart.shown[index],
          spanGaps: series.spans,
          points: { show: false, size: 5, filter: series.spans ? () => null : lonely, fill: () => colour("--c" + (series.colour % 8)) },
        })),
      ],
      hooks: {
        drawClear: [behind],
        draw: [infront],
        setCursor: [(u) => read(chart, u.cursor.idx)],
        setScale: [(u, key) => key === "x" && follow(u)],
      },
    };
  }

  let following = false;
  function follow(origin) {
    if (following) return;
    following = true;
    const { min, max } = origin.scales.x;
    for (const { plot } of charts) {
      if (plot && plot !== origin && (plot.scales.x.min !== min || plot.scales.x.max !== max)) {
        plot.setScale("x", { min, max });
      }
    }
    for (const button of document.querySelectorAll("button.zoom")) {
      const same = Math.abs(button.dataset.from - min) < 0.01 && Math.abs(button.dataset.to - max) < 0.01;
      button.setAttribute("aria-pressed", String(same));
    }
    following = false;
  }

  function zoom(min, max) {
    const first = charts.find(({ plot }) => plot);
    if (first) first.plot.setScale("x", { min, max });
  }

  function read(chart, index) {
    const known = index !== null && index !== undefined;
    chart.outputs.forEach((output, number) => {
      output.textContent = known ? short(chart.columns()[number][index], chart.spec.unit) : "";
    });
    chart.clock.textContent = known ? "at " + clock(x[index]) : "";
  }

  function swatch(series) {
    const canvas = document.createElement("canvas");
    canvas.width = 44;
    canvas.height = 20;
    canvas.setAttribute("aria-hidden", "true");
    const paint = () => {
      const ctx = canvas.getContext("2d");
      ctx.clearRect(0, 0, 44, 20);
      ctx.strokeStyle = colour("--c" + (series.colour % 8));
      ctx.lineWidth = series.strong ? 5 : 4;
      ctx.setLineDash(DASHES[series.dash % DASHES.length].map((length) => length * 1.6));
      ctx.beginPath();
      ctx.moveTo(0, 10);
      ctx.lineTo(44, 10);
      ctx.stroke();
    };
    paint();
    return { canvas, paint };
  }

  function legend(chart, host) {
    chart.outputs = [];
    chart.swatches = [];
    chart.spec.series.forEach((series, index) => {
      const button = document.createElement("button");
      button.type = "button";
      button.setAttribute("aria-pressed", String(chart.shown[index]));
      button.title = "Show or hide";
      const { canvas, paint } = swatch(series);
      const name = document.createElement("span");
      name.textContent = series.label;
      const output = document.createElement("output");
      output.setAttribute("aria-live", "off");
      button.append(canvas, name, output);
      button.addEventListener("click", () => {
        chart.shown[index] = !chart.shown[index];
        button.setAttribute("aria-pressed", String(chart.shown[index]));
        chart.plot.setSeries(index + 1, { show: chart.shown[index] });
      });
      host.append(button);
      chart.outputs.push(output);
      chart.swatches.push(paint);
    });
    chart.clock = document.createElement("output");
    chart.clock.setAttribute("aria-live", "off");
    host.append(chart.clock);
  }

  function build(chart) {
    const range = chart.plot ? chart.plot.scales.x : null;
    if (chart.plot) chart.plot.destroy();
    const width = Math.max(240, chart.host.clientWidth);
    chart.plot = new uPlot(options(chart, width), [x, ...chart.columns()], chart.host);
    const { min, max } = range || { min: whole[0], max: whole[1] };
    following = true;
    chart.plot.setScale("x", { min, max });
    following = false;
  }

  function start(host) {
    const spec = figures.charts[host.dataset.chart];
    const chart = { spec, host, plot: null, choice: 0, shown: spec.series.map(() => true) };
    chart.columns = () => (spec.choices ? spec.choices[chart.choice].columns : spec.columns);
    const figure = host.closest("figure");
    const select = figure.querySelector("select");
    if (select) {
      select.addEventListener("change", () => {
        chart.choice = select.selectedIndex;
        chart.plot.setData([x, ...chart.columns()], false);
        const { min, max } = chart.plot.scales.x;
        chart.plot.setScale("x", { min, max });
        figure.querySelector(".reading").textContent = spec.choices[chart.choice].reading;
      });
    }
    legend(chart, figure.querySelector(".legend"));
    charts.push(chart);
    build(chart);
  }

  function rebuild() {
    for (const chart of charts) {
      chart.swatches.forEach((paint) => paint());
      build(chart);
    }
  }

  document.querySelectorAll("[data-chart]").forEach(start);
  document.querySelectorAll("button.zoom").forEach((button) =>
    button.addEventListener("click", () => zoom(Number(button.dataset.from), Number(button.dataset.to))),
  );

  let waiting = 0;
  addEventListener("resize", () => {
    cancelAnimationFrame(waiting);
    waiting = requestAnimationFrame(() => {
      for (const { plot, host } of charts) {
        const width = Math.max(240, host.clientWidth);
        if (width !== plot.width) plot.setSize({ width, height: plot.height });
      }
    });
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", rebuild);
  // Paper is white whatever the screen was, and nothing on it can be opened.
  let closed = [];
  addEventListener("beforeprint", () => {
    root.dataset.paper = "print";
    closed = [...document.querySelectorAll("details:not([open])")];
    closed.forEach((details) => { details.open = true; });
    rebuild();
  });
  addEventListener("afterprint", () => {
    delete root.dataset.paper;
    closed.forEach((details) => { details.open = false; });
    rebuild();
  });
  root.dataset.drawn = String(charts.length);
})();
