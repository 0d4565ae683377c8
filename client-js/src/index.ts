/** Asks the models of a Modelgate, in Node and in browsers. */

import type { components } from "./openapi.js";

export type Job = components["schemas"]["Job"];
export type FieldError = components["schemas"]["FieldError"];
export type { components } from "./openapi.js";

/** An object with a value for each input, or the values in the order of the inputs, or of a model of texts the text. */
export type Row = Record<string, unknown> | unknown[] | string;

export interface Options {
  /** The address, such as `https://models.example.com`. */
  url: string;
  apiKey?: string;
}

export interface RequestOptions {
  /** Another method of the model, such as `predict_proba`. */
  method?: string;
  /** Stops the waiting. The job goes on. */
  signal?: AbortSignal;
}

/** A request that was refused, or a job that has not succeeded. */
export class ModelgateError extends Error {
  override readonly name = "ModelgateError";

  constructor(
    /** The status of the answer; 200 if it has a job that failed. */
    readonly status: number,
    /** For programs, such as `invalid_instances`: a code never changes its meaning. */
    readonly code: string,
    /** What is wrong, and what to do. */
    readonly detail: string,
    /** The wrong values, each with its row and its field. */
    readonly errors: FieldError[] = [],
  ) {
    super(detail);
  }
}

/** Seconds that one request waits for a job. The gateway may answer earlier (`MAX_WAIT`); then another one waits. */
const WAIT = 30;
/** Milliseconds before each repetition of a request whose connection was lost. */
const PAUSES = [200, 1000];

export class Modelgate {
  readonly #url: string;
  readonly #headers: Record<string, string>;

  constructor({ url, apiKey }: Options) {
    this.#url = url.replace(/\/+$/, "");
    this.#headers = apiKey === undefined ? {} : { Authorization: `Bearer ${apiKey}` };
  }

  /** `loan` is the current version, `loan@3` a certain one, and `loan@canary` that of an alias. */
  model<Prediction = unknown>(reference: string): Model<Prediction> {
    return new Model(this, reference);
  }

  /** Send a request, again if the connection is lost, and return the JSON of the answer. Throws `ModelgateError`. */
  async send<Answer>(path: string, init: RequestInit, pauses = PAUSES): Promise<Answer> {
    try {
      const response = await fetch(this.#url + path, { ...init, headers: { ...this.#headers, ...init.headers } });
      const text = await response.text();
      if (response.ok) return JSON.parse(text) as Answer;
      throw refused(response, text);
    } catch (error) {
      const [pause, ...later] = pauses;
      if (!(error instanceof TypeError) || pause === undefined) throw error; // a lost connection is a TypeError
      await new Promise((resolve) => setTimeout(resolve, pause));
      return this.send(path, init, later);
    }
  }
}

export class Model<Prediction> {
  constructor(
    private readonly gateway: Modelgate,
    readonly reference: string,
  ) {}

  /** Return the prediction for each row. Throws `ModelgateError`. */
  async predict(rows: Row[], options: RequestOptions = {}): Promise<Prediction[]> {
    return (await this.job(rows, options)).output!.predictions as Prediction[];
  }

  /** Return the job once it has succeeded: its `output` has probabilities besides, and it its version and warnings. */
  async job(rows: Row[], { method = "predict", signal }: RequestOptions = {}): Promise<Job> {
    let job = await this.gateway.send<Job>(`/v1/models/${encodeURIComponent(this.reference)}/${method}`, {
      method: "POST",
      // With the key, a request that is sent again gets the job of the first.
      headers: { "Content-Type": "application/json", "Idempotency-Key": crypto.randomUUID(), Prefer: `wait=${WAIT}` },
      body: JSON.stringify(rows),
      signal: signal ?? null,
    });
    while (job.completed_at === null) {
      job = await this.gateway.send<Job>(`/v1/jobs/${job.id}?wait=${WAIT}`, { signal: signal ?? null });
    }
    if (job.status === "succeeded") return job;
    throw new ModelgateError(200, job.error?.code ?? job.status, job.error?.message ?? `the job is ${job.status}`);
  }
}

function refused(response: Response, text: string): ModelgateError {
  try {
    const problem = JSON.parse(text) as components["schemas"]["Problem"];
    return new ModelgateError(response.status, problem.code, problem.detail, problem.errors);
  } catch {
    return new ModelgateError(response.status, "not_modelgate", `the answer is not Modelgate's: ${text.slice(0, 200)}`);
  }
}
