/* Copyright (c) 2026, llmfleet contributors
   GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
   SPDX-License-Identifier: GPL-3.0-or-later

   Draws the dashboards of the page's definition with what the fleet's Prometheus answers. It asks nobody else. */
"use strict";
(() => {
  const DASHBOARDS = JSON.parse(document.getElementById("definition").textContent);
  const RANGES = [[900, "15 minutes"], [3600, "1 hour"], [21600, "6 hours"], [86400, "1 day"], [604800, "7 days"], [1209600, "14 days"]];
  const REFRESHES = [[0, "off"], [15, "15 seconds"], [30, "30 seconds"], [60, "1 minute"], [300, "5 minutes"]];
  const POINTS = 240, SCRAPE = 15, AT_ONCE = 4, SHOWN = 12;
  const LIGHT = ["#1f5fbf", "#b3541e", "#11734b", "#8a2f8a", "#8a6d00", "#b3261e", "#0d7680", "#5b4bc4", "#5b6470", "#7a3e2b"];
  const DARK = ["#7fb0ff", "#f0a26b", "#5cc998", "#dd8be0", "#e3c341", "#ff8a80", "#5fd0dc", "#b3a6ff", "#aab4c0", "#d99a83"];
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const $ = (id) => document.getElementById(id);
  let shown = [], timer = 0, running = null, last = 0;

  const make = (name, attributes = {}, ...children) => {
    const element = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    element.append(...children);
    return element;
  };

  /* ---- What is chosen: it stands in the address, so that a link shows the same. ---- */
  const choice = () => {
    const given = new URLSearchParams(location.hash.slice(1));
    const one = DASHBOARDS.find((dashboard) => dashboard.key === given.get("show")) || DASHBOARDS[0];
    const number = (name, among, otherwise) => {
      const value = Number(given.get(name) ?? otherwise);
      return among.some(([known]) => known === value) ? value : otherwise;
    };
    return { given, dashboard: one, range: number("range", RANGES, 3600), refresh: number("refresh", REFRESHES, 30) };
  };
  const choose = (name, value) => {
    const given = new URLSearchParams(location.hash.slice(1));
    if (value === "") given.delete(name); else given.set(name, value);
    location.hash = given.toString();
  };
  const quoted = (text) => text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&").replace(/[\\"]/g, "\\$&");
  const filled = (expr, given) => expr.replace(/[$]([a-z]+)/g, (_all, name) => (given.get(name) ? quoted(given.get(name)) : ".*"));

  /* ---- Asking, a few questions at a time. ---- */
  let free = AT_ONCE;
  const waiting = [];
  const turn = () => new Promise((go) => { if (free > 0) { free -= 1; go(); } else waiting.push(go); });
  const done = () => { const next = waiting.shift(); if (next) next(); else free += 1; };
  const pause = (milliseconds) => new Promise((go) => setTimeout(go, milliseconds));
  const because = async (answer) => {
    if (answer.status === 401) return "Your log-in has ended. Load the page again.";
    if (answer.status === 429) return "Too many questions at once. The next refresh asks again.";
    if (answer.status === 504 || answer.status === 503 || answer.status === 502) return "Prometheus does not answer. The next refresh asks again.";
    try { return `Prometheus refuses the question: ${(await answer.json()).error}`; } catch { return `The gateway answered with status ${answer.status}.`; }
  };
  const ask = async (path, parameters, signal, again = 2) => {
    await turn();
    let answer;
    try {
      // A page whose address has a user and a password may ask no address that has them too.
      const place = new URL(`api/v1/${path}?${new URLSearchParams(parameters)}`, location.origin + location.pathname);
      answer = await fetch(place, { signal, credentials: "same-origin" });
      if (answer.ok) return (await answer.json()).data.result;
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new Error("The gateway does not answer. The next refresh asks again.");
    } finally { done(); }
    if (answer.status === 429 && again > 0) {
      await pause(1000);
      return ask(path, parameters, signal, again - 1);
    }
    throw new Error(await because(answer));
  };

  /* ---- Numbers for people. ---- */
  const scaled = (value, steps) => {
    const size = Math.abs(value);
    const [unit, name] = steps.find(([least]) => size >= least) || steps[steps.length - 1];
    return [value / unit, name];
  };
  const short = (value) => {
    const size = Math.abs(value);
    if (size === 0) return "0";
    return String(Number(value.toPrecision(size >= 100 ? Math.max(3, Math.floor(Math.log10(size)) + 1) : 3)));
  };
  const large = (value) => {
    const [number, name] = Math.abs(value) < 1e4 ? [value, ""] : scaled(value, [[1e9, " G"], [1e6, " M"], [1e3, " k"]]);
    return `${short(number)}${name}`;
  };
  const words = (value, unit) => {
    if (value === null || value === undefined || Number.isNaN(value)) return "none";
    if (unit === "share") return `${short(value * 100)} %`;
    if (unit === "seconds") {
      const [number, name] = scaled(value, [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"], [1e-3, "ms"], [1e-6, "µs"]]);
      return value === 0 ? "0 s" : `${short(number)} ${name}`;
    }
    if (unit === "bytes" || unit === "bytes/s") {
      const [number, name] = scaled(value, [[2 ** 40, "TiB"], [2 ** 30, "GiB"], [2 ** 20, "MiB"], [2 ** 10, "KiB"], [1, "B"]]);
      return `${short(number)} ${name}${unit === "bytes/s" ? "/s" : ""}`;
    }
    const names = { celsius: " °C", watts: " W", megahertz: " MHz", "per second": "/s", "tokens/joule": " tokens/J", "requests/s": " requests/s", "tokens/s": " tokens/s" };
    return `${large(value)}${names[unit] || ""}`;
  };
  /* Beside an axis there is no room for long units; the title and the legend have them. */
  const mark = (value, unit) => (["seconds", "share", "bytes", "bytes/s"].includes(unit) ? words(value, unit) : large(value));
  const named = (legend, labels) => legend.replace(/{{(\w+)}}/g, (_all, name) => labels[name] ?? "").replace(/ +/g, " ").trim() || "all";

  /* ---- One panel. ---- */
  const panelOf = (definition, number) => {
    const title = make("h3", { id: `panel-${number}` }, definition.title);
    const panel = {
      definition,
      element: make("section", { class: "panel", "aria-labelledby": `panel-${number}` }),
      value: make("div", { class: "number" }),
      chart: make("div", { class: "chart", "aria-hidden": "true" }),
      said: make("p", { class: "said", role: "status" }, "Asking Prometheus …"),
      legend: make("ul", { class: "legend", "aria-hidden": "true" }),
      table: make("div", { class: "scroll" }),
      series: [],
      plot: null,
    };
    panel.element.append(title, make("p", {}, definition.help));
    if (definition.kind === "number") panel.element.append(panel.value, panel.said);
    else if (definition.kind === "table") panel.element.append(panel.said, panel.table);
    else {
      panel.details = make("details", {}, make("summary", {}, "Values as a table"), panel.table);
      panel.details.addEventListener("toggle", () => tabulate(panel));
      panel.element.append(panel.chart, panel.said, panel.legend, panel.details);
    }
    return panel;
  };

  const tableOf = (heads, rows) => {
    const head = make("tr", {}, ...heads.map((text, index) => make("th", { scope: "col", ...(index ? { class: "number" } : {}) }, text)));
    const body = rows.map((row) => make("tr", {}, ...row.map((text, index) => make("td", index ? { class: "number" } : {}, text))));
    return make("table", {}, make("thead", {}, head), make("tbody", {}, ...body));
  };
  const tabulate = (panel) => {
    if (panel.details && !panel.details.open) return;
    const unit = panel.definition.unit;
    if (panel.definition.kind === "table") {
      const rows = panel.series.map((one) => [one.name, words(one.values[0], unit)]);
      panel.table.replaceChildren(...(rows.length ? [tableOf(["Of", "Value"], rows)] : []));
      return;
    }
    const rows = panel.series.map(({ name, values }) => {
      const there = values.filter((value) => value !== null);
      const latest = values[values.length - 1] ?? values[values.length - 2] ?? null;
      const sum = there.reduce((all, value) => all + value, 0);
      const found = [latest, there.reduce((a, b) => Math.min(a, b), Infinity), sum / there.length, there.reduce((a, b) => Math.max(a, b), -Infinity)];
      return [name, ...found.map((value) => words(Number.isFinite(value) ? value : null, unit))];
    });
    panel.table.replaceChildren(tableOf(["Series", "Now", "Least", "Mean", "Most"], rows));
  };

  const say = (panel, text, bad = false) => {
    if (panel.said.textContent !== text) panel.said.textContent = text;
    panel.said.classList.toggle("bad", bad);
  };

  const colour = (index) => (dark.matches ? DARK : LIGHT)[index % LIGHT.length];
  const dashes = (index) => [[], [6, 4], [2, 3], [10, 3, 2, 3]][Math.floor(index / LIGHT.length) % 4];
  const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  const drawLegend = (panel, at) => {
    const items = panel.series.slice(0, SHOWN).map((one, index) => {
      const swatch = make("span", { class: "swatch" });
      swatch.style.background = colour(index);
      const values = one.values;
      const value = at === null ? values[values.length - 1] ?? values[values.length - 2] ?? null : values[at] ?? null;
      return make("li", {}, swatch, one.name, make("span", { class: "value" }, words(value, panel.definition.unit)));
    });
    const more = panel.series.length - items.length;
    panel.legend.replaceChildren(...items, ...(more > 0 ? [make("li", {}, `and ${more} more: see the table`)] : []));
  };

  const draw = (panel) => {
    const { definition, times, series } = panel;
    const stacked = definition.kind === "areas";
    const sums = times ? new Array(times.length).fill(0) : [];
    const lines = series.map((one) => (stacked ? one.values.map((value, index) => (value === null && !sums[index] ? null : (sums[index] += value || 0))) : one.values));
    if (panel.plot) { panel.plot.destroy(); panel.plot = null; }
    panel.chart.replaceChildren();
    drawLegend(panel, null);
    if (!series.length) return;
    const unit = definition.unit;
    const axis = { stroke: css("--faint"), grid: { stroke: css("--line"), width: 1 }, ticks: { stroke: css("--line"), width: 1 }, font: "11px system-ui, sans-serif" };
    const styles = series.map((_one, index) => ({
      stroke: colour(index),
      width: 1.5,
      dash: dashes(index),
      points: { show: false },
      ...(stacked && index === 0 ? { fill: `${colour(0)}40` } : {}),
    }));
    const bands = stacked ? series.slice(1).map((_one, index) => ({ series: [index + 2, index + 1], fill: `${colour(index + 1)}40` })) : [];
    panel.chart.style.display = "block";
    const box = panel.chart.getBoundingClientRect();
    panel.plot = new uPlot({
      width: Math.max(200, Math.floor(box.width)),
      height: Math.max(120, Math.floor(box.height)),
      legend: { show: false },
      cursor: { drag: { x: false, y: false }, sync: { key: "time" }, points: { show: false } },
      scales: {
        x: { min: panel.from, max: panel.to },
        y: { range: (_plot, _low, high) => [0, unit === "share" && high > 0.2 && high <= 1 ? 1 : unit === "share" && high > 0 ? Math.max(high * 1.1, 0.01) : high > 0 ? high * 1.1 : 1] },
      },
      axes: [
        { ...axis, space: 70, values: (_plot, ticks) => ticks.map((tick) => clock(tick, panel.to - panel.from)) },
        { ...axis, size: 64, values: (_plot, ticks) => ticks.map((tick) => mark(tick, unit)) },
      ],
      series: [{}, ...styles],
      bands,
      hooks: { setCursor: [(plot) => drawLegend(panel, plot.cursor.idx ?? null)] },
    }, [times, ...lines], panel.chart);
  };
  const clock = (seconds, range) => {
    const moment = new Date(seconds * 1000);
    const two = (number) => String(number).padStart(2, "0");
    const time = `${two(moment.getHours())}:${two(moment.getMinutes())}`;
    if (range === 0) return `${time}:${two(moment.getSeconds())}`;
    return range > 86400 ? `${two(moment.getDate())}.${two(moment.getMonth() + 1)}. ${time}` : time;
  };

  const load = async (panel, chosen, signal) => {
    const { definition } = panel;
    const present = definition.kind === "number" || definition.kind === "table";
    const step = Math.max(SCRAPE, Math.ceil(chosen.range / POINTS / SCRAPE) * SCRAPE);
    const to = Math.floor(Date.now() / 1000 / step) * step, from = to - Math.floor(chosen.range / step) * step;
    const times = Array.from({ length: (to - from) / step + 1 }, (_none, index) => from + index * step);
    try {
      const answers = await Promise.all(definition.queries.map((query) => {
        const expr = filled(query.expr, chosen.given);
        return present ? ask("query", { query: expr }, signal) : ask("query_range", { query: expr, start: from, end: to, step }, signal);
      }));
      const number = (text) => { const value = Number(text); return Number.isFinite(value) ? value : null; };
      const series = answers.flatMap((result, index) => result.map((one) => {
        const name = named(definition.queries[index].legend, one.metric);
        if (present) return { name, values: [number(one.value[1])] };
        const values = new Array(times.length).fill(null);
        for (const [time, text] of one.values) values[Math.round((time - from) / step)] = number(text);
        return { name, values };
      })).filter((one) => one.values.some((value) => value !== null));
      if (definition.kind === "table") series.sort((a, b) => b.values[0] - a.values[0]);
      Object.assign(panel, { times, series, from, to });
      if (panel.details) panel.details.hidden = !series.length;
      say(panel, series.length ? "" : present ? "Nothing to show now." : "Nothing to show in this time.");
      if (definition.kind === "number") {
        const total = series.reduce((sum, one) => sum + one.values[0], 0);
        panel.value.textContent = series.length ? words(total, definition.unit) : "";
      } else if (definition.kind === "table") tabulate(panel);
      else { draw(panel); tabulate(panel); }
      return true;
    } catch (error) {
      if (error.name !== "AbortError") say(panel, error.message, true);
      return false;
    }
  };

  /* ---- The whole page. ---- */
  const options = (select, entries, value) => {
    select.replaceChildren(...entries.map(([key, text]) => make("option", { value: key, ...(String(key) === String(value) ? { selected: "" } : {}) }, text)));
    select.value = value;
  };
  const selects = async (chosen, signal) => {
    for (const variable of chosen.dashboard.variables) {
      const select = $(`choice-${variable.name}`), value = chosen.given.get(variable.name) || "";
      const found = await ask("query", { query: `group by (${variable.name}) (${variable.series})` }, signal).catch(() => []);
      const names = new Set(found.map((one) => one.metric[variable.name]).filter(Boolean));
      if (value) names.add(value);
      if (select.isConnected && document.activeElement !== select) options(select, [["", "all"], ...[...names].sort().map((name) => [name, name])], value);
    }
  };
  const refresh = async () => {
    clearTimeout(timer);
    const chosen = choice();
    running?.abort();
    const mine = running = new AbortController();
    const results = await Promise.all([...shown.map((panel) => load(panel, chosen, mine.signal)), selects(chosen, mine.signal).then(() => true, () => false)]);
    if (mine.signal.aborted) return;
    last = Date.now();
    const failed = results.filter((good) => !good).length;
    $("state").textContent = failed ? `${failed} of ${results.length} questions to Prometheus had no answer at ${clock(last / 1000, 0)}.` : `As of ${clock(last / 1000, 0)}.`;
    $("state").classList.toggle("bad", failed > 0);
    plan();
  };
  /* A page that nobody sees asks nothing. */
  const plan = () => {
    clearTimeout(timer);
    const { refresh: every } = choice();
    if (!every || document.hidden) return;
    timer = setTimeout(refresh, Math.max(0, last + every * 1000 - Date.now()));
  };
  const build = () => {
    const chosen = choice();
    document.title = `${chosen.dashboard.title} · LLM fleet`;
    $("help").textContent = chosen.dashboard.help;
    $("pages").replaceChildren(...DASHBOARDS.map((one) => {
      const given = new URLSearchParams(chosen.given);
      given.set("show", one.key);
      return make("a", { href: `#${given}`, ...(one === chosen.dashboard ? { "aria-current": "page" } : {}) }, one.title);
    }));
    $("variables").replaceChildren(...chosen.dashboard.variables.map((variable) => {
      const select = make("select", { id: `choice-${variable.name}` });
      options(select, [["", "all"], ...(chosen.given.get(variable.name) ? [[chosen.given.get(variable.name), chosen.given.get(variable.name)]] : [])], chosen.given.get(variable.name) || "");
      select.addEventListener("change", () => choose(variable.name, select.value));
      return make("label", {}, variable.title, select);
    }));
    options($("range"), RANGES, chosen.range);
    options($("refresh"), REFRESHES, chosen.refresh);
    for (const panel of shown) panel.plot?.destroy();
    shown = [];
    $("rows").replaceChildren(...chosen.dashboard.rows.flatMap((row) => {
      const panels = row.panels.map((definition) => panelOf(definition, shown.push(null) - 1));
      panels.forEach((panel, index) => { shown[shown.length - panels.length + index] = panel; });
      const numbers = row.panels.every((definition) => definition.kind === "number");
      return [make("h2", {}, row.title), make("div", { class: numbers ? "panels numbers" : "panels" }, ...panels.map((panel) => panel.element))];
    }));
    refresh();
  };
  const redraw = () => { for (const panel of shown) if (panel.times && panel.plot) draw(panel); };
  let resized = 0;
  addEventListener("resize", () => { clearTimeout(resized); resized = setTimeout(redraw, 150); });
  dark.addEventListener("change", redraw);
  addEventListener("hashchange", build);
  document.addEventListener("visibilitychange", plan);
  $("range").addEventListener("change", () => choose("range", $("range").value));
  $("refresh").addEventListener("change", () => choose("refresh", $("refresh").value));
  $("now").addEventListener("click", refresh);
  $("choices").addEventListener("submit", (event) => event.preventDefault());
  build();
})();
