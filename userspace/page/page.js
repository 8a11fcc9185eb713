/*
 * page.js - the live page: asks /api/snapshot, remembers fifteen minutes, draws.
 *
 * Whatever comes from a service is a stranger's text: it is only ever put in as text, never as markup.
 */
"use strict";

const EVERY_MS = 2000, KEEP_MS = 15 * 60 * 1000, LEAST_SPAN_MS = 60 * 1000, MAX_LINES = 6, MAX_ROWS = 200, MAX_KEPT = 3000;

const $ = id => document.getElementById(id);

/* An element with text and children. */
function make(tag, className, ...children) {
	const element = document.createElement(tag);
	if (className)
		element.className = className;
	for (const child of children)
		element.append(child);
	return element;
}

/* --- numbers for people */

const TIMES = { s: 1, ms: 1e-3, us: 1e-6, "\u00b5s": 1e-6, ns: 1e-9 };
const BYTES = { By: 1, byte: 1, bytes: 1, KiBy: 1024, MiBy: 1048576, GiBy: 1073741824, KiB: 1024, MiB: 1048576, GiB: 1073741824 };

function digits(value) {
	const size = Math.abs(value);
	if (size === 0)
		return "0";
	if (size >= 1e15 || size < 1e-4)
		return value.toExponential(2);
	if (size >= 100 || Number.isInteger(value))
		return Math.round(value).toLocaleString("en");
	return String(Number(value.toPrecision(3)));
}

function scaled(value, step, words) {
	let place = 0;
	while (Math.abs(value) >= step && place < words.length - 1) {
		value /= step;
		place++;
	}
	return digits(value) + words[place];
}

const bare = unit => unit.replace(/[{}]/g, "");

/* @value in the metric's unit, in the size that reads best. */
function show(value, unit) {
	const word = bare(unit || "");
	if (value === null || value === undefined || Number.isNaN(value))
		return "\u2013";
	if (Object.hasOwn(TIMES, word)) {
		const seconds = value * TIMES[word], size = Math.abs(seconds);
		if (size === 0)
			return "0 s";
		if (size < 1e-6)
			return digits(seconds * 1e9) + " ns";
		if (size < 1e-3)
			return digits(seconds * 1e6) + " \u00b5s";
		if (size < 1)
			return digits(seconds * 1e3) + " ms";
		return size < 120 ? digits(seconds) + " s" : size < 7200 ? digits(seconds / 60) + " min" : digits(seconds / 3600) + " h";
	}
	if (Object.hasOwn(BYTES, word))
		return scaled(value * BYTES[word], 1024, [" B", " KiB", " MiB", " GiB", " TiB"]);
	if (word === "1")
		return digits(value * 100) + " %";
	return scaled(value, 1000, ["", " k", " M", " G", " T"]) + (word === "%" ? " %" : "");
}

function showRate(value, unit) {
	if (value === null || Number.isNaN(value))
		return "\u2013";
	const word = bare(unit || "");
	return (Object.hasOwn(BYTES, word) || Object.hasOwn(TIMES, word) ? show(value, unit) : scaled(value, 1000, ["", " k", " M", " G"])) + "/s";
}

function showAge(ms) {
	const seconds = Math.round(ms / 1000);
	if (seconds < 90)
		return seconds + " s";
	if (seconds < 5400)
		return Math.round(seconds / 60) + " min";
	return seconds < 172800 ? Math.round(seconds / 3600) + " h" : Math.round(seconds / 86400) + " d";
}

/* --- what is remembered: one list of times, and beside it one value per series */

const times = [];
const known = new Map(); /* series by name: {values, start, row} */
let snapshot = null;

function seriesName(data, row) {
	const service = data.services[row.service], metric = data.metrics[row.metric];
	return JSON.stringify([service.name, service.attributes["service.instance.id"], metric.scope, metric.name, metric.kind,
		row.overflow, row.labels]);
}

function metricName(metric) {
	return JSON.stringify([metric.scope, metric.name, metric.kind, metric.unit]);
}

function remember(data) {
	times.push(data.time_unix_ms);
	for (const row of data.series) {
		const name = row.name = seriesName(data, row);
		let one = known.get(name);
		if (!one && known.size < MAX_KEPT)
			known.set(name, one = { values: new Array(times.length - 1).fill(null) });
		if (!one)
			continue;
		one.row = row;
		one.seen = times.length;
		one.values.push(row.counts ? { start: row.start_unix_ms, count: row.count, counts: row.counts } :
			{ start: row.start_unix_ms, value: row.value });
	}
	for (const one of known.values())
		if (one.values.length < times.length)
			one.values.push(null);
	while (times[0] < data.time_unix_ms - KEEP_MS) {
		times.shift();
		for (const [name, one] of known) {
			one.values.shift();
			if (one.values.every(value => value === null))
				known.delete(name);
		}
	}
}

/* Per second, between one look and the next; null where a series is new or began anew. */
function rateAt(one, at) {
	const now = one.values[at], before = one.values[at - 1];
	if (!now || !before || now.start !== before.start)
		return null;
	const was = before.counts ? before.count : before.value, is = now.counts ? now.count : now.value;
	const elapsed = (times[at] - times[at - 1]) / 1000;
	return is >= was && elapsed > 0 ? (is - was) / elapsed : null;
}

/* Values new in each bucket between looks @from and @to, over all of @list; null if none are known. */
function bucketsBetween(list, from, to) {
	let sum = null;
	for (const one of list) {
		const now = one.values[to], before = one.values[from];
		if (!now || !before || now.start !== before.start)
			continue;
		sum = sum || new Array(now.counts.length).fill(0);
		for (let i = 0; i < sum.length; i++)
			sum[i] += Math.max(0, now.counts[i] - before.counts[i]);
	}
	return sum;
}

function quantile(bounds, counts, q) {
	const total = counts.reduce((sum, count) => sum + count, 0);
	let rank = q * total;
	if (!total)
		return null;
	for (let i = 0; i < counts.length; i++) {
		if (!counts[i] || rank > counts[i]) {
			rank -= counts[i];
			continue;
		}
		const low = i ? bounds[i - 1] : Math.min(0, bounds[0] ?? 0);
		return i >= bounds.length ? low : low + (bounds[i] - low) * Math.max(0, rank) / counts[i];
	}
	return bounds[bounds.length - 1] ?? null;
}

/* --- drawing */

const style = name => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
let ink = {};

function readInk() {
	ink = { soft: style("--soft"), line: style("--line"), heat: style("--heat"),
		lines: [0, 1, 2, 3, 4, 5].map(i => style("--c" + i)), q: ["--p50", "--p90", "--p99"].map(style) };
}

function span() {
	const now = times[times.length - 1] || 0;
	return { now, from: now - Math.min(KEEP_MS, Math.max(LEAST_SPAN_MS, now - (times[0] || now))) };
}

/* Room to draw in, in CSS pixels, empty. */
function canvasOf(canvas) {
	const ratio = window.devicePixelRatio || 1, width = canvas.clientWidth, height = canvas.clientHeight;
	if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
		canvas.width = Math.round(width * ratio);
		canvas.height = Math.round(height * ratio);
	}
	const draw = canvas.getContext("2d");
	draw.setTransform(ratio, 0, 0, ratio, 0, 0);
	draw.clearRect(0, 0, width, height);
	draw.font = "11px system-ui, sans-serif";
	return { draw, width, height, left: 2, right: width - 2, top: 14, bottom: height - 16 };
}

function drawTimes(area, { now, from }) {
	const { draw, left, right, height } = area;
	draw.fillStyle = ink.soft;
	draw.textBaseline = "bottom";
	draw.textAlign = "left";
	draw.fillText(showAge(now - from) + " ago", left, height);
	draw.textAlign = "right";
	draw.fillText("now", right, height);
}

/* A number above @value that is round. */
function roof(value) {
	if (!(value > 0))
		return 1;
	const power = 10 ** Math.floor(Math.log10(value));
	return [1, 2, 2.5, 5, 10].map(step => step * power).find(step => step >= value * 1.02) || 10 * power;
}

function drawLines(canvas, lines, words) {
	const area = canvasOf(canvas), { draw, left, right, top, bottom } = area, range = span();
	let high = 0, low = 0;
	for (const line of lines)
		for (const value of line.values)
			if (value !== null) {
				high = Math.max(high, value);
				low = Math.min(low, value);
			}
	high = high === 0 && low < 0 ? 0 : roof(high);
	low = low < 0 ? -roof(-low) : 0;
	const x = at => left + (right - left) * (times[at] - range.from) / (range.now - range.from || 1);
	const y = value => bottom - (bottom - top) * (value - low) / (high - low || 1);
	draw.strokeStyle = ink.line;
	draw.lineWidth = 1;
	for (const value of [low, low < 0 ? 0 : (high + low) / 2, high]) {
		draw.beginPath();
		draw.moveTo(left, Math.round(y(value)) + .5);
		draw.lineTo(right, Math.round(y(value)) + .5);
		draw.stroke();
	}
	draw.fillStyle = ink.soft;
	draw.textBaseline = "bottom";
	draw.textAlign = "left";
	draw.fillText(words(high), left, y(high) - 1);
	if (low < 0)
		draw.fillText(words(low), left, y(low) - 1);
	drawTimes(area, range);
	for (let n = lines.length - 1; n >= 0; n--) {
		let open = false, last = null;
		const points = new Path2D();
		const filled = new Path2D();
		for (let at = 0; at < times.length; at++) {
			const value = lines[n].values[at];
			if (value === null || value === undefined || times[at] < range.from) {
				if (open)
					filled.lineTo(x(last), y(Math.max(low, 0)));
				open = false;
				continue;
			}
			if (!open) {
				points.moveTo(x(at), y(value));
				filled.moveTo(x(at), y(Math.max(low, 0)));
			}
			points.lineTo(x(at), y(value));
			filled.lineTo(x(at), y(value));
			open = true;
			last = at;
		}
		if (open)
			filled.lineTo(x(last), y(Math.max(low, 0)));
		const colour = ink.lines[n % ink.lines.length];
		if (lines.length === 1) {
			draw.globalAlpha = .12;
			draw.fillStyle = colour;
			draw.fill(filled);
			draw.globalAlpha = 1;
		}
		draw.strokeStyle = colour;
		draw.lineWidth = 1.75;
		draw.lineJoin = "round";
		draw.stroke(points);
		if (last !== null && open) {
			draw.fillStyle = colour;
			draw.beginPath();
			draw.arc(Math.min(x(last), right - 2), y(lines[n].values[last]), 2.5, 0, 7);
			draw.fill();
		}
	}
}

const TRAIL = 5; /* looks that a quantile's line is smoothed over */

function drawHeat(canvas, metric, list) {
	const area = canvasOf(canvas), { draw, left, right, top, bottom } = area, range = span(), bounds = metric.bounds;
	const columns = [];
	let most = 0, first = Infinity, last = -1;
	for (let at = 1; at < times.length; at++) {
		const counts = times[at] >= range.from ? bucketsBetween(list, at - 1, at) : null;
		columns[at] = counts;
		for (let i = 0; counts && i < counts.length; i++)
			if (counts[i]) {
				most = Math.max(most, counts[i] / (times[at] - times[at - 1]));
				first = Math.min(first, i);
				last = Math.max(last, i);
			}
	}
	drawTimes(area, range);
	if (last < 0) {
		draw.textAlign = "center";
		draw.textBaseline = "middle";
		draw.fillText(times.length < 3 ? "gathering" : "nothing recorded since this page was opened", (left + right) / 2, (top + bottom) / 2);
		return;
	}
	first = Math.max(0, first - 1);
	last = Math.min(bounds.length, last + 1);
	const rows = last - first + 1, tall = (bottom - top) / rows;
	const x = ms => left + (right - left) * (ms - range.from) / (range.now - range.from || 1);
	for (let at = 1; at < times.length; at++)
		for (let i = first; columns[at] && i <= last; i++) {
			if (!columns[at][i])
				continue;
			draw.fillStyle = `rgba(${ink.heat}, ${.14 + .86 * Math.sqrt(columns[at][i] / (times[at] - times[at - 1]) / most)})`;
			const from = x(times[at - 1]), to = x(times[at]);
			draw.fillRect(from, bottom - (i - first + 1) * tall + .5, Math.max(1, to - from - (to - from > 5 ? 1 : 0)), Math.max(1, tall - 1));
		}
	/* A value's height: its bucket, and its share of the way through it. */
	const y = value => {
		let i = bounds.findIndex(bound => value <= bound);
		i = i < 0 ? bounds.length : i;
		const low = i ? bounds[i - 1] : 0, high = bounds[i] ?? low, share = high > low ? (value - low) / (high - low) : .5;
		return bottom - (i - first + Math.min(1, Math.max(0, share))) * tall;
	};
	[.5, .9, .99].forEach((q, n) => {
		const points = new Path2D();
		let open = false;
		for (let at = 1; at < times.length; at++) {
			const counts = columns[at] && bucketsBetween(list, Math.max(0, at - TRAIL), at);
			const value = counts && quantile(bounds, counts, q);
			if (value === null || value === undefined) {
				open = false;
				continue;
			}
			points[open ? "lineTo" : "moveTo"](x(times[at]), y(value));
			open = true;
		}
		draw.strokeStyle = ink.q[n];
		draw.lineWidth = 1.5;
		draw.lineJoin = "round";
		draw.stroke(points);
	});
	draw.fillStyle = ink.soft;
	draw.textAlign = "left";
	draw.textBaseline = "bottom";
	draw.fillText(last < bounds.length ? "\u2264 " + show(bounds[last], metric.unit) : "> " + show(bounds[bounds.length - 1], metric.unit), left, top - 1);
	draw.textAlign = "right";
	draw.fillText("bottom \u2264 " + show(bounds[first] ?? 0, metric.unit), right, top - 1);
}

/* --- the parts of the page */

function setText(element, text) {
	if (element.textContent !== text)
		element.textContent = text;
}

/* Keep the children of @parent in step with @items: made once per key, changed each time, removed with their item. */
function keep(parent, items, keyOf, create, change) {
	const old = new Map([...parent.children].map(child => [child.dataset.key, child]));
	let place = parent.firstElementChild;
	for (const item of items) {
		const key = keyOf(item);
		let child = old.get(key);
		if (!child) {
			child = create(item);
			child.dataset.key = key;
		}
		old.delete(key);
		change(child, item);
		if (child === place)
			place = place.nextElementSibling;
		else
			parent.insertBefore(child, place);
	}
	for (const child of old.values())
		child.remove();
}

let eventsRate = null;

function showTiles(data) {
	const agent = data.agent, services = data.services.filter(service => !service.agent);
	const dropped = data.drops.reduce((sum, row) => sum + row.count, 0);
	const own = data.series.filter(row => !data.services[row.service].agent).length;
	const tiles = [
		["services", String(services.length), services.filter(service => service.processes).length + " alive"],
		["processes with probes", String(agent.processes ?? 0), ""],
		["series", own.toLocaleString("en"), agent.limits ? "room for " + agent.limits.series.limit.toLocaleString("en") : ""],
		["events", eventsRate === null ? "\u2013" : showRate(eventsRate, ""), ""],
		["dropped events", dropped.toLocaleString("en"), ""],
		["agent's CPU", agent.cpu_utilization === undefined ? "\u2013" : show(agent.cpu_utilization, "1"), "of all"],
		["agent's memory", show(agent.memory_bytes ?? null, "By"), agent.kernel_memory_bytes ? show(agent.kernel_memory_bytes, "By") + " in the kernel" : ""],
	];
	keep($("tiles"), tiles, tile => tile[0], tile => make("div", "", make("dt", "", tile[0], make("small")), make("dd")), (box, tile) => {
		setText(box.firstChild.lastChild, tile[2]);
		setText(box.lastChild, tile[1]);
	});
}

const WORDS = { noop: "Does nothing", no_probes: "No probes found", not_attached: "Not attached", excluded: "Left alone",
	no_hits: "Attached, no hits", dropped: "Dropped", overflow: "Too many series", export_failing: "Export fails" };

function showWhy(data) {
	const list = data.why.length ? data.why : [{ kind: "fine", severity: "fine", subject: "Nothing is missing",
		text: `${data.binaries.filter(binary => binary.attached).length} of ${data.binaries.length} binaries with probes are attached, ` +
			"every service has fired, nothing was dropped, and no export fails", remedy: "" }];
	keep($("why-list"), list, row => JSON.stringify([row.kind, row.subject, row.text]), row => make("li", "", make("p", "",
		make("b"), " ", make("span", "tag"), make("span")), make("p", "remedy")), (item, row) => {
		const [subject, , tag, text] = item.firstChild.childNodes;
		item.className = row.severity;
		setText(subject, row.subject);
		tag.hidden = !WORDS[row.kind];
		setText(tag, WORDS[row.kind] || "");
		setText(text, (WORDS[row.kind] ? " " : "\u2014 ") + row.text + ".");
		setText(item.lastChild, row.remedy ? "Remedy: " + row.remedy + "." : "");
	});
}

function table(rows, head) {
	const body = make("tbody");
	const whole = make("table", "", make("thead", "", make("tr", "", ...head.map((word, i) => make("th", i ? "number" : "", word)))), body);
	for (const row of rows)
		body.append(make("tr", "", ...row.map((cell, i) => make("td", i ? "number" : "", cell))));
	return whole;
}

function showServices(data) {
	const services = data.services.map((service, place) => ({ ...service, place })).filter(service => !service.agent)
		.sort((a, b) => b.processes - a.processes || a.name.localeCompare(b.name));
	const rates = new Map();
	for (const one of known.values()) {
		if (one.seen !== times.length || one.row.counts === undefined && data.metrics[one.row.metric].kind !== "counter")
			continue;
		const rate = rateAt(one, times.length - 1);
		if (rate !== null)
			rates.set(one.row.service, (rates.get(one.row.service) || 0) + rate);
	}
	eventsRate = times.length > 1 ? services.reduce((sum, service) => sum + (rates.get(service.place) || 0), 0) : null;
	const quiet = new Set(data.why.filter(row => row.kind === "no_hits").map(row => row.subject));
	const cards = [[$("services"), services.filter(service => service.processes)], [$("ended"), services.filter(service => !service.processes)]];
	$("ended-all").hidden = !cards[1][1].length;
	setText($("ended-all").firstElementChild, `${cards[1][1].length} that have ended, whose totals go on`);
	for (const [parent, some] of cards)
		keep(parent, some, service => service.name + "\n" + service.attributes["service.instance.id"],
		() => make("li", "card service", make("p", "name", make("span", "dot"), make("span")), make("p", "soft"), make("p", "soft mono"),
			make("details", "", make("summary", "", "Attributes and binaries"), make("div", "scroll"))), (card, service) => {
			const binaries = service.binaries.map(place => data.binaries[place]), missing = binaries.filter(binary => !binary.attached);
			const state = !service.processes ? "ended" : missing.length ? "not attached" : quiet.has(service.name) ? "attached, no hits yet" : "counting";
			card.firstChild.firstChild.className = "dot " + ({ counting: "good", "not attached": "bad" }[state] || (service.processes ? "warn" : ""));
			setText(card.firstChild.lastChild, service.name);
			setText(card.children[1], `${state} \u00b7 ${service.processes} process${service.processes === 1 ? "" : "es"}` +
				(eventsRate === null ? "" : ` \u00b7 ${showRate(rates.get(service.place) || 0, "")} events`));
			setText(card.children[2], service.pids.length ? "pid " + service.pids.slice(0, 6).join(", ") + (service.processes > 6 ? " \u2026" : "") : "");
			const rows = [...binaries.map(binary => [binary.path, binary.attached ? binary.sites + " sites" : binary.reason]),
				...Object.entries(service.attributes)];
			const text = JSON.stringify(rows);
			if (card.dataset.rows !== text) {
				card.dataset.rows = text;
				card.lastChild.lastChild.replaceChildren(table(rows, ["what", ""]));
			}
		});
	if (!cards[0][1].length)
		$("services").replaceChildren(make("li", "soft", "None is running now."));
	const select = $("service"), names = [...new Set(services.map(service => service.name))].sort();
	keep(select, ["", ...names], name => "o" + name, name => new Option(name || "All services", name), () => {});
}

function showExporters(data) {
	keep($("exporters"), data.exporters, row => row.name, () => make("li", "card", make("span", "dot"), make("b"), make("span", "soft")), (item, row) => {
		item.firstChild.className = "dot " + ({ ok: "good", failing: "bad" }[row.state] || "");
		setText(item.children[1], row.name);
		const last = row.last_unix_ms ? `, last ${showAge(Math.max(0, data.time_unix_ms - row.last_unix_ms))} ago` : "";
		setText(item.lastChild, `${row.target || ""} \u00b7 ${row.state === "starting" ? "nothing yet" : row.state}${row.error ? ": " + row.error : ""} \u00b7 ` +
			`${row.delivered.toLocaleString("en")} ${row.name === "prometheus" ? "scrapes" : "exports"}${row.failed ? `, ${row.failed.toLocaleString("en")} failed` : ""}${last}`);
	});
	if (!data.exporters.length)
		$("exporters").replaceChildren(make("li", "soft", "None."));
}

/* --- metrics */

const visible = new Set();
const watcher = new IntersectionObserver(entries => {
	for (const entry of entries) {
		visible[entry.isIntersecting ? "add" : "delete"](entry.target);
		if (entry.isIntersecting)
			drawCard(entry.target);
	}
}, { rootMargin: "200px" });

function labelText(metric, row) {
	if (row.overflow)
		return "all others";
	return metric.labels.map((label, i) => `${label}=${row.labels[i] === "" ? '""' : row.labels[i]}`).join(", ") || "no labels";
}

/* Metrics to show, each with its series: [{metric, list}] by scope. */
function chosen(data) {
	const words = $("search").value.toLowerCase().split(/\s+/).filter(Boolean), service = $("service").value, all = $("quiet").checked;
	const metrics = new Map();
	data.metrics.forEach((metric, place) => {
		const key = metricName(metric);
		if (!metrics.has(key))
			metrics.set(key, { metric, key, list: [], rows: [], fired: false });
		data.metrics[place].entry = metrics.get(key);
	});
	for (const row of data.series) {
		const owner = data.services[row.service];
		if (service && owner.name !== service)
			continue;
		const { entry } = data.metrics[row.metric];
		entry.rows.push(row);
		entry.fired = entry.fired || (row.counts ? row.count > 0 : true);
		const one = known.get(row.name);
		if (one)
			entry.list.push(one);
	}
	return [...metrics.values()].filter(({ metric, rows, fired }) => {
		if (!(fired || all) || (service && !rows.length && !all))
			return false;
		const text = [metric.name, metric.scope, metric.unit, metric.description, metric.kind, ...metric.labels,
			...rows.slice(0, 500).flatMap(row => row.labels)].join("\n").toLowerCase();
		return words.every(word => text.includes(word));
	});
}

/* The last number of a list that is one. */
function latest(values) {
	for (let i = values.length - 1; i >= Math.max(0, values.length - 2); i--)
		if (values[i] !== null && values[i] !== undefined)
			return values[i];
	return null;
}

function lineOf(metric, one) {
	return one.values.map((value, at) => metric.kind === "counter" ? rateAt(one, at) : value ? value.value : null);
}

function addUp(lines) {
	return times.map((_, at) => {
		let sum = null;
		for (const line of lines)
			if (line[at] !== null && line[at] !== undefined)
				sum = (sum || 0) + line[at];
		return sum;
	});
}

function cardMake() {
	const card = make("article", "card metric", make("div", "top", make("div", "", make("p", "name mono"), make("p", "about")),
		make("p", "now", make("b"), make("span"))), make("canvas"), make("div", "legend"),
		make("details", "", make("summary"), make("div", "scroll")));
	const canvas = card.children[1];
	canvas.setAttribute("role", "img");
	canvas.addEventListener("pointermove", event => tip(card, canvas, event));
	canvas.addEventListener("pointerleave", () => { $("tip").hidden = true; });
	card.lastChild.addEventListener("toggle", () => drawTable(card));
	watcher.observe(card);
	return card;
}

const KINDS = { counter: "counter", updowncounter: "up-down counter", gauge: "gauge", histogram: "histogram" };

function cardChange(card, entry) {
	const { metric } = entry, [words] = card.firstChild.children;
	card.entry = entry;
	if (words.firstChild.textContent !== metric.name)
		words.firstChild.replaceChildren(...metric.name.split(/(?<=[._])/).flatMap(part => [part, make("wbr")]));
	setText(words.lastChild, `${metric.description || "no description"} \u00b7 ${KINDS[metric.kind]}${metric.unit ? `, ${metric.unit}` : ""}`);
	setText(card.lastChild.firstChild, `${entry.rows.length.toLocaleString("en")} series` +
		(metric.labels.length ? ` by ${metric.labels.join(", ")}` : ""));
	/* The numbers of all cards, for who reads without seeing; of a very large host only those in sight. */
	if (visible.has(card) || snapshot.series.length < 4000)
		drawCard(card);
}

function legend(card, items) {
	keep(card.children[2], items.map((item, n) => [...item, n]), item => String(item[2]), () => make("span", "", make("i"), make("span")), (item, [colour, text]) => {
		item.firstChild.style.background = colour;
		setText(item.lastChild, text);
	});
}

function drawCard(card) {
	const { metric, list, rows } = card.entry, [big, small] = card.firstChild.lastChild.children, canvas = card.children[1];
	canvas.hidden = !rows.length;
	if (!rows.length) {
		setText(big, "\u2013");
		setText(small, "no data");
		legend(card, []);
		return;
	}
	if (metric.kind === "histogram") {
		const at = times.length - 1, fresh = at > 0 && bucketsBetween(list, 0, at);
		const whole = rows.reduce((sum, row) => row.counts.map((count, i) => count + (sum[i] || 0)), []);
		const recent = fresh && fresh.some(Boolean), counts = recent ? fresh : whole;
		const values = [.5, .9, .99].map(q => quantile(metric.bounds, counts, q));
		const total = rows.reduce((sum, row) => sum + row.count, 0);
		const rate = latest(addUp(list.map(one => one.values.map((_, i) => rateAt(one, i)))));
		setText(big, show(values[0], metric.unit));
		setText(small, `median \u00b7 ${rate === null ? total.toLocaleString("en") + " values" : showRate(rate, "")}`);
		if (visible.has(card))
			drawHeat(canvas, metric, list);
		legend(card, ["p50", "p90", "p99"].map((name, n) => [ink.q[n], `${name} ${show(values[n], metric.unit)}`]));
		canvas.setAttribute("aria-label", `Heatmap of ${metric.name}: ${total} values; ${recent ? "while this page is open" : "since the start"} ` +
			`median ${show(values[0], metric.unit)}, p90 ${show(values[1], metric.unit)}, p99 ${show(values[2], metric.unit)}`);
	} else {
		const isRate = metric.kind === "counter", text = value => isRate ? showRate(value, metric.unit) : show(value, metric.unit);
		const lines = list.map(one => ({ one, values: lineOf(metric, one) }));
		const mean = line => line.values.reduce((sum, value) => sum + Math.abs(value || 0), 0);
		const ranked = lines.map(line => [mean(line), line]).sort((a, b) => b[0] - a[0]).map(pair => pair[1]);
		const some = ranked.slice(0, MAX_LINES), sum = latest(addUp(lines.map(line => line.values)));
		const total = rows.reduce((all, row) => all + (row.value || 0), 0);
		setText(big, isRate ? showRate(sum, metric.unit) : metric.kind === "gauge" && rows.length > 1 ? String(rows.length) : show(total, metric.unit));
		setText(small, isRate ? show(total, metric.unit) + " in all" : metric.kind === "gauge" && rows.length > 1 ? "values" : "now");
		if (visible.has(card))
			drawLines(canvas, some, text);
		const many = new Set(rows.map(row => row.service)).size > 1;
		legend(card, lines.length > 1 || metric.labels.length ? some.map((line, n) => [ink.lines[n],
			(many ? snapshot.services[line.one.row.service].name + ": " : "") + labelText(metric, line.one.row)]).concat(lines.length > MAX_LINES ? [["transparent", `and ${lines.length - MAX_LINES} more`]] : []) : []);
		card.lines = some;
		canvas.setAttribute("aria-label", `${isRate ? "Rate" : "Value"} of ${metric.name} over time: now ${text(isRate ? sum : total)}`);
	}
	drawTable(card);
}

function drawTable(card) {
	const { metric, rows } = card.entry;
	if (!card.lastChild.open)
		return;
	const many = new Set(rows.map(row => row.service)).size > 1;
	const cells = rows.slice(0, MAX_ROWS).map(row => [(many ? snapshot.services[row.service].name + ": " : "") + labelText(metric, row),
		...(row.counts ? [row.count.toLocaleString("en"), ...["p50", "p90", "p99"].map(q => (row.above.includes(q) ? "> " : "") + show(row[q], metric.unit))] :
			[show(row.value, metric.unit)])]);
	card.lastChild.lastChild.replaceChildren(table(cells, ["series", ...(metric.kind === "histogram" ? ["count", "p50", "p90", "p99"] : ["value"])]));
	if (rows.length > MAX_ROWS)
		card.lastChild.lastChild.append(make("p", "soft", `and ${rows.length - MAX_ROWS} more`));
}

function tip(card, canvas, event) {
	const box = canvas.getBoundingClientRect(), range = span(), { metric, list } = card.entry, at = times.length < 2 ? -1 :
		nearest(range.from + (range.now - range.from) * (event.clientX - box.left) / box.width);
	const lines = [];
	if (at > 0 && metric.kind === "histogram") {
		const counts = bucketsBetween(list, at - 1, at);
		if (counts)
			lines.push(`${counts.reduce((sum, count) => sum + count, 0)} values`, ...[.5, .9, .99].map((q, n) =>
				`${["p50", "p90", "p99"][n]} ${show(quantile(metric.bounds, counts, q), metric.unit)}`));
	} else if (at >= 0) {
		for (const line of card.lines || [])
			if (line.values[at] !== null)
				lines.push(`${labelText(metric, line.one.row)}: ${metric.kind === "counter" ? showRate(line.values[at], metric.unit) :
					show(line.values[at], metric.unit)}`);
	}
	const element = $("tip");
	element.hidden = !lines.length;
	if (!lines.length)
		return;
	element.textContent = [new Date(times[at]).toLocaleTimeString(), ...lines].join("\n");
	element.style.left = Math.min(event.clientX + 14, window.innerWidth - element.offsetWidth - 8) + "px";
	element.style.top = Math.max(8, event.clientY - element.offsetHeight - 12) + "px";
}

function nearest(ms) {
	let best = 0;
	for (let at = 1; at < times.length; at++)
		if (Math.abs(times[at] - ms) < Math.abs(times[best] - ms))
			best = at;
	return best;
}

function showMetrics(data) {
	const entries = chosen(data), scopes = new Map();
	for (const entry of entries) {
		if (!scopes.has(entry.metric.scope))
			scopes.set(entry.metric.scope, []);
		scopes.get(entry.metric.scope).push(entry);
	}
	const last = scope => scope.startsWith("probemeter.agent") ? 1 : 0;
	const groups = [...scopes].sort((a, b) => last(a[0]) - last(b[0]) || a[0].localeCompare(b[0]));
	keep($("groups"), groups, group => group[0], group => make("section", "", make("h3", "", group[0] || "no scope"), make("div", "grid")),
		(section, group) => keep(section.lastChild, group[1].sort((a, b) => a.metric.name.localeCompare(b.metric.name)),
			entry => entry.key, cardMake, cardChange));
	const all = new Set(data.metrics.map(metricName)).size;
	setText($("found"), entries.length === all ? `${all} metrics` : `${entries.length} of ${all} metrics`);
}

/* --- all of it */

function render() {
	if (!snapshot)
		return;
	const { agent } = snapshot;
	setText($("where"), `${agent.host} \u00b7 version ${agent.version} \u00b7 up ${showAge(agent.uptime_ms)}` + (agent.way ? ` \u00b7 probes on the ${agent.way}` : ""));
	document.title = `${agent.host} \u2013 probemeter`;
	showServices(snapshot);
	showTiles(snapshot);
	showWhy(snapshot);
	showExporters(snapshot);
	showMetrics(snapshot);
}

function setState(name, text) {
	$("state").className = name;
	setText($("state-text"), text);
}

let paused = false, timer = null;

async function look() {
	const begun = performance.now();
	timer = null;
	try {
		const answer = await fetch("api/snapshot", { cache: "no-store" });
		if (!answer.ok)
			throw new Error(`the agent answers ${answer.status}`);
		const data = await answer.json();
		if (paused)
			return;
		if (snapshot && snapshot.agent.start_unix_ms !== data.agent.start_unix_ms) {
			times.length = 0;
			known.clear();
		}
		remember(data);
		snapshot = data;
		setState("live", data.agent.noop ? "does nothing" : "live");
		render();
	} catch (error) {
		setState("lost", error instanceof TypeError ? "the agent does not answer" : error.message);
	}
	/* A large host is looked at less often. */
	next(Math.max(EVERY_MS, 5 * (performance.now() - begun)));
}

function next(ms) {
	if (!paused && !document.hidden && timer === null)
		timer = setTimeout(look, ms);
}

function stop() {
	clearTimeout(timer);
	timer = null;
}

$("pause").addEventListener("click", () => {
	paused = !paused;
	$("pause").setAttribute("aria-pressed", String(paused));
	setText($("pause"), paused ? "Go on" : "Pause");
	if (paused) {
		stop();
		setState("", "paused");
	} else {
		next(0);
	}
});
/* Nobody sees it: nothing is asked. */
document.addEventListener("visibilitychange", () => document.hidden ? stop() : next(0));
for (const id of ["search", "service", "quiet"])
	$(id).addEventListener("input", render);
document.addEventListener("keydown", event => {
	if (event.key === "/" && !/^(INPUT|SELECT|TEXTAREA)$/.test(document.activeElement.tagName)) {
		event.preventDefault();
		$("search").focus();
	}
});
let resized = null;
window.addEventListener("resize", () => {
	clearTimeout(resized);
	resized = setTimeout(render, 100);
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
	readInk();
	render();
});
readInk();
look();
