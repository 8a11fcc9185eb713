/* draw.js - lines and heatmaps on a canvas, with their axes. */

const LEAST_SPAN_MS = 60 * 1000, BIN_MS = 10000, MAX_LINES = 6, GUTTER = 44;
const STEPS_MS = [10, 15, 30, 60, 120, 300].map(seconds => seconds * 1000);

const style = name => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
let ink = {};

function readInk() {
	ink = { soft: style("--soft"), line: style("--line"), card: style("--card"), heat: style("--heat"),
		lines: [0, 1, 2, 3, 4, 5].map(i => style("--c" + i)), q: ["--p50", "--p90", "--p99"].map(style) };
}

function span() {
	const now = times[times.length - 1] || 0;
	return { now, from: now - Math.min(KEEP_MS, Math.max(LEAST_SPAN_MS, now - (times[0] || now))) };
}

/* Room to draw in, in CSS pixels, empty; on its left is place for @words. */
function areaOf(canvas, words) {
	const ratio = window.devicePixelRatio || 1, width = canvas.clientWidth, height = canvas.clientHeight;
	if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
		canvas.width = Math.round(width * ratio);
		canvas.height = Math.round(height * ratio);
	}
	const draw = canvas.getContext("2d");
	draw.setTransform(ratio, 0, 0, ratio, 0, 0);
	draw.clearRect(0, 0, width, height);
	draw.font = "11px system-ui, \"DejaVu Sans\", sans-serif";
	const left = Math.ceil(Math.max(GUTTER, ...words.map(word => draw.measureText(word).width))) + 8, right = width - 4, range = span();
	return { draw, left, right, top: 7, bottom: height - 20, height,
		x: ms => left + (right - left) * (ms - range.from) / (range.now - range.from || 1), ...range };
}

/* The share of the way from @from to @now at a place of the canvas. */
const timeAt = (area, x) => area.from + (area.now - area.from) * (x - area.left) / (area.right - area.left);

function drawAcross({ draw, left, right }, y, word) {
	const at = Math.round(y) + .5;
	draw.strokeStyle = ink.line;
	draw.lineWidth = 1;
	draw.beginPath();
	draw.moveTo(left, at);
	draw.lineTo(right, at);
	draw.stroke();
	draw.fillStyle = ink.soft;
	draw.textAlign = "right";
	draw.textBaseline = "middle";
	draw.fillText(word, left - 6, at);
}

/* Round times ago, from the right; one that would run into its neighbour is left out. */
function drawTimes({ draw, x, right, left, bottom, now, from }) {
	const step = STEPS_MS.find(ms => (now - from) / ms <= 4) || STEPS_MS[STEPS_MS.length - 1];
	draw.fillStyle = ink.soft;
	draw.strokeStyle = ink.line;
	draw.textBaseline = "alphabetic";
	for (let ago = 0; ago <= now - from; ago += step) {
		const at = x(now - ago), word = ago ? showAge(ago) : "now", half = draw.measureText(word).width / 2;
		draw.beginPath();
		draw.moveTo(Math.round(at) + .5, bottom);
		draw.lineTo(Math.round(at) + .5, bottom + 4);
		draw.stroke();
		draw.textAlign = ago === 0 ? "right" : at - half < left ? "left" : "center";
		draw.fillText(ago && at - half < left ? word + " ago" : word, ago ? at : right, bottom + 16);
	}
}

/* A number above @value that is round. */
function roof(value) {
	if (!(value > 0))
		return 1;
	const power = 10 ** Math.floor(Math.log10(value));
	return [1, 1.5, 2, 3, 4, 5, 6, 8, 10].map(step => step * power).find(step => step >= value * 1.02) || 20 * power;
}

/* A line stands out from what is below it. */
function drawLine(draw, points, colour, width) {
	draw.lineJoin = draw.lineCap = "round";
	draw.strokeStyle = ink.card;
	draw.lineWidth = width + 2;
	draw.stroke(points);
	draw.strokeStyle = colour;
	draw.lineWidth = width;
	draw.stroke(points);
}

/* Runs of columns that have a value and are in sight. */
function runsOf(values, from) {
	const runs = [];
	let run = null;
	values.forEach((value, at) => {
		if (value === null || value === undefined || times[at] < from)
			run = null;
		else if (run)
			run.push(at);
		else
			runs.push(run = [at]);
	});
	return runs;
}

function drawLines(canvas, lines, words) {
	const seen = lines.flatMap(line => line.values.filter(value => value !== null && value !== undefined));
	const most = seen.reduce((a, b) => Math.max(a, b), 0), least = seen.reduce((a, b) => Math.min(a, b), 0);
	const high = most === 0 && least < 0 ? 0 : roof(most), low = least < 0 ? -roof(-least) : 0;
	const marks = [low, low < 0 && high > 0 ? 0 : (high + low) / 2, high];
	const area = areaOf(canvas, marks.map(words)), { draw, top, bottom, x } = area;
	const y = value => bottom - (bottom - top) * (value - low) / (high - low || 1);
	for (const mark of marks)
		drawAcross(area, y(mark), words(mark));
	drawTimes(area);
	for (let n = lines.length - 1; n >= 0; n--) {
		const { values } = lines[n], colour = ink.lines[n % ink.lines.length], points = new Path2D(), below = new Path2D();
		for (const run of runsOf(values, area.from)) {
			/* One moment alone is seen, too. */
			points.moveTo(x(times[run[0]]) - (run.length > 1 ? 0 : 2), y(values[run[0]]));
			below.moveTo(x(times[run[0]]), y(0));
			for (const at of run) {
				points.lineTo(x(times[at]), y(values[at]));
				below.lineTo(x(times[at]), y(values[at]));
			}
			below.lineTo(x(times[run[run.length - 1]]), y(0));
		}
		if (lines.length === 1) {
			draw.globalAlpha = .12;
			draw.fillStyle = colour;
			draw.fill(below);
			draw.globalAlpha = 1;
		}
		drawLine(draw, points, colour, 1.75);
		const last = values[times.length - 1];
		if (last !== null && last !== undefined) {
			draw.fillStyle = colour;
			draw.beginPath();
			draw.arc(x(area.now), y(last), 3, 0, 7);
			draw.fill();
		}
	}
	return area;
}

/* Looks in bins of ten seconds, that stand still while time goes by: [{from, to, counts}], each from column to column. */
function binsOf(list, from) {
	const bins = [];
	for (let at = 1; at < times.length; at++) {
		const counts = times[at] >= from ? bucketsBetween(list, at - 1, at) : null, last = bins[bins.length - 1];
		if (!counts)
			continue;
		if (last && last.to === at - 1 && Math.floor(times[at] / BIN_MS) === Math.floor(times[last.to] / BIN_MS)) {
			last.to = at;
			last.counts = last.counts.map((count, i) => count + counts[i]);
		} else {
			bins.push({ from: at - 1, to: at, counts });
		}
	}
	/* One that has just begun has not yet what it will have. */
	for (const bin of bins)
		bin.seconds = Math.max(times[bin.to] - times[bin.from], BIN_MS) / 1000;
	return bins;
}

/* Return: the most values per second that a cell stands for; 0: there are none. */
function drawHeat(canvas, metric, list) {
	const { bounds, unit } = metric, { from } = span(), bins = binsOf(list, from);
	const used = bins.flatMap(bin => bin.counts.flatMap((count, i) => count ? [i] : []));
	const most = Math.max(0, ...bins.map(bin => Math.max(...bin.counts) / bin.seconds));
	if (!used.length) {
		const area = areaOf(canvas, []), { draw, left, right, top, bottom } = area;
		drawTimes(area);
		draw.textAlign = "center";
		draw.textBaseline = "middle";
		draw.fillText(times.length < 3 ? "gathering" : "nothing was recorded in this time", (left + right) / 2, (top + bottom) / 2);
		area.most = 0;
		return area;
	}
	const first = Math.max(0, Math.min(...used) - 1), last = Math.min(bounds.length, Math.max(...used) + 1), rows = last - first + 1;
	/* Bounds lie between rows; three of them are named. */
	const marks = [...new Set([first, Math.round((first + last - 1) / 2), last - 1])].filter(i => i >= first && i < bounds.length);
	const area = areaOf(canvas, marks.map(i => show(bounds[i], unit))), { draw, top, bottom, x } = area, tall = (bottom - top) / rows;
	for (const i of marks)
		drawAcross(area, bottom - (i - first + 1) * tall, show(bounds[i], unit));
	drawTimes(area);
	for (const { from: a, to: b, counts, seconds } of bins) {
		const begin = Math.max(area.left, x(times[a])), wide = x(times[b]) - begin;
		for (let i = first; i <= last; i++) {
			if (!counts[i])
				continue;
			draw.fillStyle = `rgba(${ink.heat}, ${.16 + .84 * Math.sqrt(counts[i] / seconds / most)})`;
			draw.fillRect(begin, bottom - (i - first + 1) * tall + 1, Math.max(1, wide - (wide > 4 ? .75 : 0)), Math.max(1, tall - 1));
		}
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
		let end = -1;
		for (const { from: a, to: b, counts } of bins) {
			/* A bin that has just begun has too few values to tell. */
			const value = quantile(bounds, times[b] - times[a] < BIN_MS / 2 && a ? bucketsBetween(list, Math.max(0, a - 4), b) : counts, q);
			if (value === null)
				continue;
			if (end !== a)
				points.moveTo(Math.max(area.left, x(times[a])), y(value));
			points.lineTo(x(times[b]), y(value));
			end = b;
		}
		drawLine(draw, points, ink.q[n], 1.75);
	});
	area.most = most;
	return area;
}
