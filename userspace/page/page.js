/*
 * page.js - the live page: asks the agent, remembers (memory.js), shows words and numbers (number.js), draws (draw.js).
 *
 * Whatever comes from a service is a stranger's text: it is only ever put in as text, never as markup.
 */
const EVERY_MS = 2000, MAX_ROWS = 200;

let snapshot = null; /* the last one */

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

/* What is left alone has processes, and no name. */
const isService = service => !service.agent && service.name !== "";

let eventsRate = null;

function showTiles(data) {
	const agent = data.agent, services = data.services.filter(isService);
	const dropped = data.drops.reduce((sum, row) => sum + row.count, 0);
	const own = data.series.filter(row => !data.services[row.service].agent).length;
	const tiles = [
		["services", String(services.length), services.filter(service => service.processes).length + " alive"],
		["processes", String(agent.processes ?? 0), "with probes"],
		["series", own.toLocaleString("en"), agent.limits ? "room for " + agent.limits.series.limit.toLocaleString("en") : ""],
		["events now", eventsRate === null ? "\u2013" : showRate(eventsRate, ""), ""],
		["events dropped", dropped.toLocaleString("en"), dropped ? "see why" : ""],
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

/* What may be too long; scrolled by keys, too. */
function scroller(name) {
	const box = make("div", "scroll");
	box.tabIndex = 0;
	box.setAttribute("role", "group");
	box.setAttribute("aria-label", name);
	return box;
}

function table(rows, head) {
	const body = make("tbody");
	const whole = make("table", "", make("thead", "", make("tr", "", ...head.map((word, i) => make("th", i ? "number" : "", word)))), body);
	for (const row of rows)
		body.append(make("tr", "", ...row.map((cell, i) => make("td", i ? "number" : "", cell))));
	return whole;
}

function showServices(data) {
	const services = data.services.map((service, place) => ({ ...service, place })).filter(isService)
		.sort((a, b) => b.processes - a.processes || a.name.localeCompare(b.name));
	const rates = new Map();
	for (const one of known.values()) {
		if (one.seen !== looks)
			continue;
		const rate = one.rates[times.length - 1];
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
			make("details", "", make("summary", "", "Attributes and binaries"), scroller("attributes and binaries"))), (card, service) => {
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
				card.lastChild.lastChild.replaceChildren(table(rows, ["what", "is"]));
			}
		});
	if (!cards[0][1].length)
		$("services").replaceChildren(make("li", "soft", "None is running now."));
	const select = $("service"), names = [...new Set(services.map(service => service.name))].sort();
	keep(select, ["", ...names], name => "o" + name, name => new Option(name || "All services", name), () => {});
}

function showExporters(data) {
	keep($("exporters"), data.exporters, row => row.name, () => make("li", "card", make("span", "dot"), make("b"), make("span", "soft")), (item, row) => {
		item.firstChild.className = "dot " + ({ ok: "good", listening: "good", failing: "bad" }[row.state] || "");
		setText(item.children[1], row.name);
		const last = row.last_unix_ms ? `, last ${showAge(Math.max(0, data.time_unix_ms - row.last_unix_ms))} ago` : "";
		setText(item.lastChild, `${row.target || ""} \u00b7 ${{ starting: "nothing yet", listening: "listening, not scraped yet" }[row.state] || row.state}${row.error ? ": " + row.error : ""} \u00b7 ` +
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

/* Metrics to show, each with its series and their lines. */
function chosen(data) {
	const words = $("search").value.toLowerCase().split(/\s+/).filter(Boolean), service = $("service").value, all = $("quiet").checked;
	const metrics = new Map();
	data.metrics.forEach((metric, place) => {
		const key = metricName(metric);
		if (!metrics.has(key))
			metrics.set(key, { metric, key, lines: new Set(), rows: [], fired: false });
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
			entry.lines.add(one);
	}
	return [...metrics.values()].filter(({ metric, rows, fired }) => {
		if (!(fired || all) || (service && !rows.length && !all))
			return false;
		const text = [metric.name, metric.scope, metric.unit, metric.description, metric.kind, ...metric.labels,
			...rows.slice(0, 500).flatMap(row => row.labels)].join("\n").toLowerCase();
		return words.every(word => text.includes(word));
	});
}

function cardMake() {
	const card = make("article", "card metric", make("div", "top", make("div", "", make("p", "name mono"), make("p", "about")),
		make("p", "now", make("b"), make("span"))), make("canvas"), make("div", "legend"),
		make("details", "", make("summary"), scroller("series")));
	const canvas = card.children[1];
	canvas.setAttribute("role", "img");
	canvas.tabIndex = 0;
	canvas.addEventListener("pointermove", event => point(card, card.area ? nearest(timeAt(card.area, event.offsetX)) : -1));
	canvas.addEventListener("keydown", event => walk(card, event));
	for (const name of ["pointerleave", "blur"])
		canvas.addEventListener(name, () => point(card, -1));
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
	keep(card.children[2], items.map((item, n) => [...item.slice(0, 2), n, item[2] || ""]), item => item[2] + item[3],
		item => make("span", item[3], make("i"), make("span")), (item, [colour, text]) => {
			item.firstChild.style.background = colour;
			setText(item.lastChild, text);
		});
}

function drawCard(card) {
	const { metric, rows } = card.entry, list = [...card.entry.lines], canvas = card.children[1];
	const [big, small] = card.firstChild.lastChild.children;
	canvas.hidden = !rows.length;
	card.shown = [];
	if (!rows.length) {
		setText(big, "\u2013");
		setText(small, "no data");
		legend(card, []);
		return;
	}
	const spanText = showAge(span().now - span().from);
	if (metric.kind === "histogram") {
		const fresh = bucketsBetween(list, 0, times.length - 1);
		const whole = rows.reduce((all, row) => row.counts.map((count, i) => count + (all[i] || 0)), []);
		const recent = fresh && fresh.some(Boolean), counts = recent ? fresh : whole;
		const values = [.5, .9, .99].map(q => quantile(metric.bounds, counts, q));
		const total = rows.reduce((all, row) => all + row.count, 0), rate = latest(addUp(list.map(one => one.rates)));
		setText(big, show(values[0], metric.unit));
		setText(small, `median \u00b7 ${rate === null ? total.toLocaleString("en") + " values" : showRate(rate, "")}`);
		if (visible.has(card))
			card.area = drawHeat(canvas, metric, list);
		const most = card.area ? card.area.most : 0;
		legend(card, ["p50", "p90", "p99"].map((name, n) => [ink.q[n], `${name} ${show(values[n], metric.unit)}`])
			.concat(most ? [[`linear-gradient(90deg, rgba(${ink.heat}, .16), rgb(${ink.heat}))`, `up to ${showRate(most, "")}`, "ramp"]] : []));
		canvas.setAttribute("aria-label", `Heatmap of ${metric.name}: ${total} values; ${recent ? "in the last " + spanText : "since the start"} ` +
			`median ${show(values[0], metric.unit)}, p90 ${show(values[1], metric.unit)}, p99 ${show(values[2], metric.unit)}`);
	} else {
		const isRate = metric.kind === "counter", text = value => isRate ? showRate(value, metric.unit) : show(value, metric.unit);
		const lines = list.map(one => ({ one, values: lineOf(metric, one) }));
		const size = line => line.values.reduce((all, value) => all + Math.abs(value || 0), 0);
		const ranked = lines.map(line => [size(line), line]).sort((a, b) => b[0] - a[0]).map(pair => pair[1]);
		const some = card.shown = ranked.slice(0, MAX_LINES), now = latest(addUp(lines.map(line => line.values)));
		const total = rows.reduce((all, row) => all + (row.value || 0), 0), many = metric.kind === "gauge" && rows.length > 1;
		setText(big, isRate ? showRate(now, metric.unit) : many ? String(rows.length) : show(total, metric.unit));
		setText(small, isRate ? show(total, metric.unit) + " in all" : many ? "values" : "now");
		if (visible.has(card))
			card.area = drawLines(canvas, some, text);
		legend(card, lines.length > 1 || metric.labels.length ? some.map((line, n) => [ink.lines[n], rowText(card, line.one.row)])
			.concat(lines.length > MAX_LINES ? [["transparent", `and ${lines.length - MAX_LINES} more`]] : []) : []);
		canvas.setAttribute("aria-label", `${isRate ? "Rate" : "Value"} of ${metric.name} over ${spanText}: now ${text(isRate ? now : total)}` +
			(some.length > 1 ? "; " + some.map(line => `${rowText(card, line.one.row)} ${text(latest(line.values))}`).join(", ") : ""));
	}
	drawTable(card);
}

/* A series' labels, with its service where there are several. */
function rowText({ entry: { metric, rows } }, row) {
	const services = new Set(rows.map(other => other.service));
	return (services.size > 1 ? snapshot.services[row.service].name + ": " : "") + labelText(metric, row);
}

function drawTable(card) {
	const { metric, rows } = card.entry;
	if (!card.lastChild.open)
		return;
	const cells = rows.slice(0, MAX_ROWS).map(row => [rowText(card, row),
		...(row.counts ? [row.count.toLocaleString("en"), ...["p50", "p90", "p99"].map(q => (row.above.includes(q) ? "> " : "") + show(row[q], metric.unit))] :
			[show(row.value, metric.unit)])]);
	card.lastChild.lastChild.replaceChildren(table(cells, ["series", ...(metric.kind === "histogram" ? ["count", "p50", "p90", "p99"] : ["value"])]));
	if (rows.length > MAX_ROWS)
		card.lastChild.lastChild.append(make("p", "soft", `and ${rows.length - MAX_ROWS} more`));
}

/* What a chart says about one moment. */
function wordsAt(card, at) {
	const { metric, lines: list } = card.entry, lines = [];
	if (at > 0 && metric.kind === "histogram") {
		let from = at - 1;
		while (from > 0 && times[at] - times[from] < WINDOW_MS)
			from--;
		const counts = bucketsBetween([...list], from, at);
		if (counts)
			lines.push(`${sum(counts).toLocaleString("en")} values in ${showAge(times[at] - times[from])}`, ...[.5, .9, .99].map((q, n) =>
				`${["p50", "p90", "p99"][n]} ${show(quantile(metric.bounds, counts, q), metric.unit)}`));
	} else if (at >= 0) {
		for (const { one, values } of card.shown)
			if (values[at] !== null && values[at] !== undefined)
				lines.push(`${labelText(metric, one.row)}: ${metric.kind === "counter" ? showRate(values[at], metric.unit) : show(values[at], metric.unit)}`);
	}
	return lines;
}

/* Point at a moment of a chart; -1: at none. */
function point(card, at) {
	card.ms = undefined;
	const box = card.children[1].getBoundingClientRect(), lines = at < 0 ? [] : wordsAt(card, at), tip = $("tip"), cursor = $("cursor");
	tip.hidden = cursor.hidden = !lines.length;
	if (tip.hidden)
		return;
	const x = box.left + card.area.x(times[at]);
	setText(tip, [new Date(times[at]).toLocaleTimeString(), ...lines].join("\n"));
	tip.style.left = (x + 12 + tip.offsetWidth < window.innerWidth - 8 ? x + 12 : Math.max(8, x - 12 - tip.offsetWidth)) + "px";
	tip.style.top = Math.max(8, Math.min(box.top + 8, window.innerHeight - tip.offsetHeight - 8)) + "px";
	cursor.style.left = x + "px";
	cursor.style.top = box.top + card.area.top + "px";
	cursor.style.height = card.area.bottom - card.area.top + "px";
}

/* By arrow keys from moment to moment. */
function walk(card, event) {
	const step = { ArrowLeft: -1, ArrowRight: 1, Home: -times.length, End: times.length, Escape: 0 }[event.key];
	if (step === undefined || !card.area)
		return;
	event.preventDefault();
	const before = card.ms === undefined ? times.length : nearest(card.ms);
	const from = nearest(card.area.from);
	let at = step ? Math.max(from, Math.min(times.length - 1, before + step)) : -1;
	/* The newest moment may not be drawn yet, and gaps have nothing to say: on to the next one that does. */
	while (at > from && !wordsAt(card, at).length)
		at--;
	point(card, at);
	card.ms = times[at];
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

let paused = false, timer = null, lastMs = 0;

async function look() {
	const begun = performance.now();
	/* After a while without a look the agent knows more than we do. */
	const fresh = !snapshot || Date.now() - lastMs > gapMs(snapshot);
	timer = null;
	try {
		const answer = await fetch(fresh ? "api/history" : "api/snapshot", { cache: "no-store" });
		if (!answer.ok)
			throw new Error(`the agent answers ${answer.status}`);
		const data = await answer.json();
		if (paused)
			return;
		if (fresh)
			recall(data);
		remember(data);
		snapshot = data;
		lastMs = Date.now();
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
