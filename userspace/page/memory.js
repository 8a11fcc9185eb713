/*
 * memory.js - the last fifteen minutes: one list of times, and beside it one list of totals or values per line.
 *
 * A line is what is drawn as one: a series, or all series of a histogram in a service, as a heatmap has no labels. What was
 * before this page was opened comes from the agent (/api/history), then each look adds a column.
 */

const KEEP_MS = 15 * 60 * 1000, WINDOW_MS = 9500, MAX_KEPT = 3000;

const times = [];
const known = new Map(); /* lines by name: {values, rates, row, seen} */
let looks = 0, crowded = false;

function forgetAll() {
	times.length = looks = 0;
	known.clear();
	crowded = false;
}

/* So long without a look that nothing is known of the time between. */
const gapMs = data => Math.max(30000, 3 * data.agent.interval_ms);

function lineName(data, { service, metric, overflow, labels }, isHistogram) {
	const { name, attributes } = data.services[service], { scope, name: metricName, kind } = data.metrics[metric];
	return JSON.stringify([name, attributes["service.instance.id"], scope, metricName, kind, ...(isHistogram ? [] : [overflow, labels])]);
}

function metricName(metric) {
	return JSON.stringify([metric.scope, metric.name, metric.kind, metric.unit]);
}

/* Per second over the last ten seconds or so; null where a line is new or began anew. A total that falls did so too. */
function rateAt({ values }, at) {
	const now = values[at], size = value => value.counts ? value.count : value.value;
	const goesOn = before => before && before.start === now.start && size(before) <= size(now);
	let from = at - 1;
	if (!now || !goesOn(values[from]))
		return null;
	while (times[at] - times[from] < WINDOW_MS && goesOn(values[from - 1]))
		from--;
	return times[at] > times[from] ? (size(now) - size(values[from])) / (times[at] - times[from]) * 1000 : null;
}

const counts = (data, one) => one.row.counts || data.metrics[one.row.metric].kind === "counter";

/* What the lines of a snapshot are now, by name. */
function linesOf(data) {
	const lines = new Map();
	for (const row of data.series) {
		const name = row.name = lineName(data, row, row.counts), sum = row.counts && lines.get(name);
		if (sum) {
			sum.now.start = Math.min(sum.now.start, row.start_unix_ms);
			sum.now.count += row.count;
			row.counts.forEach((count, i) => { sum.now.counts[i] += count; });
		} else {
			lines.set(name, { row, now: row.counts ? { start: row.start_unix_ms, count: row.count, counts: [...row.counts] } :
				{ start: row.start_unix_ms, value: row.value } });
		}
	}
	return lines;
}

/* A column for a new moment; behind a gap, an empty one too. */
function column(ms, gap) {
	if (times.length && ms - times[times.length - 1] > gap)
		column(times[times.length - 1] + 1, gap);
	times.push(ms);
	for (const one of known.values()) {
		one.values.push(null);
		one.rates.push(null);
	}
}

function remember(data) {
	const lines = linesOf(data);
	column(data.time_unix_ms, gapMs(data));
	const at = times.length - 1;
	for (const [name, { row, now }] of lines) {
		let one = known.get(name);
		if (!one && known.size >= MAX_KEPT)
			crowded = true;
		else if (!one) {
			known.set(name, one = { row, values: new Array(times.length).fill(null), rates: new Array(times.length).fill(null) });
			/* It came up since the last look, at 0. */
			if (looks && !crowded && counts(data, one) && times[at] - times[at - 1] < gapMs(data))
				one.values[at - 1] = { start: now.start, value: 0, count: 0, counts: now.counts && now.counts.map(() => 0) };
		}
		if (!one)
			continue;
		one.row = row;
		one.seen = looks + 1;
		one.values[at] = now;
		if (counts(data, one))
			one.rates[at] = rateAt(one, at);
	}
	looks++;
	while (times[0] < data.time_unix_ms - KEEP_MS) {
		times.shift();
		for (const [name, one] of known) {
			one.values.shift();
			one.rates.shift();
			if (one.values.every(value => value === null))
				known.delete(name);
		}
	}
}

/* Totals at each moment, from the last one and what was new. Behind what is not known another stream begins. */
function totals(past, last, less) {
	const values = new Array(past.length);
	let now = last;
	for (let k = past.length - 1; k >= 0; k--) {
		values[k] = now;
		now = past[k] === null ? { ...now, start: "before " + k } : less(now, past[k]);
	}
	return values;
}

const sum = list => list.reduce((all, one) => all + one, 0);
const lessValue = (now, news) => ({ ...now, value: now.value - news });
const lessCounts = (now, news) => news.length ? { start: now.start, count: now.count - sum(news), counts: now.counts.map((count, i) => count - news[i]) } : now;

/* Begin with what the agent remembers. */
function recall(data) {
	forgetAll();
	if (!data.history)
		return;
	const moments = data.history.times_unix_ms, lines = linesOf(data), columns = [];
	moments.forEach((ms, k) => {
		if (ms >= data.time_unix_ms)
			return; /* that is this look */
		column(ms, gapMs(data));
		while (columns.length < times.length)
			columns.push(columns.length === times.length - 1 ? k : -1);
	});
	const put = (name, row, values) => {
		if (crowded ||= known.size >= MAX_KEPT)
			return;
		const one = { row, seen: 0, values: columns.map(k => k < 0 ? null : values[k]), rates: [] };
		known.set(name, one);
		one.rates = columns.map((_, at) => counts(data, one) ? rateAt(one, at) : null);
	};
	for (const row of data.series)
		if (row.past && row.past_total !== undefined)
			put(row.name, row, totals(row.past, { start: row.start_unix_ms, value: row.past_total }, lessValue));
		else if (row.past)
			put(row.name, row, row.past.map(value => value === null ? null : { start: row.start_unix_ms, value }));
	for (const { service, metric, past_totals: last, past } of data.history.histograms) {
		const name = lineName(data, { service, metric }, true), { row, now } = lines.get(name);
		put(name, row, totals(past, { start: now.start, count: sum(last), counts: last }, lessCounts));
	}
}

/* Values new in each bucket between columns @from and @to, over all of @list; null if none are known. */
function bucketsBetween(list, from, to) {
	let all = null;
	for (const { values } of list)
		for (let at = from + 1; at <= to; at++) {
			const now = values[at], before = values[at - 1];
			if (!now || !before || now.start !== before.start)
				continue;
			all = all || new Array(now.counts.length).fill(0);
			for (let i = 0; now.counts !== before.counts && i < all.length; i++)
				all[i] += Math.max(0, now.counts[i] - before.counts[i]);
		}
	return all;
}

function quantile(bounds, counts, q) {
	const total = sum(counts);
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

/* The last number of a list that is one. */
function latest(values) {
	for (let i = values.length - 1; i >= Math.max(0, values.length - 2); i--)
		if (values[i] !== null && values[i] !== undefined)
			return values[i];
	return null;
}

const lineOf = (metric, one) => metric.kind === "counter" ? one.rates : one.values.map(value => value ? value.value : null);

function addUp(lines) {
	return times.map((_, at) => {
		let all = null;
		for (const line of lines)
			if (line[at] !== null && line[at] !== undefined)
				all = (all || 0) + line[at];
		return all;
	});
}

/* The column nearest to a time; -1: there is none. */
function nearest(ms) {
	let best = times.length - 1;
	for (let at = 0; at < times.length; at++)
		if (Math.abs(times[at] - ms) < Math.abs(times[best] - ms))
			best = at;
	return best;
}
