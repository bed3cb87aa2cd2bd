/* SPDX-License-Identifier: BSD-3-Clause
 *
 * http_job - answers that come later, as the connection sees them; what routes call is in http_route.h. On the
 * listener's thread.
 */
#ifndef TAGCACHED_HTTP_HTTP_JOB_H
#define TAGCACHED_HTTP_HTTP_JOB_H

struct http_session;

/* The connection closes: lets go of its job, if it has one. */
void http_job_abandon(struct http_session *s);

#endif
