// SPDX-License-Identifier: BSD-2-Clause
// manifest.cjs - holds Kubernetes objects against the schemas of Kubernetes' own API, as kubernetes-models from npm has them.
//
// Reads a JSON list of objects from stdin; prints a JSON list of what is wrong with each, null if nothing. scripts/tools.sh
// package brings the schemas.
"use strict";
const path = require("path");
const models = path.resolve(__dirname, "../../build/tools/npm-package/node_modules/kubernetes-models");

function complaint(object) {
	const model = require(path.join(models, object.apiVersion))[object.kind];

	try {
		new model(object).validate();
		return null;
	} catch (error) {
		return error.message;
	}
}

const objects = JSON.parse(require("fs").readFileSync(0, "utf8"));
process.stdout.write(JSON.stringify(objects.map(complaint)) + "\n");
