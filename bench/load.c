/* A load generator that is not the bottleneck: one thread, epoll, HTTP/1.1 over loopback.
 *
 *   load PORT CLIENTS WARM_SECONDS SECONDS COUNT MARKER [EVERY] < requests
 *
 * Keeps CLIENTS connections busy, each with one request at a time, for WARM_SECONDS that do not count and then
 * for SECONDS, or until COUNT answers (0: no limit) came after the warm-up. stdin holds the requests, sent in turn:
 * "<bytes of request> <bytes of expected>\n", the request as it goes over the wire, the expected. An answer is good
 * if its status is 2xx and its body contains both MARKER and what its own request expects. A server that closes the
 * connection after an answer gets a new one; the time of connecting is part of the next latency, as it
 * is for a client.
 *
 * An answer with Retry-After makes its client pause for about POLL_SECONDS. If the request was accepted (202 with Location),
 * the client then polls the job until it has ended; the end is the answer, and the latency is that of both together.
 *
 * Prints one JSON object: good, non_2xx, wrong (2xx with another body), broken (connection lost), accepted (202),
 * ended (of these), seconds, mean_ms, p50_ms, p99_ms, max_ms, cpu_seconds (its own, while it counted). Latencies are
 * those of good answers. With EVERY it also prints a line for each EVERY seconds, with the counts and latencies of
 * these and the refusals by status, and at the end waits for the answers that are still to come.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { MAX_CLIENTS = 4096, MAX_REQUESTS = 4096, MAX_BROKEN = 1000, MAX_BODY = 256 << 20, GRACE_SECONDS = 60, MAX_STATUS = 600 };
#define POLL_SECONDS 0.2

typedef struct {
  char *text, *expected;
  size_t size, expected_size;
} Request;

typedef struct {
  int fd;
  Request *request;
  size_t sent, used, capacity;
  char *buffer;
  double began, resumes; /* 0: it does not pause */
  int idle;              /* nothing more to do: the load ends */
  Request poll;          /* asks for the accepted job; size 0: none */
  char path[256];
} Client;

static Request requests[MAX_REQUESTS];
static size_t request_count, next_request;
static Client clients[MAX_CLIENTS];
static int poller, port;
static const char *marker;
static size_t marker_size;
static double counting_from;
static uint64_t good, non_2xx, wrong, broken, accepted, ended, refused[MAX_STATUS];
static int ending;
static float *latencies;
static size_t latency_capacity;

static void die(const char *what) {
  fprintf(stderr, "load: %s%s%s\n", what, errno ? ": " : "", errno ? strerror(errno) : "");
  exit(1);
}

static void *more(void *memory, size_t size) {
  memory = realloc(memory, size);
  if (!memory) die("no memory");
  return memory;
}

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec + t.tv_nsec / 1e9;
}

static double cpu(void) {
  struct rusage u;
  getrusage(RUSAGE_SELF, &u);
  return u.ru_utime.tv_sec + u.ru_stime.tv_sec + (u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static char *read_block(size_t size) {
  char *block = more(NULL, size + 1);
  if (fread(block, 1, size, stdin) != size) die("the requests end too early");
  block[size] = 0;
  return block;
}

static void read_requests(void) {
  Request r;
  while (request_count < MAX_REQUESTS && scanf("%zu %zu", &r.size, &r.expected_size) == 2) {
    if (getchar() != '\n') die("a line with two sizes is wanted");
    r.text = read_block(r.size);
    r.expected = read_block(r.expected_size);
    requests[request_count++] = r;
  }
  if (!request_count) die("there are no requests");
}

static void watch(Client *c, int operation, uint32_t events) {
  struct epoll_event event = {.events = events, .data.ptr = c};
  if (epoll_ctl(poller, operation, c->fd, &event)) die("epoll_ctl");
}

static void connect_client(Client *c) {
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  int one = 1;
  c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
  if (c->fd < 0) die("socket");
  setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  if (connect(c->fd, (struct sockaddr *)&to, sizeof to) && errno != EINPROGRESS) die("connect");
  watch(c, EPOLL_CTL_ADD, EPOLLIN | EPOLLOUT);
}

static void begin(Client *c) {
  c->poll.size = 0;
  c->idle = ending;
  if (ending) return;
  c->request = &requests[next_request];
  next_request = (next_request + 1) % request_count;
  c->sent = c->used = 0;
  c->began = now();
}

static void reconnect(Client *c) {
  close(c->fd);
  connect_client(c);
}

static void pause_client(Client *c) {
  c->sent = c->used = 0;
  c->resumes = now() + POLL_SECONDS * (0.75 + 0.5 * drand48()); /* or all would come back together */
}

static void lost(Client *c) {
  if (++broken > MAX_BROKEN) die("too many connections break");
  usleep(1000); /* a server that is gone must not make this spin */
  if (c->poll.size) pause_client(c);
  else begin(c);
  reconnect(c);
}

static void send_more(Client *c) {
  Request *r = c->poll.size ? &c->poll : c->request;
  while (!c->idle && !c->resumes && c->sent < r->size) {
    ssize_t n = send(c->fd, r->text + c->sent, r->size - c->sent, MSG_NOSIGNAL);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
      watch(c, EPOLL_CTL_MOD, EPOLLIN | EPOLLOUT);
      return;
    }
    if (n < 0) return; /* the read that follows sees why */
    c->sent += n;
  }
  watch(c, EPOLL_CTL_MOD, EPOLLIN);
}

/* The value of a header, or NULL; headers end at `end`. */
static char *header(Client *c, const char *end, const char *name) {
  size_t size = strlen(name);
  for (char *line = strstr(c->buffer, "\r\n"); line && line < end; line = strstr(line, "\r\n")) {
    line += 2;
    if (!strncasecmp(line, name, size) && line[size] == ':') {
      for (line += size + 1; *line == ' '; line++) {}
      return line;
    }
  }
  return NULL;
}

/* Whether the job was accepted and has not ended, so that its client asks again. */
static int to_be_polled(Client *c, const char *end) {
  int status = atoi(c->buffer + sizeof "HTTP/1.1");
  char *path = header(c, end, "location");
  int refusal = c->poll.size && status == 503;
  if (refusal) refused[status]++, non_2xx++;
  if ((status > 299 && !refusal) || !header(c, end, "retry-after")) return 0;
  if (c->poll.size) return 1;
  if (!path || status != 202) return 0;
  int size = snprintf(c->path, sizeof c->path, "GET %.*s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n\r\n",
                      (int)strcspn(path, "\r"), path, port);
  if (size >= (int)sizeof c->path) die("a location is too long");
  c->poll = (Request){.text = c->path, .size = size};
  accepted++;
  return 1;
}

static void record(Client *c, const char *body, size_t size) {
  double at = now();
  int status = atoi(c->buffer + sizeof "HTTP/1.1");
  Request *r = c->request;
  ended += c->poll.size && status == 200;
  if (at < counting_from) return;
  if (status < 200 || status > 299) {
    if (status > 0 && status < MAX_STATUS) refused[status]++;
    if (!non_2xx++) fprintf(stderr, "load: the first answer that is not 2xx: %.400s\n", c->buffer);
  } else if (!memmem(body, size, marker, marker_size) || !memmem(body, size, r->expected, r->expected_size)) {
    if (!wrong++) fprintf(stderr, "load: the first wrong answer: %.400s\n      expected: %.200s\n", body, r->expected);
  } else {
    if (good == latency_capacity) {
      latency_capacity = latency_capacity ? latency_capacity * 2 : 1 << 16;
      latencies = more(latencies, latency_capacity * sizeof *latencies);
    }
    latencies[good++] = (at - c->began) * 1000;
  }
}

/* Whether the answer in the buffer is whole; if so it is recorded and the next request begun. */
static int answered(Client *c, int closed) {
  c->buffer[c->used] = 0;
  char *end = strstr(c->buffer, "\r\n\r\n");
  if (!end) return 0;
  char *body = end + 4, *length = header(c, end, "content-length"), *connection = header(c, end, "connection");
  size_t have = c->used - (body - c->buffer);
  if (header(c, end, "transfer-encoding")) die("chunked answers are not understood");
  if (length ? have < strtoull(length, NULL, 10) : !closed) return 0;
  int close_now = closed || (connection && !strncasecmp(connection, "close", 5));
  int pauses = header(c, end, "retry-after") != NULL, good_so_far = memmem(body, have, marker, marker_size) != NULL;
  if (good_so_far || !to_be_polled(c, end)) {
    record(c, body, have);
    begin(c);
  }
  if (pauses && !good_so_far) pause_client(c);
  c->sent = c->used = 0;
  if (close_now) reconnect(c);
  else send_more(c);
  return 1;
}

static void receive(Client *c) {
  for (;;) {
    if (c->capacity - c->used < 65536) {
      c->capacity = c->capacity * 2 + 131072;
      if (c->capacity > MAX_BODY) die("an answer is too large");
      c->buffer = more(c->buffer, c->capacity + 1);
    }
    ssize_t n = recv(c->fd, c->buffer + c->used, c->capacity - c->used, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (n > 0) c->used += n;
    if (answered(c, n == 0)) return;
    if (n <= 0) {
      if (c->resumes || c->idle) reconnect(c); /* nothing was under way */
      else lost(c);
      return;
    }
  }
}

static void handle(struct epoll_event *event) {
  Client *c = event->data.ptr;
  if (event->events & EPOLLOUT && !(event->events & (EPOLLERR | EPOLLHUP))) send_more(c);
  if (event->events & (EPOLLIN | EPOLLERR | EPOLLHUP)) receive(c);
}

static void resume_clients(int count) {
  double at = now();
  for (Client *c = clients; c < clients + count; c++) {
    if (!c->resumes || c->resumes > at) continue;
    c->resumes = 0;
    send_more(c);
  }
}

static int busy_clients(int count) {
  int busy = 0;
  for (Client *c = clients; c < clients + count; c++) busy += !c->idle;
  return busy;
}

static int by_value(const void *a, const void *b) {
  float x = *(const float *)a, y = *(const float *)b;
  return (x > y) - (x < y);
}

/* Prints the counts and latencies since the last report. */
static void report(double seconds) {
  static uint64_t reported, refusals[MAX_STATUS];
  static float *sorted;
  size_t n = good - reported;
  sorted = more(sorted, (n + 1) * sizeof *sorted);
  memcpy(sorted, latencies + reported, n * sizeof *sorted);
  qsort(sorted, n, sizeof *sorted, by_value);
  printf("{\"seconds\": %.3f, \"good\": %zu, \"p50_ms\": %.3f, \"p99_ms\": %.3f, \"refused\": {", seconds, n,
         n ? sorted[n / 2] : 0, n ? sorted[(size_t)(n * 0.99)] : 0);
  const char *comma = "";
  for (int status = 0; status < MAX_STATUS; status++) {
    if (refused[status] == refusals[status]) continue;
    printf("%s\"%d\": %lu", comma, status, refused[status] - refusals[status]);
    comma = ", ";
  }
  printf("}}\n");
  fflush(stdout);
  reported = good;
  memcpy(refusals, refused, sizeof refusals);
}

static void print_result(double seconds, double cpu_seconds) {
  double sum = 0;
  qsort(latencies, good, sizeof *latencies, by_value);
  for (size_t i = 0; i < good; i++) sum += latencies[i];
  printf("{\"good\": %lu, \"non_2xx\": %lu, \"wrong\": %lu, \"broken\": %lu, \"accepted\": %lu, \"ended\": %lu, \"seconds\": %.4f, \"cpu_seconds\": %.4f", good,
         non_2xx, wrong, broken, accepted, ended, seconds, cpu_seconds);
  printf(", \"mean_ms\": %.4f, \"p50_ms\": %.4f, \"p99_ms\": %.4f, \"max_ms\": %.4f}\n", good ? sum / good : 0,
         good ? latencies[good / 2] : 0, good ? latencies[(size_t)(good * 0.99)] : 0, good ? latencies[good - 1] : 0);
}

static void serve_events(int count) {
  struct epoll_event events[256];
  int n = epoll_wait(poller, events, 256, 10);
  for (int i = 0; i < n; i++) handle(&events[i]);
  resume_clients(count);
}

int main(int argc, char **argv) {
  if (argc != 7 && argc != 8) die("usage: load PORT CLIENTS WARM_SECONDS SECONDS COUNT MARKER [EVERY] < requests");
  port = atoi(argv[1]);
  int client_count = atoi(argv[2]);
  double seconds = atof(argv[4]), cpu_began = 0, counted = 0, every = argc == 8 ? atof(argv[7]) : 0;
  uint64_t count = strtoull(argv[5], NULL, 10);
  marker = argv[6];
  marker_size = strlen(marker);
  if (client_count < 1 || client_count > MAX_CLIENTS) die("clients: 1 to 4096");
  read_requests();
  if ((poller = epoll_create1(0)) < 0) die("epoll_create1");
  alarm(atof(argv[3]) + seconds + 2 * GRACE_SECONDS);
  counting_from = now() + atof(argv[3]);
  for (Client *c = clients; c < clients + client_count; c++) {
    begin(c);
    connect_client(c);
  }
  double next_report = every;
  for (int counting = 0; counted < seconds && !(count && good + non_2xx + wrong >= count);) {
    serve_events(client_count);
    if (!counting && now() >= counting_from) {
      counting = 1;
      cpu_began = cpu();
    }
    counted = now() - counting_from;
    if (every && counted >= next_report) {
      report(counted);
      next_report += every;
    }
  }
  double cpu_seconds = cpu() - cpu_began;
  ending = 1;
  while (every && busy_clients(client_count) && now() - counting_from - counted < GRACE_SECONDS) serve_events(client_count);
  print_result(counted, cpu_seconds);
  return 0;
}
