"""Every problem that the gateway answers with: its code, status and meaning. The reference has this table, too.

`python -m tests.docs.problem_table` prints the rows for docs/reference/http-api.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum, auto
from typing import Self


class ProblemCode(StrEnum):
    """The `code` of a problem (its name in lower case), and its `status`. A code never changes its meaning; clients
    compare with it. Below it stands when it is the answer, in Markdown for the reference; one without that shares the
    row of the code before it."""

    status: int

    def __new__(cls, code: str, status: int) -> Self:
        member = str.__new__(cls, code)
        member._value_, member.status = code, status
        return member

    MALFORMED_BODY = auto(), 400
    """not JSON (`NaN`, `Infinity` and text that is not UTF-8 are not JSON), not a CSV, not a form, incomplete, or in
    chunks of a few bytes"""
    MALFORMED_REQUEST = auto(), 400
    """not HTTP, or invalid headers; two different keys; no `Host`, or an invalid one"""
    INVALID_PARAMETER = auto(), 400
    """`?wait=` or `Cancel-After` is not a number of seconds; an invalid `Idempotency-Key`; `?from=` of a log is not a
    number of bytes; an invalid filter or page of `GET /v1/jobs`; an unknown `?format=` of a report; an upload of a
    model with other parts than `file`, `sample`, `code` and `signature`"""
    NOT_SUPPORTED = auto(), 400
    """of [other protocols](other-protocols.md): an output that the model cannot answer so; `/invocations` with several
    models; an `Accept` without a type of ours, or for a format that the output of a file or the answer lacks; an
    `unload`; a stream"""
    SEVERAL_MODELS = auto(), 400
    NOT_ACCEPTABLE = auto(), 406
    NOT_UNLOADED = auto(), 409
    FOREIGN_HOST = auto(), 403
    """`Host` is neither loopback nor in `ALLOWED_HOSTS`; routes of the [level](#levels) `open` are exempt"""
    MISSING_KEY = auto(), 401
    """the request has no key, and this gateway is [closed](#keys)"""
    INVALID_KEY = auto(), 401
    """the key does not exist, or was revoked"""
    EXPIRED_KEY = auto(), 401
    """the key has expired"""
    SIGNED_OUT = auto(), 401
    """of the [pages](../how-to/use-the-pages.md): nobody is signed in, or not any more"""
    UNKNOWN_USER = auto(), 403
    """of the pages: the [proxy has signed in](../how-to/sign-in-with-company-accounts.md) a person who has no entry"""
    TOO_MANY_ATTEMPTS = auto(), 429
    """too many [invalid keys](#invalid-keys) came from this address; `Retry-After`"""
    MISSING_SCOPE = auto(), 403
    """the key lacks the `scope` that the route asks for"""
    FOREIGN_FORM = auto(), 403
    """a form of the [pages](../how-to/use-the-pages.md) without the token of its session"""
    FOREIGN_ORIGIN = auto(), 403
    """a page of another origin writes or makes a job: [`Host` and `Origin`](#host-and-origin)"""
    NO_LEVEL = auto(), 403
    """the route declares no [level](#levels): a defect of the gateway"""
    UPLOADS_OFF = auto(), 403
    """an upload of a model, and `ALLOW_UPLOAD` is not 1, nor is it one of the [user who runs `make
    up`](../how-to/import-a-model.md#with-an-upload)"""
    NOT_SIGNED = auto(), 403
    """an upload without a `signature` that fits, where [imports have to be
    signed](../how-to/sign-models.md#sign-a-file-to-import)"""
    UNKNOWN_MODEL = auto(), 404
    """`detail` names the models and the most similar one, which is also the member `suggestion`"""
    NO_CURRENT_VERSION = auto(), 404
    """no version of this model was promoted; `versions` lists them, and `detail` has the call that makes one current"""
    UNKNOWN_METHOD = auto(), 404
    """the version does not have this method; `methods` lists those that it has"""
    NO_BACKGROUND = auto(), 409
    """this version has no rows to [explain its answers](#explanations) against; publish it again, with a sample"""
    UNKNOWN_JOB = auto(), 404
    """unknown, or expired"""
    MODEL_NOT_FOUND = auto(), 404
    """the version or alias to change does not exist"""
    ALIAS_NOT_FOUND = auto(), 404
    NOT_LOADED = auto(), 409
    """no worker can load the version, or it is not signed; the alias stays where it is:
    [aliases](#versions-and-aliases)"""
    NOT_TRUSTED = auto(), 409
    VERSION_IN_USE = auto(), 409
    """an alias names the version that is to be deleted"""
    MODEL_EXISTS = auto(), 409
    """a removed model cannot be restored while there is one of its name"""
    CURRENT_REQUIRED = auto(), 409
    """`current` cannot be deleted; there is no version to roll back to"""
    NO_PREVIOUS = auto(), 409
    ALIAS_MOVED = auto(), 409
    """the alias names another version than the page that was sent, or than when the rollback began"""
    EXPERIMENT_RUNS = auto(), 409
    """another [experiment](#experiments) of the model runs: wait for its end, or stop it"""
    EXPERIMENT_REFUSED = auto(), 409
    """these two versions cannot be compared so; `detail` says why, and what to do"""
    EXPERIMENT_NOT_FOUND = auto(), 404
    """the model has no such [experiment](#experiments); `detail` names those that it has"""
    APPROVAL_REQUIRED = auto(), 409
    """the model is [protected](#protected-models): ask for a second person; `detail` has the request. Or it is
    not, so nobody has to be asked"""
    NOT_PROTECTED = auto(), 409
    SECOND_PERSON_NEEDED = auto(), 403
    """another person than the one who asked has to decide this, with a key of their own; or there are no keys"""
    PROMOTION_NOT_FOUND = auto(), 404
    """no such [request to promote](#protected-models) waits"""
    NO_REPORT = auto(), 404
    """this version was published without a report; `detail` names those that have one"""
    NO_OUTPUT = auto(), 404
    """the job is no [file](#files), or has no output"""
    NOT_FINISHED = auto(), 409
    """the [file](#files) has not ended; `Retry-After`"""
    REQUESTED_RANGE_NOT_SATISFIABLE = auto(), 416
    """the output is shorter than the range; `Content-Range` has its length"""
    NO_LOG = auto(), 404
    """a prediction has no log; the model has no schedule"""
    NO_SCHEDULE = auto(), 404
    OTHERS_SCHEDULE = auto(), 409
    """another [owner](#owners) has the schedule of this model"""
    HEAD_TOO_SLOW = auto(), 408
    """the client sends nothing, or too slowly: see [slow clients](limits.md#slow-clients)"""
    BODY_TOO_SLOW = auto(), 408
    IDEMPOTENCY_KEY_REUSED = auto(), 422
    """the `Idempotency-Key` came before with [another request](#repeated-requests)"""
    TOO_MANY_STREAMS = auto(), 429
    """a process has 256 [streams of events](#events-of-a-job), or 64 of this owner; `Retry-After`"""
    JOB_GONE = auto(), 410
    """what the request with this `Idempotency-Key` has made was deleted or has expired"""
    REQUEST_IN_FLIGHT = auto(), 409
    """the request with this `Idempotency-Key` is still being carried out; `Retry-After`"""
    LENGTH_REQUIRED = auto(), 411
    """a form without a `Content-Length`; or a file, if the key has an `upload_mb_per_day`"""
    BODY_TOO_LARGE = auto(), 413
    """over `MAX_BODY_MB`: send it [as a file](#files); a body without data over 256 KB (a training request without its
    file, a move of an alias); a schedule over 16 KB; an edited signature over 1 MB"""
    FORM_TOO_LARGE = auto(), 413
    """a form with more than 10,000 fields (1,000 as `multipart/form-data`, 50 with a file to train on or to publish),
    or with parts that have [long heads](limits.md#requests), or an upload whose fields together are over 1 MB"""
    UPLOAD_TOO_LARGE = auto(), 413
    """an upload over an eighth of `SPOOL_MB`"""
    UPLOAD_LIMIT = auto(), 429
    """the key has used up its `upload_mb_per_day` (days in UTC). The gateway refuses before it reads the body, with
    `Retry-After`, and `RateLimit-Policy` and `RateLimit` in bytes. Of an upload that breaks off, only the received
    bytes count. An upload larger than a whole day's allowance is `413 upload_too_large`"""
    PREVIEWS_LIMIT = auto(), 429
    """two commands of the owner wait for the trainer or run there: a [preview](#preview-of-a-training) has to wait;
    `Retry-After`"""
    TRAININGS_WAITING_LIMIT = auto(), 429
    """the owner already has `trainings_waiting` trainings in the queue, or for `PUT …/schedule` as many schedules, the
    limit of the key"""
    TOO_MANY_ROWS = auto(), 413
    """more rows than `MAX_QUEUE_ROWS` (with a key, than nine tenths of it), or than the `rows_waiting` of the key,
    which can never fit into the queue"""
    UNSUPPORTED_MEDIA_TYPE = auto(), 415
    """neither JSON nor CSV nor a form; a new version that is neither a form nor JSON; or JSON, CSV or a file sent as a
    form: `detail` names the option of curl to use"""
    UNSUPPORTED_CONTENT_ENCODING = auto(), 415
    """a `Content-Encoding` that is not read: several at once, or another than [these](#compressed-bodies); of a file,
    any. `Accept-Encoding` has those that are"""
    UNSUPPORTED_TRANSFER_ENCODING = auto(), 501
    """a `Transfer-Encoding` other than `chunked`, such as `gzip, chunked`"""
    NOT_PUBLISHED = auto(), 422
    """the uploaded model cannot be served, or a model does not work under an edited signature: the cause and what to
    do"""
    INVALID_SIGNATURE = auto(), 422
    """an [edited signature](#edited-signatures) that the version cannot have: the errors by field, the first 100
    listed"""
    INVALID_INSTANCES = auto(), 422
    """values that cannot be used: every error of every row, the first 1,000 listed"""
    TIMED_OUT_TWICE = auto(), 422
    """the row, or these rows together, took longer than `PREDICT_TIMEOUT` with this version twice; refused until ten
    minutes have passed since"""
    INVALID_ALIAS = auto(), 422
    """not a valid name of an alias; unknown keys or wrong types in a body without data"""
    INVALID_BODY = auto(), 422
    REPEATED_FIELD = auto(), 422
    """an upload that has a field twice"""
    NO_DATA = auto(), 422
    """the file of a [preview](#preview-of-a-training) cannot be used; `detail` says why"""
    INVALID_TRAINING = auto(), 422
    """invalid values in a training request or a schedule: the errors by key, the first 100 listed"""
    INVALID_SCHEDULE = auto(), 422
    """invalid members of a [scheduled prediction](#scheduled-predictions), or of what is said of a run: the errors by
    member"""
    NO_WEBHOOKS = auto(), 403
    """this installation has no `WEBHOOK_SECRET`, so it sends no [webhooks](#webhooks)"""
    INVALID_WEBHOOK = auto(), 422
    """invalid members of a [subscription](#webhooks): the errors by member"""
    UNKNOWN_WEBHOOK = auto(), 404
    """there is no webhook of this name, or another [owner](#owners) has it"""
    TOO_MANY_WEBHOOKS = auto(), 409
    """there are 100 webhooks already"""
    INVALID_KEY_REQUEST = auto(), 422
    """invalid members in a request to make or rotate a [key](#keys); the errors by member"""
    UNKNOWN_KEY = auto(), 404
    """there is no key with this id"""
    NAME_TAKEN = auto(), 409
    """another key, or a webhook of another owner, has this name; there already are 1,000 keys"""
    TOO_MANY_KEYS = auto(), 409
    KEY_EXPIRED = auto(), 409
    """the key has expired: rotate it with a new `expires`"""
    LAST_ADMIN = auto(), 409
    """no other key has the scope `admin`, and `ADMIN_KEY` is not set: nobody could change keys any more"""
    NO_MARKER = auto(), 503
    """the gateway cannot write the file `closed` in `STATE_DIR`, so it makes no key"""
    TOO_MANY_SCHEDULES = auto(), 409
    """there are 300 schedules already, or 270 of the owner"""
    INVALID_NAME = auto(), 422
    """not a valid name of a model"""
    RATE_LIMIT = auto(), 429
    """a [limit of the key](limits.md#keys) for this model, or [of bodies](limits.md#bodies): `limit` names it, and
    `Retry-After` has the time to wait"""
    ROWS_WAITING_LIMIT = auto(), 429
    JOBS_IN_FLIGHT_LIMIT = auto(), 429
    NOT_READY = auto(), 503
    """`/health/ready`: no prediction would be accepted; `reasons` says why"""
    NO_OBSERVER = auto(), 503
    """no observer answers, and nothing was done; or it took too long"""
    OBSERVER_CRASHED = auto(), 503
    """the observer died twice while it worked on this, or failed; predictions go on"""
    OBSERVER_FAILED = auto(), 503
    TOO_MANY_QUESTIONS = auto(), 429
    """16 questions of the owner about the [prediction log](prediction-log.md) wait already"""
    NO_TRAINER = auto(), 503
    """no trainer answers, and nothing has changed; or it took too long, and `detail` says how to see whether the change
    was made"""
    QUEUE_FULL = auto(), 503
    """100 trainings wait already (nine of your owner for each free place), or as many rows as `MAX_QUEUE_ROWS`
    [allows](limits.md#keys) wait for this model; `Retry-After` from the rate at which they are scored"""
    REDIS_UNAVAILABLE = auto(), 503
    """the job could not be stored; `Retry-After`, which is [computed](sizing.md#beyond-70--of-the-memory) for
    predictions and a full Redis"""
    REDIS_LOADING = auto(), 503
    REDIS_FULL = auto(), 503
    REDIS_DISK_FULL = auto(), 503
    REDIS_READ_ONLY = auto(), 503
    REDIS_DENIED = auto(), 503
    OVERLOADED = auto(), 503
    REDIS_DISK_SLOW = auto(), 503
    """Redis has not written the job to its append-only file in time, because its disk is too slow; the job may still
    run; `Retry-After`"""
    TOO_FEW_REPLICAS = auto(), 503
    """fewer replicas of Redis than `REDIS_REPLICAS` have confirmed the job, which may still run; `Retry-After`"""
    CANNOT_LOAD = auto(), 503
    """a `load` of [other protocols](other-protocols.md): a worker cannot load the version, for the reason in the
    message; no worker is alive"""
    NO_WORKER = auto(), 503
    ENVIRONMENT_NOT_SERVED = auto(), 503
    """the version lives in an [environment](../how-to/serve-an-old-release.md) that no worker serves"""
    UNFIT_MODEL = auto(), 503
    """of [ROUTES_FILE](routes-file.md): the model cannot give the answer that clients of this address expect"""
    NOT_IN_TIME = auto(), 504
    """of [other protocols](other-protocols.md): the job took longer than `MAX_WAIT`, and was cancelled; or the workers
    took longer to load"""
    STOPPING = auto(), 503
    """`/health/live`: this gateway is stopping, and still serves requests for `STOP_DELAY`"""
    SPOOL_FULL = auto(), 507
    """the uploads together take more than `SPOOL_MB`, or the disk is full; this answer can come in the middle of an
    upload"""
    MODELS_FULL = auto(), 507
    """the model repository cannot be written, such as with a full disk; nothing was changed"""
    STORE_AWAY = auto(), 503
    """the object store with the model repository (`MODELS_URL`) or with files of users (`SPOOL_URL`) does not answer or
    refuses; nothing was changed, and predictions of rows go on"""
    MANIFEST_INVALID = auto(), 503
    """this model's manifest cannot be used; other models are served"""
    ARTIFACT_MISSING = auto(), 503
    """the artifact of the version is missing, or was altered"""
    ARTIFACT_CORRUPT = auto(), 503
    TRAINER_CRASHED = auto(), 503
    """the trainer died while it carried out the change; `GET …/versions` shows whether it was made"""
    MODEL_ERROR = auto(), 422
    """only in [other protocols](other-protocols.md), which have no jobs: the prediction failed for [this
    cause](#a-job), or was cancelled"""
    OUT_OF_MEMORY = auto(), 422
    WORKER_CRASHED = auto(), 422
    VERSION_MISMATCH = auto(), 503
    JOB_REFUSED = auto(), 503
    CANCELED = auto(), 503
    TIMEOUT = auto(), 504
    NOT_FOUND = auto(), 404
    """the address does not exist, and the member `suggestion` is a similar one; or it takes other methods, which
    `Allow` names"""
    METHOD_NOT_ALLOWED = auto(), 405
    INTERNAL_ERROR = auto(), 500
    """a defect of the gateway; its log has the details"""


STATUSES: Mapping[str, int] = {str(code): code.status for code in ProblemCode}
"""The status of each code."""
