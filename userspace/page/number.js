/* number.js - numbers and times as people read them. */
"use strict";

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
		return (Math.abs(value) < .1 ? String(Math.round(value * 1e4) / 100) : digits(value * 100)) + " %";
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

