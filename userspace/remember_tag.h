/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * remember_tag.h - the journal's records of what agents remember, as remember.c writes and remember_copy.c copies them.
 */
#ifndef PROBEMETER_REMEMBER_TAG_H
#define PROBEMETER_REMEMBER_TAG_H

/* For ever: a later agent may read them. Numbers are 64 bits wide, texts end with NUL. 16 to 31 are left for baselines
 * of delta streams, 32 is layout.c's. */
enum {
	TAG_METRIC = 1, /* id, start, kind, labels, bounds, scope, name, unit, description, labels.., bounds.. */
	TAG_RESOURCE, /* number, attributes, then key and value of each */
	TAG_SERVICE, /* the kernel's id, number of the resource */
	TAG_SEEN, /* number of the resource, metric, overflow, start, label values.. */
	TAG_SPILLED, /* the kernel's series id */
	TAG_OBJECT, /* number, device, inode, changed s, changed ns, size, catalogue, way, hash of the sites, path */
	TAG_OBJECT_GONE, /* number */
	TAG_NAMING, /* services_hash(); the services before it were named by others */
	TAG_SERVICE_FORGOTTEN, /* the kernel's id, which may become another service's */
	TAG_GONE, /* what was a TAG_SERVICE or a TAG_SEEN */
	TAG_TOLD, /* the latest time that any point carried */
	TAG_TRIMMED, /* id of a metric, trims_hash(): it is what those rules left of one */
};

/* Of the journal. Metrics may have all of it, and objects nearly. */
#define PERCENT_ALL 100
#define PERCENT_OBJECTS 90

#endif
