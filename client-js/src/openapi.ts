// `npm run types` makes this file of /openapi.json.
export type paths = Record<string, never>;
export type webhooks = Record<string, never>;
export interface components {
    schemas: {
        AliasMove: {
            version: number;
            /**
             * @description Move it even if no worker can load the version.
             * @default false
             */
            force: boolean;
        };
        Alive: {
            status: string;
        };
        AuditPage: {
            items: {
                id: string;
                /** Format: date-time */
                time: string;
                action?: unknown;
                actor?: unknown;
                /** @enum {unknown} */
                outcome?: "done" | "refused" | "failed";
                owner?: unknown;
                key_id?: unknown;
                client?: unknown;
                request_id?: unknown;
                route?: unknown;
                model?: unknown;
                version?: unknown;
                alias?: unknown;
                job_id?: unknown;
                on_key?: unknown;
                status?: unknown;
                code?: unknown;
                count?: unknown;
            }[];
            next_cursor: string | null;
        };
        /** @description An Arrow stream, as `pyarrow.ipc.new_stream` writes it. */
        Arrow: string;
        /** @description An array of numbers, booleans or text, as `numpy.save` writes it. */
        Array: string;
        /** @description JSON, and the bytes of the tensors after it. */
        Bytes: string;
        /** @description Rows with a header line, as in a training file. */
        Csv: string;
        DeletedDeliveries: {
            deleted: number;
        };
        DeliveryList: {
            items: {
                id: string;
                type: string;
                url: string;
                webhook: string | null;
                /** @enum {string} */
                status: "pending" | "delivered" | "failed";
                /** Format: date-time */
                created_at: string;
                /** Format: date-time */
                next_try_at: string | null;
                tries: {
                    /** Format: date-time */
                    at: string;
                    status: number | null;
                    error: string | null;
                    ms: number;
                }[];
            }[];
        };
        Document: Record<string, never>;
        Failure: {
            code: string;
            message: string;
            details: Record<string, never>;
        };
        FieldError: {
            row: number | null;
            field: string | null;
            code: string;
            message: string;
        };
        /** @description One row, a field for each input. */
        FormRow: {
            [key: string]: string;
        };
        /** @description Rows: a list of objects or of lists, one object, or any other dialect of the reference. */
        Instances: Record<string, never>[] | unknown[][] | Record<string, never> | (string | number | boolean | null)[] | string;
        Job: {
            id: string;
            /** @description `prediction`, `explanation`, `training` or `file_prediction`. */
            kind: string;
            /** @enum {string} */
            status: "queued" | "running" | "succeeded" | "failed" | "canceled" | "expired";
            model: {
                name: string;
                version: number | null;
            };
            /** Format: date-time */
            created_at: string | null;
            /** Format: date-time */
            started_at: string | null;
            /**
             * Format: date-time
             * @description Null until the job has ended.
             */
            completed_at: string | null;
            /** @description Of a training with the `candidates` so far. */
            progress: Record<string, never> | null;
            /** @description Null unless it has succeeded. */
            output: Record<string, never> | null;
            error: components["schemas"]["Failure"] | null;
            warnings: string[];
            metrics: Record<string, never> | null;
            /** @description With API keys. */
            owner?: string;
            /** @description The worker, or the host of the trainer, that took it, for keys with `read`; not of files. */
            worker?: string;
        };
        JobEvent: {
            /** @enum {string} */
            event: "progress" | "log" | "end";
            data: string;
            id?: string;
        };
        JobPage: {
            items: components["schemas"]["Job"][];
            next_cursor: string | null;
        };
        Key: {
            id: string;
            name: string;
            owner: string;
            scopes: ("read" | "predict" | "train" | "publish" | "log" | "approve" | "admin")[];
            models: string[] | null;
            limits: components["schemas"]["Limits"];
            /** @enum {string} */
            detail: "full" | "terse";
            created_at: string;
            /** Format: date-time */
            expires_at: string | null;
            /** Format: date-time */
            last_used_at: string | null;
            previous_secret: Record<string, never> | null;
            user: string | null;
            warnings: string[];
            use: components["schemas"]["KeyUse"];
        };
        KeyChange: {
            scopes?: ("read" | "predict" | "train" | "publish" | "log" | "approve" | "admin")[];
            /** @description Null for all. */
            models?: string[] | null;
            /** @description As of a new key; null for never. */
            expires?: string | null;
            limits?: {
                rows_per_second?: number | null;
                rows_waiting?: number | null;
                jobs_in_flight?: number | null;
                trainings_waiting?: number | null;
                upload_mb_per_day?: number | null;
            };
            /** @enum {string} */
            detail?: "full" | "terse";
        };
        KeyList: {
            items: components["schemas"]["Key"][];
            others: {
                name: string;
                use: components["schemas"]["KeyUse"];
            }[];
        };
        KeyRequest: {
            name: string;
            scopes: ("read" | "predict" | "train" | "publish" | "log" | "approve" | "admin")[];
            owner?: string;
            /** @description A person whom a proxy signs in, or `*`; such an entry has no secret. */
            user?: string;
            /** @description By default all. */
            models?: string[];
            /** @description `90d`, `12h`, `30m`, `10s` or `2w`, or a time in RFC 3339. */
            expires?: string;
            limits?: components["schemas"]["Limits"];
            /** @enum {string} */
            detail?: "full" | "terse";
        };
        KeyUse: {
            days: number;
            requests: number;
            errors: number;
            rows: number;
            /** Format: date-time */
            last_request_at: string | null;
            models: {
                model: string | null;
                requests: number;
                errors: number;
                rows: number;
                /** Format: date-time */
                last_request_at: string | null;
                share: number;
            }[];
        };
        Limits: {
            rows_per_second?: number;
            rows_waiting?: number;
            jobs_in_flight?: number;
            trainings_waiting?: number;
            upload_mb_per_day?: number;
        };
        Model: {
            name: string;
            version: number;
            created_at: string;
            recipe: string;
            signature: components["schemas"]["Signature"];
            metrics: Record<string, never>;
            /** @description A body that works when posted. */
            example: Record<string, never>;
            warnings: string[];
            environment: {
                name: string;
                scikit_learn: string | null;
                unsupported_since: string | null;
            } | null;
            aliases: {
                [key: string]: number;
            };
            versions: number[];
            about: components["schemas"]["About"];
            settings: Record<string, never>;
            ready: boolean;
        };
        ModelList: {
            items: {
                name: string;
                aliases: {
                    [key: string]: number;
                };
                about: components["schemas"]["About"];
                version: number;
                environment?: {
                    name: string;
                    scikit_learn: string | null;
                    unsupported_since: string | null;
                } | null;
            }[];
            models: string[];
        };
        ModelUpload: {
            /** Format: binary */
            file: string;
            /** Format: binary */
            sample?: string;
            /** Format: binary */
            code?: string;
            /** Format: binary */
            signature?: string;
            versions?: string;
            nulls?: string;
            columns?: string;
            environment?: string;
            alias?: string;
            promote?: string;
            accept?: string;
            notes?: string;
        };
        ModelCard: Record<string, never>;
        ModelVersion: {
            name: string;
            version: number;
            created_at: string;
            recipe: string;
            signature: components["schemas"]["Signature"];
            metrics: Record<string, never>;
            /** @description A body that works when posted. */
            example: Record<string, never>;
            warnings: string[];
            environment: {
                name: string;
                scikit_learn: string | null;
                unsupported_since: string | null;
            } | null;
        };
        NewKey: {
            id: string;
            name: string;
            owner: string;
            scopes: ("read" | "predict" | "train" | "publish" | "log" | "approve" | "admin")[];
            models: string[] | null;
            limits: components["schemas"]["Limits"];
            /** @enum {string} */
            detail: "full" | "terse";
            created_at: string;
            /** Format: date-time */
            expires_at: string | null;
            /** Format: date-time */
            last_used_at: string | null;
            previous_secret: Record<string, never> | null;
            user: string | null;
            warnings: string[];
            use: components["schemas"]["KeyUse"];
            secret: string | null;
        };
        /** @description A line end. */
        Nothing: string;
        Predictions: {
            predictions: unknown[];
            /** @description By class label, a row each. */
            probabilities?: unknown[];
            warnings?: string[];
        };
        /** @description A problem of RFC 9457. `code` never changes its meaning; `detail` says what to do. */
        Problem: {
            type: string;
            code: string;
            title: string;
            status: number;
            detail: string;
            errors?: components["schemas"]["FieldError"][];
        };
        Ready: {
            /** @enum {string} */
            status: "ok" | "degraded";
            models: number;
            workers: number;
            detail?: string;
            reasons?: {
                code: string;
                detail: string;
            }[];
            repairs?: boolean;
        };
        Report: Record<string, never>;
        Rollback: {
            /**
             * @description Move it even if no worker can load the version.
             * @default false
             */
            force: boolean;
        };
        RotationRequest: {
            overlap?: string;
            /** @description `90d`, `12h`, `30m`, `10s` or `2w`, or a time in RFC 3339. */
            expires?: string;
        };
        Experiment: {
            id: string;
            /** @description The version that was current when it began. */
            baseline: number;
            candidate: number;
            plan: {
                /** @enum {string} */
                kind: "shadow" | "canary";
                /**
                 * @description By default the first that fits.
                 * @enum {string|null}
                 */
                metric?: "accuracy" | "log_loss" | "brier" | "mean_absolute_error" | null;
                /** @description Of the logged requests (shadow), or of the callers (canary). */
                share?: number;
                /** @description At most 10 rising shares of a canary, before `share`. */
                steps?: number[];
                /** @description By how much the mean loss may be worse; by default 0.01, of an absolute error a hundredth of the range of the answers. */
                margin?: number | null;
                /** @description The chance of a wrong end. */
                level?: number;
                /** @enum {string} */
                require?: "not_worse" | "better";
                /** @description Whether the candidate becomes current if it passes. */
                promote?: boolean;
                /** @description Promotes a shadow without outcomes if so many answers agree. */
                agreement?: number | null;
                days?: number;
                limits?: {
                    failures?: number;
                    slowdown?: number;
                    distance?: number | null;
                };
            };
            /** Format: date-time */
            started_at: string;
            /** Format: date-time */
            until: string;
            /** @description That of now. */
            share: number;
            /** Format: date-time */
            share_since: string;
            /** @description The name of the key, or nothing. */
            started_by: string;
            /**
             * @description Null while it runs.
             * @enum {string|null}
             */
            ending: "promoted" | "passed" | "rolled_back" | "undecided" | "stopped" | "overtaken" | null;
            /** Format: date-time */
            ended_at: string | null;
            reason: string;
            figures: Record<string, never>;
            findings?: {
                experiment: string;
                /** @enum {string|null} */
                decision: "promote" | "roll_back" | "step" | null;
                reason: string;
                missing: string;
                /** Format: date-time */
                changed_at: string;
                figures: Record<string, never>;
            } | null;
            /** @description With API keys. */
            owner?: string;
        };
        ExperimentList: {
            items: components["schemas"]["Experiment"][];
        };
        NewExperiment: {
            candidate: number;
            /** @enum {string} */
            kind: "shadow" | "canary";
            /**
             * @description By default the first that fits.
             * @enum {string|null}
             */
            metric?: "accuracy" | "log_loss" | "brier" | "mean_absolute_error" | null;
            /** @description Of the logged requests (shadow), or of the callers (canary). */
            share?: number;
            /** @description At most 10 rising shares of a canary, before `share`. */
            steps?: number[];
            /** @description By how much the mean loss may be worse; by default 0.01, of an absolute error a hundredth of the range of the answers. */
            margin?: number | null;
            /** @description The chance of a wrong end. */
            level?: number;
            /** @enum {string} */
            require?: "not_worse" | "better";
            /** @description Whether the candidate becomes current if it passes. */
            promote?: boolean;
            /** @description Promotes a shadow without outcomes if so many answers agree. */
            agreement?: number | null;
            days?: number;
            limits?: {
                failures?: number;
                slowdown?: number;
                distance?: number | null;
            };
            /**
             * Format: date-time
             * @description Instead of `days`.
             */
            until?: string;
        };
        ForeignError: {
            error: string;
        };
        InferRequest: {
            inputs: components["schemas"]["TensorIn"][];
            id?: string;
            parameters?: Record<string, never>;
            outputs?: {
                name: string;
                parameters?: Record<string, never>;
            }[];
        };
        InferResponse: {
            model_name: string;
            model_version: string;
            outputs: components["schemas"]["TensorOut"][];
            id?: string;
        };
        KserveExplanations: {
            explanations: Record<string, never>[];
        };
        MlflowError: {
            error_code: string;
            message: string;
        };
        /** @description Exactly one of the four shapes of rows. `params.predict_method` names another method. */
        MlflowInput: {
            dataframe_split?: Record<string, never>;
            dataframe_records?: Record<string, never>[];
            instances?: unknown;
            inputs?: unknown;
            params?: Record<string, never>;
        };
        SageMakerError: {
            Message: string;
            OriginalStatusCode?: number;
            OriginalMessage?: string;
        };
        TensorIn: {
            name: string;
            /** @enum {string} */
            datatype: "BOOL" | "UINT8" | "UINT16" | "UINT32" | "UINT64" | "INT8" | "INT16" | "INT32" | "INT64" | "FP16" | "FP32" | "FP64" | "BYTES";
            shape: number[];
            data?: unknown[];
            parameters?: Record<string, never>;
        };
        TensorMetadata: {
            name: string;
            datatype: string;
            shape: number[];
            parameters?: Record<string, never>;
        };
        TensorOut: {
            name: string;
            datatype: string;
            shape: number[];
            data?: (string | number | boolean | null)[];
            parameters?: Record<string, never>;
        };
        V2Index: {
            name: string;
            version: string;
            state: string;
            reason: string;
        }[];
        V2IndexRequest: {
            ready?: boolean;
        };
        V2Live: {
            live: boolean;
        };
        V2Load: {
            name: string;
            load: boolean;
        };
        V2Model: {
            name: string;
            versions: string[];
            platform: string;
            inputs: components["schemas"]["TensorMetadata"][];
            outputs: components["schemas"]["TensorMetadata"][];
        };
        V2ModelReady: {
            name: string;
            ready: boolean;
        };
        V2Models: {
            models: string[];
        };
        V2Ready: {
            ready: boolean;
        };
        V2Server: {
            name: string;
            version: string;
            extensions: string[];
        };
        V2Config: {
            name: string;
            platform: string;
            backend: string;
            version_policy: Record<string, never>;
            max_batch_size: number;
            input: {
                name: string;
                data_type: string;
                dims: number[];
            }[];
            output: {
                name: string;
                data_type: string;
                dims: number[];
            }[];
        };
        V2Statistics: {
            model_stats: {
                name: string;
                version: string;
                inference_count: number;
                execution_count: number;
                inference_stats: {
                    success: {
                        count: number;
                        ns: number;
                    };
                    fail: {
                        count: number;
                    };
                };
                batch_stats: Record<string, never>[];
            }[];
        };
        LakeRunReport: {
            /**
             * Format: date-time
             * @description `next_run` of the schedule.
             */
            due: string;
            /** @enum {string} */
            status: "running" | "succeeded" | "failed";
            objects?: number;
            rows?: number;
            errors?: number;
            error?: string | null;
        };
        LakeSchedule: {
            model: string;
            reference: string;
            /** @example 30 2 * * * */
            cron: string;
            /** @example s3://lake/{date}/*.parquet */
            source: string;
            /** @example s3://lake/scored/{date}/ */
            target: string;
            /** @default predict */
            method: string;
            strict: boolean;
            /** Format: date-time */
            next_run: string;
            due: boolean;
            /** @description Also if nothing is heard of a run that is due. */
            failed: boolean;
            /** @description Those of the run at `next_run`. */
            run: {
                source: string;
                target: string;
            };
            last_run: {
                /**
                 * Format: date-time
                 * @description `next_run` of the schedule.
                 */
                due: string;
                /** @enum {string} */
                status: "running" | "succeeded" | "failed";
                objects: number;
                rows: number;
                errors: number;
                error: string | null;
                /** Format: date-time */
                reported_at: string;
            } | null;
            /** @description With API keys. */
            owner?: string;
        };
        LakeScheduleList: {
            items: components["schemas"]["LakeSchedule"][];
        };
        NewLakeSchedule: {
            /** @example 30 2 * * * */
            cron: string;
            /** @example s3://lake/{date}/*.parquet */
            source: string;
            /** @example s3://lake/scored/{date}/ */
            target: string;
            /** @default predict */
            method: string;
            strict?: boolean;
        };
        NewSchedule: {
            /**
             * @example 0 3 * * 1
             * @example @alarm
             */
            cron: string;
            request?: components["schemas"]["TrainingRequest"];
        };
        TrainingForm: {
            /** Format: binary */
            file?: string;
            /** @description The other keys as JSON. */
            request?: string;
        };
        TrainingPreview: {
            source: string;
            /** @description The rows that were read. */
            rows: number;
            /** @description Whether these are all rows. */
            complete: boolean;
            columns: {
                name: string;
                /** @enum {string} */
                use: "target" | "feature" | "id" | "ignored";
                /** @enum {string|null} */
                kind: "number" | "integer" | "string" | "boolean" | "datetime" | "datetime_day_first" | "datetime_month_first" | null;
                nullable: boolean;
                categories: string[] | null;
                /** @description The most frequent values. */
                samples: string[];
                /** @description How many different values it has. */
                different: number;
                /** @description Rows in which it is null. */
                nulls: number;
                remarks: string[];
                /** @description The least and the greatest of its numbers. */
                bounds: number[] | null;
                /** @description The rows in equal intervals between the bounds; without these, of each sample. */
                histogram: number[] | null;
            }[];
            /** @description The requested one, or a suggestion. */
            target: string;
            /** @enum {string|null} */
            task: "classification" | "regression" | null;
            /** @description Why the training would fail; empty if nothing is in its way. */
            problems: string[];
            remarks: string[];
        };
        TrainingRequest: {
            recipe?: string;
            parameters?: Record<string, never>;
            /** @description The column to predict. */
            target?: string;
            /** @description The columns to learn from. */
            features?: string[];
            /** @description The column that answers repeat. */
            id_field?: string;
            /** @description The kinds of columns; others are inferred. */
            kinds?: {
                [key: string]: "number" | "integer" | "string" | "boolean" | "datetime" | "datetime_day_first" | "datetime_month_first";
            };
            data?: {
                path: string;
            } | "outcomes" | {
                outcomes: number;
            };
            /** @default current */
            alias: string;
            gate?: {
                metric?: string;
                floor?: number;
                margin?: number;
                require_comparison?: boolean;
                /** @description The version is tried beside the current one before it is promoted. */
                experiment?: {
                    /** @enum {string} */
                    kind: "shadow" | "canary";
                    /**
                     * @description By default the first that fits.
                     * @enum {string|null}
                     */
                    metric?: "accuracy" | "log_loss" | "brier" | "mean_absolute_error" | null;
                    /** @description Of the logged requests (shadow), or of the callers (canary). */
                    share?: number;
                    /** @description At most 10 rising shares of a canary, before `share`. */
                    steps?: number[];
                    /** @description By how much the mean loss may be worse; by default 0.01, of an absolute error a hundredth of the range of the answers. */
                    margin?: number | null;
                    /** @description The chance of a wrong end. */
                    level?: number;
                    /** @enum {string} */
                    require?: "not_worse" | "better";
                    /** @description Whether the candidate becomes current if it passes. */
                    promote?: boolean;
                    /** @description Promotes a shadow without outcomes if so many answers agree. */
                    agreement?: number | null;
                    days?: number;
                    limits?: {
                        failures?: number;
                        slowdown?: number;
                        distance?: number | null;
                    };
                };
            };
            accept?: "signature"[];
            notes?: string;
        };
        Failures: {
            /**
             * Format: date-time
             * @description From when on requests are counted: the beginning of an hour.
             */
            since: string;
            /** @description All requests, also those that did not fail. */
            requests: number;
            items: {
                /** @description Of the problem, or of the failure of the job. */
                code: string;
                /** @description Null for one that the model lacks, and for whole rows. */
                field: string | null;
                field_code: string | null;
                message: string;
                count: number;
                /** @description Of all requests. */
                share: number;
                /** Format: date-time */
                first_at: string;
                /** Format: date-time */
                last_at: string;
                versions: {
                    version: number | null;
                    count: number;
                }[];
                keys: {
                    name: string | null;
                    owner: string | null;
                    count: number;
                }[];
                /** @description A row of such a request, with a description in place of each value; else null. */
                example: unknown;
            }[];
        };
        Logging: {
            share: number;
            leave_out: string[];
            keep_days: number;
        };
        LoggedPrediction: {
            /**
             * Format: date-time
             * @description When the request was accepted.
             */
            time: string;
            model: {
                name: string;
                version: number;
                alias: string | null;
            };
            job: string;
            /** @description Its number in the request, from 0. */
            row: number;
            id: string | null;
            request_id: string;
            owner: string | null;
            /** @description By name, as the model got them; null where they are left out. */
            inputs: unknown;
            left_out: string[];
            prediction: unknown;
            probabilities: {
                [key: string]: number;
            } | null;
            warnings: string[];
            milliseconds: number;
        };
        LogPage: {
            items: components["schemas"]["LoggedPrediction"][];
            next_cursor: string | null;
        };
        Deleted: {
            deleted: number;
        };
        Health: {
            name: string;
            version: number;
            /** @enum {string} */
            state: "ok" | "drifted" | "degraded";
            /** @description What was found, a sentence each, the worst first. */
            findings: string[];
            /** @description The logged rows that were watched. */
            rows: number;
            /** @description The inputs, and the prediction. */
            watched: string[];
            alarms: components["schemas"]["DriftAlarm"][];
            /** @description The alarms so far, the newest first. */
            history: components["schemas"]["PastAlarm"][];
            /** @description When it was worse than its report promised, the newest first. */
            degraded: {
                finding: string;
                /** Format: date-time */
                raised: string;
                /** Format: date-time */
                ended: string | null;
            }[];
            /** @description For what requests of a key are refused. */
            refused: components["schemas"]["RefusedField"][];
            /**
             * @description What rows are compared with: those of the training or of an import's sample, or the first 1,000 that were logged.
             * @enum {string|null}
             */
            profile: "training" | "first_rows" | null;
            /** @description Why nothing is watched. */
            reason: string | null;
        };
        DriftAlarm: {
            column: string;
            /** @description It is what the model answers. */
            output: boolean;
            since: components["schemas"]["DriftStart"];
            raised: components["schemas"]["DriftStart"];
            /** @description It holds however often one looks, and for all columns together. */
            p_value: number;
            sizes: {
                psi: number;
                wasserstein: number;
                nulls: number;
            };
            /** @description Since the change. */
            rows: number;
            bins: {
                label: string;
                training: number;
                now: number;
            }[];
            quartiles: {
                training: unknown[] | null;
                now: unknown[] | null;
            };
        };
        RefusedField: {
            /** @description Empty for names that the model does not have. */
            field: string;
            /** @description The owner of the key; empty: none. */
            owner: string;
            /** @description Those that were refused for it in the last hour. */
            requests: number;
            /** @description Of the model's requests in it. */
            share: number;
            /** Format: date-time */
            since: string;
        };
        PastAlarm: {
            column: string;
            output: boolean;
            raised: components["schemas"]["DriftStart"];
            ended: components["schemas"]["DriftStart"] | null;
        };
        DriftStart: {
            row: number;
            /** Format: date-time */
            time: string;
        };
        KeptOutcomes: {
            new: number;
            corrected: number;
            repeated: number;
        };
        MeasuredOutcomes: {
            name: string;
            version: number;
            /** @description The logged rows. */
            predictions: number;
            /** @description Those of which it is known what came true, and that are measured. */
            outcomes: number;
            /** @description Outcomes of the model that are of no logged row. */
            unknown?: number;
            /** @description Outcomes that are no label or no number, and how many. */
            unread?: {
                [key: string]: number;
            };
            /** @description Rows whose prediction is no label or no finite number. */
            unusable?: number;
            /** @description What the probabilities say before outcomes come, if only the inputs have changed. */
            estimated?: {
                [key: string]: {
                    value: number;
                    low: number;
                    high: number;
                    rows: number;
                };
            } | null;
            /** @description The metric of the report. */
            headline?: string;
            metrics?: {
                [key: string]: {
                    value: number;
                    low: number;
                    high: number;
                    outcomes: number;
                };
            };
            /** @description Why there is no such metric. */
            not_measured?: {
                [key: string]: string;
            };
            promise?: {
                metric: string;
                promised: number;
                low: number;
                high: number;
                p_value: number;
                /** @description It is worse than the report promised. */
                worse: boolean;
            } | null;
            /** @enum {unknown} */
            period?: "hour" | "day" | "week" | "month";
            periods?: {
                /** Format: date-time */
                start: string;
                predictions: number;
                outcomes: number;
                metrics: {
                    [key: string]: {
                        value: number;
                        low: number;
                        high: number;
                        outcomes: number;
                    };
                };
                /** @description Why there is no such metric. */
                not_measured: {
                    [key: string]: string;
                };
            }[];
            slices?: {
                name: string;
                outcomes: number;
                loss: number;
                elsewhere: number;
                /** @description Corrected for the number of slices. */
                p_value: number;
                metrics: {
                    [key: string]: {
                        value: number;
                        low: number;
                        high: number;
                        outcomes: number;
                    };
                };
                /** @description Why there is no such metric. */
                not_measured: {
                    [key: string]: string;
                };
            }[];
            calibration?: {
                label: unknown;
                predicted: number[];
                observed: number[];
                low: number[];
                high: number[];
                rows: number[];
                gap: number;
                p_value: number;
            } | null;
            /** @description Why nothing is measured. */
            reason?: string;
        };
        ModelTraffic: {
            /** @description That of a range is the one with the shortest steps that goes back to its start. */
            period: string;
            /** @description The seconds of a point. */
            step: number;
            total: {
                /** @description Requests for predictions. */
                requests: number;
                /** @description Those that were answered with a status of 400 or above. */
                refused: number;
                /** @description Predictions that failed or expired. */
                failed: number;
                /** @description Scored rows. */
                rows: number;
                /** @description Refused rows of files. */
                refused_rows: number;
                /** @description The most predictions that waited at once. */
                waiting: number;
                /** @description The longest that one had waited. */
                oldest_seconds: number;
                /** @description Seconds within which 50 % of the answers with predictions came, as a bound of the buckets; the last one also stands for longer. Null without any. */
                p50: number | null;
                /** @description Seconds within which 95 % of the answers with predictions came, as a bound of the buckets; the last one also stands for longer. Null without any. */
                p95: number | null;
                /** @description Seconds within which 99 % of the answers with predictions came, as a bound of the buckets; the last one also stands for longer. Null without any. */
                p99: number | null;
            };
            points: {
                /** Format: date-time */
                start: string;
                /** @description Requests for predictions. */
                requests: number;
                /** @description Those that were answered with a status of 400 or above. */
                refused: number;
                /** @description Predictions that failed or expired. */
                failed: number;
                /** @description Scored rows. */
                rows: number;
                /** @description Refused rows of files. */
                refused_rows: number;
                /** @description The most predictions that waited at once. */
                waiting: number;
                /** @description The longest that one had waited. */
                oldest_seconds: number;
                /** @description Seconds within which 50 % of the answers with predictions came, as a bound of the buckets; the last one also stands for longer. Null without any. */
                p50: number | null;
                /** @description Seconds within which 95 % of the answers with predictions came, as a bound of the buckets; the last one also stands for longer. Null without any. */
                p95: number | null;
                /** @description Seconds within which 99 % of the answers with predictions came, as a bound of the buckets; the last one also stands for longer. Null without any. */
                p99: number | null;
            }[];
            events: {
                /** Format: date-time */
                at: string;
                /** @enum {string} */
                kind: "promotion" | "training_failed" | "drift" | "experiment" | "start";
                text: string;
                /** @description The name of the key, for admins. */
                by: string | null;
                /** @description That of a failed training. */
                job: string | null;
            }[];
        };
        Traffic: {
            /** @description That of a range is the one with the shortest steps that goes back to its start. */
            period: string;
            /** @description The seconds of a point. */
            step: number;
            total: {
                /** @description Requests for predictions. */
                requests: number;
                /** @description Those that were answered with a status of 400 or above. */
                refused: number;
                /** @description Predictions that failed or expired. */
                failed: number;
                /** @description Scored rows. */
                rows: number;
                /** @description Refused rows of files. */
                refused_rows: number;
                /** @description The most predictions that waited at once. */
                waiting: number;
                /** @description The longest that one had waited. */
                oldest_seconds: number;
                /** @description Seconds within which 50 % of the answers with predictions came, as a bound of the buckets; the last one also stands for longer. Null without any. */
                p50: number | null;
                /** @description Seconds within which 95 % of the answers with predictions came, as a bound of the buckets; the last one also stands for longer. Null without any. */
                p95: number | null;
                /** @description Seconds within which 99 % of the answers with predictions came, as a bound of the buckets; the last one also stands for longer. Null without any. */
                p99: number | null;
            };
            points: {
                /** Format: date-time */
                start: string;
                /** @description Requests for predictions. */
                requests: number;
                /** @description Those that were answered with a status of 400 or above. */
                refused: number;
                /** @description Predictions that failed or expired. */
                failed: number;
                /** @description Scored rows. */
                rows: number;
                /** @description Refused rows of files. */
                refused_rows: number;
                /** @description The most predictions that waited at once. */
                waiting: number;
                /** @description The longest that one had waited. */
                oldest_seconds: number;
                /** @description Seconds within which 50 % of the answers with predictions came, as a bound of the buckets; the last one also stands for longer. Null without any. */
                p50: number | null;
                /** @description Seconds within which 95 % of the answers with predictions came, as a bound of the buckets; the last one also stands for longer. Null without any. */
                p95: number | null;
                /** @description Seconds within which 99 % of the answers with predictions came, as a bound of the buckets; the last one also stands for longer. Null without any. */
                p99: number | null;
            }[];
        };
        About: {
            description: string;
            owner: string;
            tags: string[];
        };
        AboutHistory: {
            description: string;
            owner: string;
            tags: string[];
            history: {
                /** Format: date-time */
                at: string;
                by: string;
                before: {
                    description?: string;
                    owner?: string;
                    tags?: string[];
                };
            }[];
        };
        AboutEdit: {
            description?: string;
            owner?: string;
            /** @description At most 20. */
            tags?: string[];
        };
        ModelState: {
            name: string;
            versions: number[];
            aliases: {
                [key: string]: number;
            };
            warnings: string[];
            /** Format: date-time */
            restorable_until?: string;
            promotion?: components["schemas"]["Promotion"];
        };
        Promotion: {
            id: string;
            /** @description Null: to unprotect the model. */
            version: number | null;
            /** @description An owner, or what asks by itself, such as `a training of ann`. */
            asker: string;
            /** Format: date-time */
            asked_at: string;
            note: string;
            /**
             * @description Null while it waits.
             * @enum {string|null}
             */
            ending: "approved" | "rejected" | "withdrawn" | "replaced" | "gone" | null;
            /** Format: date-time */
            ended_at: string | null;
            decided_by: string;
            warnings?: string[];
        };
        PromotionList: {
            protected: boolean;
            items: components["schemas"]["Promotion"][];
        };
        NewPromotion: {
            version?: number;
            /** @description `true` in place of a version: to protect the model no more. */
            unprotect?: boolean;
            note?: string;
        };
        NewVersion: {
            version: number;
            name: string;
            versions: number[];
            aliases: {
                [key: string]: number;
            };
            warnings: string[];
            promoted?: boolean;
            reason?: string | null;
            verdict?: string;
        };
        Migration: {
            version: number;
            name: string;
            versions: number[];
            aliases: {
                [key: string]: number;
            };
            warnings: string[];
            /** @description How many were tried. */
            rows?: number;
            items?: {
                /** @description null: today's. */
                environment: string | null;
                scikit_learn: string | null;
                /** @enum {string} */
                outcome: "identical" | "differs" | "does_not_answer";
                /** @description Rows that get other answers. */
                different: number;
                detail: string;
            }[];
            promoted?: boolean;
            reason?: string | null;
            verdict?: string;
        };
        MigrationRequest: {
            /** @description A version or an alias, by default current. */
            from?: number | string;
            /** @description The environment to publish it in; `today`: today's. */
            to?: string;
            /** @description Rows to try it on, by default those that it was verified with. */
            instances?: unknown[];
            accept_differences?: boolean;
        };
        Schedule: {
            model: string;
            cron: string;
            request: Record<string, never>;
            /** Format: date-time */
            next_run: string | null;
            last_run: {
                job: string;
                /** @enum {string} */
                status: "queued" | "running" | "succeeded" | "failed" | "canceled" | "expired";
                /** Format: date-time */
                started_at: string | null;
                /**
                 * Format: date-time
                 * @description Null until the job has ended.
                 */
                completed_at: string | null;
                error: components["schemas"]["Failure"] | null;
            } | null;
            /** Format: date-time */
            alarms_wait_until: string | null;
            /** @description With API keys. */
            owner?: string;
        };
        ScheduleList: {
            items: components["schemas"]["Schedule"][];
        };
        Signature: {
            inputs: {
                name: string;
                /** @enum {string} */
                kind: "number" | "integer" | "string" | "boolean" | "datetime";
                nullable: boolean;
                categories: string[] | null;
                aliases?: string[];
                format?: string | null;
                guessed?: boolean;
                naive?: boolean;
                null?: string;
            }[];
            outputs: {
                /** @enum {string} */
                kind: "class" | "number";
                labels: (string | number | boolean | null)[] | null;
                probabilities: boolean;
                name?: string | null;
                scores?: boolean;
                label_names?: (string | number | boolean | null)[] | null;
                /** @description `label` is answered if its probability is at least `threshold`, else the other class. */
                decision?: {
                    label: string | number | boolean | null;
                    threshold: number;
                };
            }[];
            methods: {
                name: string;
                /** @enum {string} */
                answer: "outputs" | "labels" | "number" | "numbers" | "named" | "nonzero" | "neighbors";
                names: string[] | null;
                returned?: {
                    type: string;
                    dtypes: string[];
                    width: number | null;
                } | null;
            }[];
            id_field?: string | null;
            /** @enum {string} */
            format?: "table" | "texts" | "records";
            output?: {
                /** @enum {string} */
                kind: "class" | "number";
                labels: (string | number | boolean | null)[] | null;
                probabilities: boolean;
                name?: string | null;
                scores?: boolean;
                label_names?: (string | number | boolean | null)[] | null;
                /** @description `label` is answered if its probability is at least `threshold`, else the other class. */
                decision?: {
                    label: string | number | boolean | null;
                    threshold: number;
                };
            };
        };
        /** @description `from`: the number or an alias of a version. `signature`: what is to change. */
        SignatureEdit: {
            from: number | string;
            signature: Record<string, never>;
        };
        System: {
            /** @enum {string} */
            status: "ok" | "degraded" | "not_ready";
            alerts: {
                code: string;
                /** @enum {string} */
                severity: "critical" | "warning";
                detail: string;
            }[];
            workers: {
                name: string;
                host: string;
                /** @description Scorers that score. */
                busy: number;
                /** @description Scorers that wait for jobs. */
                idle: number;
                /** @description Those that it serves; null: all. */
                models: string[] | null;
                /** @description Versions in the memory of all its scorers, such as `loan@3`. */
                loaded: string[];
                /** @description Bytes of models. */
                memory: {
                    shared: number;
                    own: number;
                } | null;
                failures: {
                    version: string;
                    reason: string;
                    since: string;
                }[];
                /** @description It has reported nothing for some seconds. */
                silent: boolean;
                /** @description In which the versions live that it serves; empty: today's. */
                environment: string;
                /** @description It has no scorers until there is work for them. */
                asleep: boolean;
            }[];
            trainers: {
                host: string;
                queue: string;
                busy: boolean;
                job: string | null;
            }[];
            /** @description Those with jobs. */
            queues: {
                model: string;
                waiting: number;
                rows: number;
                running: number;
                files_waiting: number;
                files_running: number;
                oldest_seconds: number;
            }[];
            trainer_queues: {
                name: string;
                waiting: number;
                oldest_seconds: number;
            }[];
            redis: {
                bytes: number;
                max_bytes: number | null;
                shares: Record<string, never>;
                disk: boolean | null;
            } | null;
            spool_bytes: number;
            webhooks_waiting: number;
        };
        Text: string;
        VersionList: {
            items: {
                version: number;
                created_at?: string;
                recipe?: string;
                metrics?: Record<string, never>;
                environment?: {
                    name: string;
                    scikit_learn: string | null;
                    unsupported_since: string | null;
                } | null;
                made_by?: string;
            }[];
        };
        WaitingDeliveries: {
            items: {
                owner: string;
                waiting: number;
            }[];
        };
        Webhook: {
            name: string;
            url: string;
            events: ("training.succeeded" | "training.failed" | "training.canceled" | "training.expired" | "file_prediction.succeeded" | "file_prediction.failed" | "file_prediction.canceled" | "file_prediction.expired" | "model.published" | "model.promoted" | "model.removed" | "model.drifted" | "model.degraded" | "model.recovered" | "model.experiment_ended" | "model.promotion_asked" | "model.failing" | "model.failing_ended" | "key.expiring")[];
            /** Format: date-time */
            created_at: string;
            models: string[] | null;
            /** @enum {string} */
            format: "standard" | "chat";
            last_try: {
                /** Format: date-time */
                at: string;
                status: number | null;
                error: string | null;
                ms: number;
            } | null;
            owner?: string;
        };
        WebhookList: {
            items: components["schemas"]["Webhook"][];
        };
        WebhookRequest: {
            url: string;
            events: ("training.succeeded" | "training.failed" | "training.canceled" | "training.expired" | "file_prediction.succeeded" | "file_prediction.failed" | "file_prediction.canceled" | "file_prediction.expired" | "model.published" | "model.promoted" | "model.removed" | "model.drifted" | "model.degraded" | "model.recovered" | "model.experiment_ended" | "model.promotion_asked" | "model.failing" | "model.failing_ended" | "key.expiring")[];
            /** @description By default all that the key may use. */
            models?: string[];
            /** @enum {string} */
            format?: "standard" | "chat";
        };
    };
    responses: never;
    parameters: never;
    requestBodies: never;
    headers: never;
    pathItems: never;
}
export type $defs = Record<string, never>;
export type operations = Record<string, never>;
