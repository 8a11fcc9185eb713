/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * serve.c - an HTTP server for whoever looks at the agent.
 *
 * Consumes requests of strangers, and finished bytes from the main thread; produces answers. One thread drives all of it:
 * libmicrohttpd keeps an epoll descriptor per socket, and this file polls those. Somebody who is slow, or never reads
 * what he asked for, therefore holds up nobody but himself. What strangers can take is bounded: connections, bytes of
 * a request's head, the time from one answer to the next, bytes that wait to be read, and how often the main thread
 * works for them. While nobody is connected the thread sleeps without a timer.
 */
#include "serve.h"

#include <errno.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include <utlist.h>

#include "gzip.h"
#include "listen.h"
#include "negotiate.h"
#include "page.h"

#define SERVE_SOCKETS 2
#define SERVE_CONNECTIONS 64 /* of one socket */
#define SERVE_HEAD_BYTES 32768 /* of one connection: its request line and headers */
#define SERVE_IDLE_S 10 /* without a byte */
#define SERVE_REQUEST_NS 30000000000ull /* from one answer, fully read, to the next */
#define SERVE_WAIT_NS 5000000000ull /* for the main thread */
#define SERVE_HELD_BYTES ((size_t)64 << 20) /* of answers that are not read yet */
#define SERVE_PACK_BYTES 1024 /* smaller answers are not worth packing */
#define SERVE_SPACING_NS 20000000ull /* between two collections, and at least */
#define SERVE_SPACING_TIMES 4 /* what the last one took */

/* Finished bytes, on their way to any number of readers. */
struct page {
	struct serve *serve;
	unsigned references;
	uint64_t take; /* number of the serve_take() that it answers */
	uint8_t *bytes; /* NULL: none to be had */
	size_t size;
	uint8_t *packed; /* by gzip; NULL: nobody has asked for that */
	size_t packed_size;
};

enum state { STATE_NEW, STATE_WAITING, STATE_ANSWERED, STATE_EXPIRED };

/* A request, as long as the server works at it. */
struct request {
	struct request *prev, *next; /* of those that wait */
	struct MHD_Connection *connection;
	enum state state;
	enum serve_what what;
	uint64_t asked; /* serve_take()s before it asked */
	uint64_t until_ns;
	struct page *page;
};

/* A client. */
struct client {
	struct client *prev, *next;
	int fd;
	uint64_t since_ns; /* connected, or had its last answer */
};

struct side {
	struct serve *serve;
	struct MHD_Daemon *daemon;
	bool is_unix, is_loopback;
};

struct serve {
	struct side side[SERVE_SOCKETS];
	size_t sides;
	int ask_fd, wake_fd;
	pthread_t thread;
	bool running;
	atomic_bool ready;
	/* The server thread's own. */
	struct request *waiting;
	struct client *clients;
	size_t held_bytes;
	/* The main thread's own. */
	uint64_t taken_ns, next_ns;
	/* Shared. */
	pthread_mutex_t lock;
	unsigned wanted;
	uint64_t takes;
	struct page *given[SERVE_WHATS];
	bool ending;
};

static uint64_t now(void)
{
	struct timespec time;

	(void)clock_gettime(CLOCK_MONOTONIC, &time);
	return (uint64_t)time.tv_sec * 1000000000ull + (uint64_t)time.tv_nsec;
}

static void page_release(void *at)
{
	struct page *page = at;

	if (!page || --page->references)
		return;
	page->serve->held_bytes -= page->size + page->packed_size;
	free(page->bytes);
	free(page->packed);
	free(page);
}

/* --- what is answered, and to whom */

enum method { METHOD_GET, METHOD_POST };
enum { ROUTE_PAGE = -1, ROUTE_READY = -2 };

static const struct route {
	const char *path;
	enum method method;
	int what; /* enum serve_what, or below: answered here */
} routes[] = {
	{ "/", METHOD_GET, ROUTE_PAGE },
	{ "/metrics", METHOD_GET, SERVE_TEXT },
	{ "/healthz", METHOD_GET, SERVE_PING },
	{ "/readyz", METHOD_GET, ROUTE_READY },
	{ "/api/snapshot", METHOD_GET, SERVE_SNAPSHOT },
	{ "/api/history", METHOD_GET, SERVE_HISTORY },
	{ "/api/stop", METHOD_POST, SERVE_STOP },
};

/* Of the bytes of an answer; NULL: it has none, and "ok" is said. */
static const char *const types[SERVE_WHATS] = {
	[SERVE_SNAPSHOT] = "application/json",
	[SERVE_HISTORY] = "application/json",
	[SERVE_TEXT] = "text/plain; version=0.0.4; charset=utf-8",
	[SERVE_TEXT_PACKED] = "text/plain; version=0.0.4; charset=utf-8",
	[SERVE_OPENMETRICS] = "application/openmetrics-text; version=1.0.0; charset=utf-8",
	[SERVE_OPENMETRICS_PACKED] = "application/openmetrics-text; version=1.0.0; charset=utf-8",
};

/* Pages of metrics may be large, and come as they leave: by format, and whether packed. */
static const enum serve_what metrics[2][2] = {
	{ SERVE_TEXT, SERVE_TEXT_PACKED },
	{ SERVE_OPENMETRICS, SERVE_OPENMETRICS_PACKED },
};

static bool comes_packed(enum serve_what what)
{
	return what == SERVE_TEXT_PACKED || what == SERVE_OPENMETRICS_PACKED;
}

static const char *header(struct MHD_Connection *connection, const char *name)
{
	return MHD_lookup_connection_value(connection, MHD_HEADER_KIND, name);
}

static const struct route *route_of(const char *path)
{
	size_t i;

	for (i = 0; i < sizeof(routes) / sizeof(routes[0]); i++)
		if (!strcmp(routes[i].path, path))
			return &routes[i];
	return NULL;
}

static enum MHD_Result queue(struct MHD_Connection *connection, unsigned status, const char *type,
			     struct MHD_Response *response)
{
	enum MHD_Result done;

	if (!response)
		return MHD_NO;
	(void)MHD_add_response_header(response, "Content-Type", type);
	(void)MHD_add_response_header(response, "Cache-Control", "no-store");
	(void)MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
	(void)MHD_add_response_header(response, "Referrer-Policy", "no-referrer");
	if (status == MHD_HTTP_SERVICE_UNAVAILABLE)
		(void)MHD_add_response_header(response, "Retry-After", "1");
	if (status == MHD_HTTP_METHOD_NOT_ALLOWED)
		(void)MHD_add_response_header(response, "Allow", "GET, HEAD");
	done = MHD_queue_response(connection, status, response);
	MHD_destroy_response(response);
	return done;
}

static enum MHD_Result say(struct MHD_Connection *connection, unsigned status, const char *text)
{
	return queue(connection, status, "text/plain; charset=utf-8",
		     MHD_create_response_from_buffer(strlen(text), (void *)text, MHD_RESPMEM_PERSISTENT));
}

static enum MHD_Result show_page(struct MHD_Connection *connection)
{
	struct MHD_Response *response;
	const void *bytes;
	size_t size;

	bytes = page_bytes(&size);
	response = MHD_create_response_from_buffer(size, (void *)bytes, MHD_RESPMEM_PERSISTENT);
	if (response)
		(void)MHD_add_response_header(response, "Content-Security-Policy", page_policy);
	return queue(connection, MHD_HTTP_OK, "text/html; charset=utf-8", response);
}

/* A page that the user's own browser fetched for another site by a name that suddenly means this host has that name as its
 * Host. At a loopback address nobody needs a name but localhost. */
static bool host_is_ours(struct MHD_Connection *connection)
{
	const char *host = header(connection, "Host");
	size_t name;

	if (!host || *host == '[')
		return true;
	name = strcspn(host, ":");
	return strspn(host, "0123456789.") == name || (name == 9 && !strncasecmp(host, "localhost", 9));
}

/* May this peer tell the agent what to do? Only over the Unix socket, and only root and the agent's own user. */
static bool may_command(const struct side *side, struct MHD_Connection *connection)
{
	const union MHD_ConnectionInfo *info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
	struct ucred peer = { .uid = (uid_t)-1 };
	socklen_t length = sizeof(peer);

	return side->is_unix && info && !getsockopt(info->connect_fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) &&
	       (peer.uid == 0 || peer.uid == geteuid());
}

/* Requests have no bodies here; one that has is not read. */
static bool has_body(struct MHD_Connection *connection)
{
	const char *length = header(connection, "Content-Length");

	return header(connection, "Transfer-Encoding") || (length && strcmp(length, "0"));
}

/* What is wrong with a request, and its status; NULL: nothing. */
static const char *refusal(const struct side *side, struct MHD_Connection *connection, const struct route *route,
			   const char *method, unsigned *ret_status)
{
	bool posts = !strcmp(method, "POST");
	const struct {
		bool holds;
		unsigned status;
		const char *text;
	} rules[] = {
		{ side->is_loopback && !host_is_ours(connection), MHD_HTTP_MISDIRECTED_REQUEST,
		  "this page is served by address, or as localhost\n" },
		{ has_body(connection), MHD_HTTP_CONTENT_TOO_LARGE, "a request has no body here\n" },
		{ !route, MHD_HTTP_NOT_FOUND, "not found\n" },
		{ posts && route && route->method == METHOD_POST && !may_command(side, connection), MHD_HTTP_FORBIDDEN,
		  "only root and the agent's own user may do this, over its Unix socket\n" },
		{ route && (posts ? route->method != METHOD_POST :
				    route->method != METHOD_GET || (strcmp(method, "GET") && strcmp(method, "HEAD"))),
		  MHD_HTTP_METHOD_NOT_ALLOWED, "this method is not for this address\n" },
	};
	size_t i;

	for (i = 0; i < sizeof(rules) / sizeof(rules[0]); i++)
		if (rules[i].holds) {
			*ret_status = rules[i].status;
			return rules[i].text;
		}
	return NULL;
}

/* Set the connection aside until the main thread has an answer. */
static enum MHD_Result ask(struct serve *serve, struct request *request, enum serve_what what)
{
	if (serve->held_bytes > SERVE_HELD_BYTES)
		return say(request->connection, MHD_HTTP_SERVICE_UNAVAILABLE,
			   "too much is waiting to be read; try again soon\n");
	(void)pthread_mutex_lock(&serve->lock);
	serve->wanted |= 1u << what;
	request->asked = serve->takes;
	(void)pthread_mutex_unlock(&serve->lock);
	request->what = what;
	request->state = STATE_WAITING;
	request->until_ns = now() + SERVE_WAIT_NS;
	DL_APPEND(serve->waiting, request);
	MHD_suspend_connection(request->connection);
	(void)eventfd_write(serve->ask_fd, 1);
	return MHD_YES;
}

/* Pack the page, once for all who want it so. Return: is it packed? */
static bool page_pack(struct page *page)
{
	if (!page->packed && !gzip_pack(page->bytes, page->size, GZIP_FAST, 0, &page->packed, &page->packed_size))
		page->serve->held_bytes += page->packed_size;
	return page->packed;
}

static enum MHD_Result answer(struct request *request)
{
	struct page *page = request->page;
	struct MHD_Response *response;
	bool packs;

	if (request->state == STATE_EXPIRED || (types[request->what] && !page->bytes))
		return say(request->connection, MHD_HTTP_SERVICE_UNAVAILABLE, "the agent is busy; try again soon\n");
	if (!types[request->what])
		return say(request->connection, MHD_HTTP_OK, "ok\n");
	packs = !comes_packed(request->what) && page->size > SERVE_PACK_BYTES &&
		negotiate_gzip(header(request->connection, "Accept-Encoding")) && page_pack(page);
	response = MHD_create_response_from_buffer_with_free_callback_cls(
		packs ? page->packed_size : page->size, packs ? page->packed : page->bytes, page_release, page);
	if (!response)
		return MHD_NO;
	request->page = NULL; /* the response's from now on */
	if (packs || comes_packed(request->what))
		(void)MHD_add_response_header(response, "Content-Encoding", "gzip");
	(void)MHD_add_response_header(response, "Vary", "Accept, Accept-Encoding");
	return queue(request->connection, MHD_HTTP_OK, types[request->what], response);
}

static enum MHD_Result on_request(void *context, struct MHD_Connection *connection, const char *url, const char *method,
				  const char *version, const char *upload, size_t *upload_size, void **state)
{
	const struct side *side = context;
	const struct route *route = route_of(url);
	struct request *request = *state;
	const char *refused;
	unsigned status;

	(void)version;
	(void)upload;
	if (!request) {
		request = *state = calloc(1, sizeof(*request));
		if (!request)
			return MHD_NO;
		request->connection = connection;
		refused = refusal(side, connection, route, method, &status);
		return refused ? say(connection, status, refused) : MHD_YES;
	}
	*upload_size = 0;
	if (request->state == STATE_ANSWERED || request->state == STATE_EXPIRED)
		return answer(request);
	if (route->what == SERVE_PING && !side->serve->ready)
		return say(connection, MHD_HTTP_OK, "starting\n");
	if (route->what == SERVE_TEXT)
		return ask(side->serve, request, metrics[negotiate_openmetrics(header(connection, "Accept"))]
							[negotiate_gzip(header(connection, "Accept-Encoding"))]);
	if (route->what == ROUTE_PAGE)
		return show_page(connection);
	if (route->what >= 0)
		return ask(side->serve, request, (enum serve_what)route->what);
	if (side->serve->ready)
		return say(connection, MHD_HTTP_OK, "ready\n");
	return say(connection, MHD_HTTP_SERVICE_UNAVAILABLE, "starting\n");
}

static void on_completed(void *context, struct MHD_Connection *connection, void **state,
			 enum MHD_RequestTerminationCode why)
{
	const union MHD_ConnectionInfo *info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
	struct request *request = *state;

	(void)context;
	(void)why;
	if (info && info->socket_context)
		((struct client *)info->socket_context)->since_ns = now();
	if (!request)
		return;
	page_release(request->page);
	free(request);
	*state = NULL;
}

static void on_connection(void *context, struct MHD_Connection *connection, void **socket_context,
			  enum MHD_ConnectionNotificationCode what)
{
	struct serve *serve = ((const struct side *)context)->serve;
	struct client *client = *socket_context;

	if (what == MHD_CONNECTION_NOTIFY_STARTED) {
		client = calloc(1, sizeof(*client));
		if (!client)
			return;
		client->fd = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
		client->since_ns = now();
		DL_APPEND(serve->clients, client);
		*socket_context = client;
	} else if (client) {
		DL_DELETE(serve->clients, client);
		free(client);
		*socket_context = NULL;
	}
}

/* --- the thread */

static void resume(struct serve *serve, struct request *request, struct page *page)
{
	DL_DELETE(serve->waiting, request);
	request->state = page ? STATE_ANSWERED : STATE_EXPIRED;
	request->page = page;
	if (page)
		page->references++;
	MHD_resume_connection(request->connection);
}

/* Hand out what the main thread gave. Return: true when the thread is to end. */
static bool distribute(struct serve *serve)
{
	struct page *given[SERVE_WHATS];
	struct request *request, *next;
	bool ending;
	size_t i;

	(void)pthread_mutex_lock(&serve->lock);
	memcpy(given, serve->given, sizeof(given));
	memset(serve->given, 0, sizeof(serve->given));
	ending = serve->ending;
	(void)pthread_mutex_unlock(&serve->lock);
	for (i = 0; i < SERVE_WHATS; i++)
		if (given[i])
			serve->held_bytes += given[i]->size;
	DL_FOREACH_SAFE(serve->waiting, request, next) {
		struct page *page = given[request->what];

		if (page && page->take > request->asked)
			resume(serve, request, page);
		else if (ending)
			resume(serve, request, NULL);
	}
	for (i = 0; i < SERVE_WHATS; i++)
		page_release(given[i]);
	return ending;
}

/* Those whose time is over. */
static void expire(struct serve *serve, uint64_t now_ns)
{
	struct request *request, *next;
	struct client *client;

	DL_FOREACH_SAFE(serve->waiting, request, next)
		if (now_ns >= request->until_ns)
			resume(serve, request, NULL);
	/* libmicrohttpd sees an end of file and closes; until then the descriptor is this client's. */
	DL_FOREACH(serve->clients, client)
		if (now_ns > client->since_ns && now_ns - client->since_ns > SERVE_REQUEST_NS)
			(void)shutdown(client->fd, SHUT_RDWR);
}

/* How long to sleep, as poll() wants it. */
static int patience(struct serve *serve)
{
	int wait_ms = serve->clients ? 1000 : -1;
	MHD_UNSIGNED_LONG_LONG timeout_ms;
	size_t i;

	for (i = 0; i < serve->sides; i++)
		if (MHD_get_timeout(serve->side[i].daemon, &timeout_ms) == MHD_YES &&
		    (wait_ms < 0 || timeout_ms < (unsigned)wait_ms))
			wait_ms = timeout_ms > 1000 ? 1000 : (int)timeout_ms;
	return wait_ms;
}

static void *work(void *context)
{
	struct serve *serve = context;
	struct pollfd fds[SERVE_SOCKETS + 1] = { { .fd = serve->wake_fd, .events = POLLIN } };
	bool ending = false;
	eventfd_t count;
	size_t i;

	for (i = 0; i < serve->sides; i++)
		fds[i + 1] = (struct pollfd){
			.fd = MHD_get_daemon_info(serve->side[i].daemon, MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd,
			.events = POLLIN,
		};
	while (!ending) {
		for (i = 0; i < serve->sides; i++)
			(void)MHD_run(serve->side[i].daemon);
		if (poll(fds, serve->sides + 1, patience(serve)) < 0 && errno != EINTR)
			break;
		if (fds[0].revents)
			(void)eventfd_read(serve->wake_fd, &count);
		ending = distribute(serve);
		expire(serve, now());
	}
	/* The last answers leave: who is resumed is asked, answers, and is sent to. */
	for (i = 0; i < 4 * serve->sides; i++)
		(void)MHD_run(serve->side[i % serve->sides].daemon);
	return NULL;
}

/* --- the main thread's side */

struct serve *serve_new(void)
{
	struct serve *serve = calloc(1, sizeof(*serve));

	if (!serve)
		return NULL;
	(void)pthread_mutex_init(&serve->lock, NULL);
	serve->ask_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	serve->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (serve->ask_fd < 0 || serve->wake_fd < 0) {
		serve_free(serve);
		return NULL;
	}
	return serve;
}

int serve_add(struct serve *serve, int fd)
{
	struct side *side = &serve->side[serve->sides];
	int domain = AF_UNIX;
	socklen_t length = sizeof(domain);

	if (serve->sides == SERVE_SOCKETS)
		return -ENOSPC;
	(void)getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &length);
	*side = (struct side){ .serve = serve, .is_unix = domain == AF_UNIX, .is_loopback = listen_is_loopback(fd) };
	side->daemon = MHD_start_daemon(MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME, 0, NULL, NULL, on_request, side,
					MHD_OPTION_LISTEN_SOCKET, fd,
					MHD_OPTION_CONNECTION_LIMIT, (unsigned)SERVE_CONNECTIONS,
					MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)SERVE_HEAD_BYTES,
					MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)SERVE_IDLE_S,
					MHD_OPTION_NOTIFY_COMPLETED, on_completed, side,
					MHD_OPTION_NOTIFY_CONNECTION, on_connection, side,
					MHD_OPTION_END);
	if (!side->daemon) {
		(void)close(fd);
		return -ENOMEM;
	}
	serve->sides++;
	return 0;
}

int serve_start(struct serve *serve)
{
	sigset_t all, before;
	int err;

	if (!serve->sides)
		return 0;
	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &before);
	err = pthread_create(&serve->thread, NULL, work, serve);
	(void)pthread_sigmask(SIG_SETMASK, &before, NULL);
	serve->running = !err;
	return -err;
}

int serve_fd(const struct serve *serve)
{
	return serve->ask_fd;
}

#define CHEAP (1u << SERVE_PING | 1u << SERVE_STOP)

uint64_t serve_due(struct serve *serve)
{
	unsigned bits;

	(void)pthread_mutex_lock(&serve->lock);
	bits = serve->wanted;
	(void)pthread_mutex_unlock(&serve->lock);
	return !bits ? UINT64_MAX : bits & CHEAP ? 0 : serve->next_ns;
}

unsigned serve_take(struct serve *serve, uint64_t now_ns)
{
	eventfd_t count;
	unsigned bits;

	(void)eventfd_read(serve->ask_fd, &count);
	(void)pthread_mutex_lock(&serve->lock);
	bits = serve->wanted & (now_ns >= serve->next_ns ? ~0u : CHEAP);
	serve->wanted &= ~bits;
	serve->takes += bits != 0;
	(void)pthread_mutex_unlock(&serve->lock);
	serve->taken_ns = now_ns;
	return bits;
}

void serve_give(struct serve *serve, enum serve_what what, uint8_t *bytes, size_t size)
{
	struct page *page = calloc(1, sizeof(*page)), *before;
	uint64_t now_ns = now(), rest_ns = SERVE_SPACING_TIMES * (now_ns - serve->taken_ns);

	if (!(1u << what & CHEAP))
		serve->next_ns = now_ns + (rest_ns > SERVE_SPACING_NS ? rest_ns : SERVE_SPACING_NS);
	if (!page) {
		free(bytes);
		return; /* they are told when their time is over */
	}
	*page = (struct page){ .serve = serve, .references = 1, .bytes = bytes, .size = bytes ? size : 0 };
	(void)pthread_mutex_lock(&serve->lock);
	page->take = serve->takes;
	before = serve->given[what];
	serve->given[what] = page;
	(void)pthread_mutex_unlock(&serve->lock);
	/* Nobody has seen it: whoever waited for it may have the newer one. */
	if (before)
		free(before->bytes);
	free(before);
	(void)eventfd_write(serve->wake_fd, 1);
}

void serve_set_ready(struct serve *serve)
{
	serve->ready = true;
}

void serve_free(struct serve *serve)
{
	size_t i;

	if (!serve)
		return;
	if (serve->running) {
		(void)pthread_mutex_lock(&serve->lock);
		serve->ending = true;
		(void)pthread_mutex_unlock(&serve->lock);
		(void)eventfd_write(serve->wake_fd, 1);
		(void)pthread_join(serve->thread, NULL);
	}
	for (i = 0; i < serve->sides; i++)
		MHD_stop_daemon(serve->side[i].daemon);
	for (i = 0; i < SERVE_WHATS; i++)
		if (serve->given[i]) {
			free(serve->given[i]->bytes);
			free(serve->given[i]);
		}
	if (serve->ask_fd >= 0)
		(void)close(serve->ask_fd);
	if (serve->wake_fd >= 0)
		(void)close(serve->wake_fd);
	(void)pthread_mutex_destroy(&serve->lock);
	free(serve);
}
