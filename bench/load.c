/* A load generator that is not the bottleneck: one thread, epoll, HTTP/1.1 over loopback.
 *
 *   load PORT CLIENTS WARM_SECONDS SECONDS COUNT MARKER < requests
 *
 * Keeps CLIENTS connections busy, each with one request at a time, for WARM_SECONDS that do not count and then
 * for SECONDS, or until COUNT answers (0: no limit) came after the warm-up. stdin holds the requests, sent in turn:
 * "<bytes of request> <bytes of expected>\n", the request as it goes over the wire, the expected. An answer is good
 * if its status is 2xx and its body contains both MARKER and what its own request expects. A server that closes the
 * connection after an answer gets a new one; the time of connecting is part of the next latency, as it
 * is for a client.
 *
 * Prints one JSON object: good, non_2xx, wrong (2xx with another body), broken (connection lost), seconds, mean_ms,
 * p50_ms, p99_ms, max_ms, cpu_seconds (its own, while it counted). Latencies are those of good answers.
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

enum { MAX_CLIENTS = 4096, MAX_REQUESTS = 4096, MAX_BROKEN = 1000, MAX_BODY = 256 << 20, GRACE_SECONDS = 60 };

typedef struct {
  char *text, *expected;
  size_t size, expected_size;
} Request;

typedef struct {
  int fd;
  Request *request;
  size_t sent, used, capacity;
  char *buffer;
  double began;
} Client;

static Request requests[MAX_REQUESTS];
static size_t request_count, next_request;
static Client clients[MAX_CLIENTS];
static int poller, port;
static const char *marker;
static size_t marker_size;
static double counting_from;
static uint64_t good, non_2xx, wrong, broken;
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
  c->request = &requests[next_request];
  next_request = (next_request + 1) % request_count;
  c->sent = c->used = 0;
  c->began = now();
}

static void reconnect(Client *c) {
  close(c->fd);
  connect_client(c);
}

static void lost(Client *c) {
  if (++broken > MAX_BROKEN) die("too many connections break");
  usleep(1000); /* a server that is gone must not make this spin */
  begin(c);
  reconnect(c);
}

static void send_more(Client *c) {
  Request *r = c->request;
  while (c->sent < r->size) {
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

static void record(Client *c, const char *body, size_t size) {
  double at = now();
  int status = atoi(c->buffer + sizeof "HTTP/1.1");
  Request *r = c->request;
  if (at < counting_from) return;
  if (status < 200 || status > 299) {
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
  record(c, body, have);
  begin(c);
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
      lost(c);
      return;
    }
  }
}

static void handle(struct epoll_event *event) {
  Client *c = event->data.ptr;
  if (event->events & EPOLLOUT && !(event->events & (EPOLLERR | EPOLLHUP))) send_more(c);
  if (event->events & (EPOLLIN | EPOLLERR | EPOLLHUP)) receive(c);
}

static int by_value(const void *a, const void *b) {
  float x = *(const float *)a, y = *(const float *)b;
  return (x > y) - (x < y);
}

static void print_result(double seconds, double cpu_seconds) {
  double sum = 0;
  qsort(latencies, good, sizeof *latencies, by_value);
  for (size_t i = 0; i < good; i++) sum += latencies[i];
  printf("{\"good\": %lu, \"non_2xx\": %lu, \"wrong\": %lu, \"broken\": %lu, \"seconds\": %.4f, \"cpu_seconds\": %.4f", good, non_2xx, wrong,
         broken, seconds, cpu_seconds);
  printf(", \"mean_ms\": %.4f, \"p50_ms\": %.4f, \"p99_ms\": %.4f, \"max_ms\": %.4f}\n", good ? sum / good : 0,
         good ? latencies[good / 2] : 0, good ? latencies[(size_t)(good * 0.99)] : 0, good ? latencies[good - 1] : 0);
}

static void serve_events(void) {
  struct epoll_event events[256];
  int n = epoll_wait(poller, events, 256, 10);
  for (int i = 0; i < n; i++) handle(&events[i]);
}

int main(int argc, char **argv) {
  if (argc != 7) die("usage: load PORT CLIENTS WARM_SECONDS SECONDS COUNT MARKER < requests");
  port = atoi(argv[1]);
  int client_count = atoi(argv[2]);
  double seconds = atof(argv[4]), cpu_began = 0, counted = 0;
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
  for (int counting = 0; counted < seconds && !(count && good + non_2xx + wrong >= count);) {
    serve_events();
    if (!counting && now() >= counting_from) {
      counting = 1;
      cpu_began = cpu();
    }
    counted = now() - counting_from;
  }
  print_result(counted, cpu() - cpu_began);
  return 0;
}
