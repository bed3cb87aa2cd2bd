/* SPDX-License-Identifier: BSD-3-Clause
 *
 * handing - waiting until a node has handed over, or got, the items of keys that move, with a bar on a terminal.
 */
#ifndef TAGCACHED_TAGCTL_HANDING_H
#define TAGCACHED_TAGCTL_HANDING_H

struct ctl;

/* Asks the node of this name, again and again, until it goes by this version of the configuration (NAN: any) and
 * nothing of it moves any more, or it is no member any more: as long as that takes. */
int handing_wait(struct ctl *c, const char *name, double version);

#endif
