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
        AuditEntry: {
            id: string;
            /** Format: date-time */
            time: string;
            action?: unknown;
            actor?: unknown;
            /** @enum {string} */
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
        };
        AuditPage: {
            items: components["schemas"]["AuditEntry"][];
            next_cursor: string | null;
        };
        /**
         * Format: binary
         * @description JSON, and the bytes of the tensors after it.
         */
        Bytes: string;
        /**
         * Format: binary
         * @description Rows with a header line, as in a training file.
         */
        Csv: string;
        DeletedDeliveries: {
            deleted: number;
        };
        Delivery: {
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
            tries: components["schemas"]["DeliveryTry"][];
        };
        DeliveryList: {
            items: components["schemas"]["Delivery"][];
        };
        DeliveryTry: {
            /** Format: date-time */
            at: string;
            status: number | null;
            error: string | null;
            ms: number;
        };
        Document: {
            [key: string]: unknown;
        };
        Failure: {
            code: string;
            message: string;
            details: {
                [key: string]: unknown;
            };
        };
        FieldError: {
            row: number | null;
            field: string | null;
            code: string;
            message: string;
        };
        /** @description What the service took that had this address before. */
        FormerBody: unknown;
        /** @description One row, a field for each input. */
        FormRow: {
            [key: string]: string;
        };
        /** @description Rows as objects, or as lists in the order of the inputs. A list of rows alone, one row, and the other shapes of the reference are taken, too. */
        Rows: {
            instances: unknown[];
        };
        Job: {
            id: string;
            /** @description `prediction`, `explanation`, `training` or `file_prediction`. */
            kind: string;
            /** @enum {string} */
            status: "queued" | "running" | "succeeded" | "failed" | "canceled" | "expired";
            model: components["schemas"]["JobModel"];
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
            progress: components["schemas"]["JsonObject"] | null;
            /** @description Null unless it has succeeded. */
            output: components["schemas"]["JsonObject"] | null;
            error: components["schemas"]["Failure"] | null;
            warnings: string[];
            metrics: components["schemas"]["JsonObject"] | null;
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
        /** @description Server-sent events, each with the members of a `JobEvent`. */
        JobEvents: unknown;
        JobModel: {
            name: string;
            version: number | null;
        };
        JsonObject: {
            [key: string]: unknown;
        };
        JobPage: {
            items: components["schemas"]["Job"][];
            next_cursor: string | null;
        };
        MethodReturn: {
            type: string;
            dtypes: string[];
            width: number | null;
        };
        Model: {
            name: string;
            version: number;
            created_at: string;
            recipe: string;
            signature: components["schemas"]["Signature"];
            metrics: {
                [key: string]: unknown;
            };
            /** @description A body that works when posted. */
            example: {
                [key: string]: unknown;
            };
            warnings: string[];
            environment: components["schemas"]["Environment"] | null;
            aliases: {
                [key: string]: number;
            };
            versions: number[];
            about: components["schemas"]["About"];
            settings: {
                [key: string]: unknown;
            };
            ready: boolean;
        };
        ModelList: {
            items: components["schemas"]["ModelItem"][];
            models: string[];
        };
        ModelItem: {
            name: string;
            aliases: {
                [key: string]: number;
            };
            about: components["schemas"]["About"];
            version: number;
            environment?: components["schemas"]["Environment"] | null;
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
            /** @description JSON. */
            versions?: string;
            /** @description JSON. */
            nulls?: string;
            /** @description JSON. */
            columns?: string;
            /** @description JSON. */
            accept?: string;
            /** @description The column of the sample with what the model predicts; empty: none. */
            target?: string;
            environment?: string;
            alias?: string;
            /**
             * @default true
             * @enum {string}
             */
            promote: "true" | "false";
            notes?: string;
        };
        /**
         * Format: binary
         * @description A row in each line, as JSON.
         */
        JsonLines: string;
        ModelCard: {
            [key: string]: unknown;
        };
        ModelVersion: {
            name: string;
            version: number;
            created_at: string;
            recipe: string;
            signature: components["schemas"]["Signature"];
            metrics: {
                [key: string]: unknown;
            };
            /** @description A body that works when posted. */
            example: {
                [key: string]: unknown;
            };
            warnings: string[];
            environment: components["schemas"]["Environment"] | null;
        };
        NumberOrBoolean: number | boolean;
        /**
         * Format: binary
         * @description An array of numbers, booleans or text, as `numpy.save` writes it.
         */
        NumpyFile: string;
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
        RecordValue: number | string | boolean | string[];
        Report: {
            [key: string]: unknown;
        };
        Scalar: string | number | boolean;
        Rollback: {
            /**
             * @description Move it even if no worker can load the version.
             * @default false
             */
            force: boolean;
        };
        Experiment: {
            id: string;
            /** @description The version that was current when it began. */
            baseline: number;
            candidate: number;
            plan: components["schemas"]["ExperimentPlan"];
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
            /** @description Null while it runs. */
            ending: ("promoted" | "passed" | "rolled_back" | "undecided" | "stopped" | "overtaken") | null;
            /** Format: date-time */
            ended_at: string | null;
            reason: string;
            figures: {
                [key: string]: unknown;
            };
            findings?: components["schemas"]["ExperimentFindings"] | null;
            /** @description With API keys. */
            owner?: string;
        };
        ExperimentFindings: {
            experiment: string;
            decision: ("promote" | "roll_back" | "step") | null;
            reason: string;
            missing: string;
            /** Format: date-time */
            changed_at: string;
            figures: {
                [key: string]: unknown;
            };
        };
        ExperimentLimits: {
            failures?: number;
            slowdown?: number;
            distance?: number | null;
        };
        ExperimentPlan: {
            /** @enum {string} */
            kind: "shadow" | "canary";
            /** @description By default the first that fits. */
            metric?: ("accuracy" | "log_loss" | "brier" | "mean_absolute_error") | null;
            /** @description Of the logged requests (shadow), or of the callers (canary). */
            share?: number;
            /** @description Rising shares of a canary, before `share`. */
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
            limits?: components["schemas"]["ExperimentLimits"];
        };
        ExperimentList: {
            items: components["schemas"]["Experiment"][];
        };
        NewExperiment: {
            candidate: number;
            /** @enum {string} */
            kind: "shadow" | "canary";
            /** @description By default the first that fits. */
            metric?: ("accuracy" | "log_loss" | "brier" | "mean_absolute_error") | null;
            /** @description Of the logged requests (shadow), or of the callers (canary). */
            share?: number;
            /** @description Rising shares of a canary, before `share`. */
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
            limits?: components["schemas"]["ExperimentLimits"];
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
            parameters?: {
                [key: string]: unknown;
            };
            outputs?: components["schemas"]["RequestedOutput"][];
        };
        RequestedOutput: {
            name: string;
            parameters?: {
                [key: string]: unknown;
            };
        };
        InferResponse: {
            model_name: string;
            model_version: string;
            outputs: components["schemas"]["TensorOut"][];
            id?: string;
        };
        KserveExplanations: {
            explanations: {
                [key: string]: unknown;
            }[];
        };
        MlflowError: {
            error_code: string;
            message: string;
        };
        /** @description Exactly one of the four shapes of rows. `params.predict_method` names another method. */
        MlflowInput: {
            dataframe_split?: {
                [key: string]: unknown;
            };
            dataframe_records?: {
                [key: string]: unknown;
            }[];
            instances?: unknown;
            inputs?: unknown;
            params?: {
                [key: string]: unknown;
            };
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
            parameters?: {
                [key: string]: unknown;
            };
        };
        TensorMetadata: {
            name: string;
            datatype: string;
            shape: number[];
            parameters?: {
                [key: string]: unknown;
            };
        };
        TensorOut: {
            name: string;
            datatype: string;
            shape: number[];
            data?: unknown[];
            parameters?: {
                [key: string]: unknown;
            };
        };
        V2Index: components["schemas"]["V2IndexItem"][];
        V2IndexItem: {
            name: string;
            version: string;
            state: string;
            reason: string;
        };
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
            version_policy: {
                [key: string]: unknown;
            };
            max_batch_size: number;
            input: components["schemas"]["V2Tensor"][];
            output: components["schemas"]["V2Tensor"][];
        };
        V2Statistics: {
            model_stats: components["schemas"]["V2ModelStatistics"][];
        };
        V2ModelStatistics: {
            name: string;
            version: string;
            inference_count: number;
            execution_count: number;
            inference_stats: components["schemas"]["V2InferenceStatistics"];
            batch_stats: {
                [key: string]: unknown;
            }[];
        };
        V2InferenceStatistics: {
            success: components["schemas"]["V2Success"];
            fail: components["schemas"]["V2Failures"];
        };
        V2Success: {
            count: number;
            ns: number;
        };
        V2Failures: {
            count: number;
        };
        V2Tensor: {
            name: string;
            data_type: string;
            dims: number[];
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
            previous_secret: components["schemas"]["JsonObject"] | null;
            user: string | null;
            warnings: string[];
            use: components["schemas"]["KeyUse"];
        };
        KeyChange: {
            scopes?: ("read" | "predict" | "train" | "publish" | "log" | "approve" | "admin")[];
            /** @description Null for all. */
            models?: string[] | null;
            /**
             * @description As of a new key; null for never.
             * @example 90d
             */
            expires?: string | null;
            limits?: components["schemas"]["LimitsChange"];
            /** @enum {string} */
            detail?: "full" | "terse";
        };
        KeyList: {
            items: components["schemas"]["Key"][];
            others: components["schemas"]["OtherCaller"][];
        };
        KeyRequest: {
            name: string;
            scopes: ("read" | "predict" | "train" | "publish" | "log" | "approve" | "admin")[];
            owner?: string;
            /** @description A person whom a proxy signs in, or `*`; such an entry has no secret. */
            user?: string;
            /** @description By default all. */
            models?: string[];
            /**
             * @description `90d`, `12h`, `30m`, `10s` or `2w`, or a time in RFC 3339.
             * @example 90d
             */
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
            models: components["schemas"]["KeyUseOfModel"][];
        };
        KeyUseOfModel: {
            model: string | null;
            requests: number;
            errors: number;
            rows: number;
            /** Format: date-time */
            last_request_at: string | null;
            share: number;
        };
        Limits: {
            rows_per_second?: number;
            rows_waiting?: number;
            jobs_in_flight?: number;
            trainings_waiting?: number;
            upload_mb_per_day?: number;
        };
        LimitsChange: {
            rows_per_second?: number | null;
            rows_waiting?: number | null;
            jobs_in_flight?: number | null;
            trainings_waiting?: number | null;
            upload_mb_per_day?: number | null;
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
            previous_secret: components["schemas"]["JsonObject"] | null;
            user: string | null;
            warnings: string[];
            use: components["schemas"]["KeyUse"];
            secret: string | null;
        };
        OtherCaller: {
            name: string;
            use: components["schemas"]["KeyUse"];
        };
        RotationRequest: {
            /** @description How long the previous secret still works; at most 30 days. */
            overlap?: string;
            /**
             * @description `90d`, `12h`, `30m`, `10s` or `2w`, or a time in RFC 3339.
             * @example 90d
             */
            expires?: string;
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
            run: components["schemas"]["LakeRun"];
            last_run: components["schemas"]["PastLakeRun"] | null;
            /** @description With API keys. */
            owner?: string;
        };
        /** @description Those of the run at `next_run`. */
        LakeRun: {
            source: string;
            target: string;
        };
        PastLakeRun: {
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
        /** @description `experiment`: the version is tried beside the current one before it is promoted. */
        Gate: {
            metric?: string;
            floor?: number;
            margin?: number;
            require_comparison?: boolean;
            experiment?: components["schemas"]["ExperimentPlan"];
        };
        /** @description What came true of so many of the newest logged predictions. */
        LoggedRows: {
            outcomes: number;
        };
        NewSchedule: {
            /**
             * @example 0 3 * * 1
             * @example @alarm
             */
            cron: string;
            request?: components["schemas"]["TrainingRequest"];
        };
        PreviewColumn: {
            name: string;
            /** @enum {string} */
            use: "target" | "feature" | "id" | "ignored";
            kind: ("number" | "integer" | "string" | "boolean" | "datetime" | "datetime_day_first" | "datetime_month_first") | null;
            nullable: boolean;
            categories: string[] | null;
            /** @description The most frequent values. */
            samples: string[];
            /** @description How many different values it has. */
            different: number;
            /** @description Rows in which it is null. */
            nulls: number;
            remarks: string[];
            bounds: number[] | null;
            histogram: number[] | null;
        };
        /** @description `outcomes`: what came true of the newest logged predictions. */
        TrainingData: components["schemas"]["TrainingFile"] | components["schemas"]["LoggedRows"] | "outcomes";
        TrainingFile: {
            /** @description Of a file below DATA_DIR. */
            path: string;
        };
        TrainingForm: {
            /** Format: binary */
            file?: string;
            /** @description What else there is to say, as the JSON of a `TrainingRequest`. */
            request?: string;
        };
        TrainingPreview: {
            source: string;
            /** @description The rows that were read. */
            rows: number;
            /** @description Whether these are all rows. */
            complete: boolean;
            columns: components["schemas"]["PreviewColumn"][];
            /** @description The requested one, or a suggestion. */
            target: string;
            task: ("classification" | "regression") | null;
            /** @description Why the training would fail; empty if nothing is in its way. */
            problems: string[];
            remarks: string[];
        };
        TrainingRequest: {
            recipe?: string;
            parameters?: {
                [key: string]: unknown;
            };
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
            data?: components["schemas"]["TrainingData"];
            /** @default current */
            alias: string;
            gate?: components["schemas"]["Gate"];
            accept?: "signature"[];
            notes?: string;
        };
        FailureCause: {
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
            versions: components["schemas"]["FailuresOfVersion"][];
            keys: components["schemas"]["FailuresOfKey"][];
            /** @description A row of such a request, with a description in place of each value; else null. */
            example: unknown;
        };
        FailuresOfKey: {
            name: string | null;
            owner: string | null;
            count: number;
        };
        FailuresOfVersion: {
            version: number | null;
            count: number;
        };
        Failures: {
            /**
             * Format: date-time
             * @description From when on requests are counted: the beginning of an hour.
             */
            since: string;
            /** @description All requests, also those that did not fail. */
            requests: number;
            items: components["schemas"]["FailureCause"][];
        };
        Logging: {
            share: number;
            leave_out: string[];
            keep_days: number;
        };
        LoggingChange: {
            share: number;
            leave_out?: string[];
            keep_days?: number;
        };
        LoggedModel: {
            name: string;
            version: number;
            alias: string | null;
        };
        LoggedPrediction: {
            /**
             * Format: date-time
             * @description When the request was accepted.
             */
            time: string;
            model: components["schemas"]["LoggedModel"];
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
            degraded: components["schemas"]["Degradation"][];
            /** @description For what requests of a key are refused. */
            refused: components["schemas"]["RefusedField"][];
            profile: ("training" | "first_rows") | null;
            /** @description Why nothing is watched. */
            reason: string | null;
        };
        Degradation: {
            finding: string;
            /** Format: date-time */
            raised: string;
            /** Format: date-time */
            ended: string | null;
        };
        DriftAlarm: {
            column: string;
            /** @description It is what the model answers. */
            output: boolean;
            since: components["schemas"]["DriftStart"];
            raised: components["schemas"]["DriftStart"];
            /** @description It holds however often one looks, and for all columns together. */
            p_value: number;
            sizes: components["schemas"]["DriftSizes"];
            /** @description Since the change. */
            rows: number;
            bins: components["schemas"]["DriftBin"][];
            quartiles: components["schemas"]["DriftQuartiles"];
        };
        DriftBin: {
            label: string;
            training: number;
            now: number;
        };
        DriftQuartiles: {
            training: unknown[] | null;
            now: unknown[] | null;
        };
        DriftSizes: {
            psi: number;
            wasserstein: number;
            nulls: number;
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
        EstimatedMetric: {
            value: number;
            low: number;
            high: number;
            rows: number;
        };
        MeasuredCalibration: {
            label: unknown;
            predicted: number[];
            observed: number[];
            low: number[];
            high: number[];
            rows: number[];
            gap: number;
            p_value: number;
        };
        MeasuredMetric: {
            value: number;
            low: number;
            high: number;
            outcomes: number;
        };
        MeasuredPeriod: {
            /** Format: date-time */
            start: string;
            predictions: number;
            outcomes: number;
            metrics: {
                [key: string]: components["schemas"]["MeasuredMetric"];
            };
            /** @description Why there is no such metric. */
            not_measured: {
                [key: string]: string;
            };
        };
        MeasuredPromise: {
            metric: string;
            promised: number;
            low: number;
            high: number;
            p_value: number;
            /** @description It is worse than the report promised. */
            worse: boolean;
        };
        MeasuredSlice: {
            name: string;
            outcomes: number;
            loss: number;
            elsewhere: number;
            /** @description Corrected for the number of slices. */
            p_value: number;
            metrics: {
                [key: string]: components["schemas"]["MeasuredMetric"];
            };
            /** @description Why there is no such metric. */
            not_measured: {
                [key: string]: string;
            };
        };
        Outcome: components["schemas"]["OutcomeOfJob"] | components["schemas"]["OutcomeOfId"];
        /** @description The caller's id (`id_field`) of the rows. */
        OutcomeId: number | string;
        OutcomeOfId: {
            id: components["schemas"]["OutcomeId"];
            outcome: components["schemas"]["Label"];
            /**
             * Format: date-time
             * @description Only of the rows with this id that were accepted before.
             */
            at?: string;
        };
        OutcomeOfJob: {
            /** @description The job that has answered, whose row it is of. */
            job: string;
            outcome: components["schemas"]["Label"];
            /** @default 0 */
            row: number;
        };
        /** @description What came true. */
        Label: string | number | boolean;
        /** @description As `text/csv`, a file with these members as its columns is taken, too. */
        Outcomes: components["schemas"]["Outcome"][];
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
            estimated?: {
                [key: string]: components["schemas"]["EstimatedMetric"];
            } | null;
            /** @description The metric of the report. */
            headline?: string;
            metrics?: {
                [key: string]: components["schemas"]["MeasuredMetric"];
            };
            /** @description Why there is no such metric. */
            not_measured?: {
                [key: string]: string;
            };
            promise?: components["schemas"]["MeasuredPromise"] | null;
            /** @enum {string} */
            period?: "hour" | "day" | "week" | "month";
            periods?: components["schemas"]["MeasuredPeriod"][];
            slices?: components["schemas"]["MeasuredSlice"][];
            calibration?: components["schemas"]["MeasuredCalibration"] | null;
            /** @description Why nothing is measured. */
            reason?: string;
        };
        Alert: {
            code: string;
            /** @enum {string} */
            severity: "critical" | "warning";
            detail: string;
        };
        Alive: {
            status: string;
        };
        LoadFailure: {
            version: string;
            reason: string;
            since: string;
        };
        ModelMemory: {
            shared: number;
            own: number;
        };
        Queue: {
            model: string;
            waiting: number;
            rows: number;
            running: number;
            files_waiting: number;
            files_running: number;
            oldest_seconds: number;
        };
        Ready: {
            /** @enum {string} */
            status: "ok" | "degraded";
            models: number;
            workers: number;
            detail?: string;
            reasons?: components["schemas"]["Reason"][];
            repairs?: boolean;
        };
        Reason: {
            code: string;
            detail: string;
        };
        RedisState: {
            bytes: number;
            max_bytes: number | null;
            shares: {
                [key: string]: unknown;
            };
            disk: boolean | null;
        };
        System: {
            /** @enum {string} */
            status: "ok" | "degraded" | "not_ready";
            alerts: components["schemas"]["Alert"][];
            workers: components["schemas"]["Worker"][];
            trainers: components["schemas"]["Trainer"][];
            /** @description Those with jobs. */
            queues: components["schemas"]["Queue"][];
            trainer_queues: components["schemas"]["TrainerQueue"][];
            redis: components["schemas"]["RedisState"] | null;
            spool_bytes: number;
            webhooks_waiting: number;
        };
        Trainer: {
            host: string;
            queue: string;
            busy: boolean;
            job: string | null;
        };
        TrainerQueue: {
            name: string;
            waiting: number;
            oldest_seconds: number;
        };
        Worker: {
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
            memory: components["schemas"]["ModelMemory"] | null;
            failures: components["schemas"]["LoadFailure"][];
            /** @description It has reported nothing for some seconds. */
            silent: boolean;
            /** @description In which the versions live that it serves; empty: today's. */
            environment: string;
            /** @description It has no scorers until there is work for them. */
            asleep: boolean;
        };
        ModelEvent: {
            /** Format: date-time */
            at: string;
            /** @enum {string} */
            kind: "promotion" | "training_failed" | "drift" | "experiment" | "start";
            text: string;
            /** @description The name of the key, for admins. */
            by: string | null;
            /** @description That of a failed training. */
            job: string | null;
        };
        ModelTraffic: {
            /** @description That of a range is the one with the shortest steps that goes back to its start. */
            period: string;
            /** @description The seconds of a point. */
            step: number;
            total: components["schemas"]["TrafficSums"];
            points: components["schemas"]["TrafficPoint"][];
            events: components["schemas"]["ModelEvent"][];
        };
        Traffic: {
            /** @description That of a range is the one with the shortest steps that goes back to its start. */
            period: string;
            /** @description The seconds of a point. */
            step: number;
            total: components["schemas"]["TrafficSums"];
            points: components["schemas"]["TrafficPoint"][];
        };
        TrafficPoint: {
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
        };
        TrafficSums: {
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
        /** @description `label` is answered if its probability is at least `threshold`, else the other class. */
        Decision: {
            label: components["schemas"]["Scalar"] | null;
            threshold: number;
        };
        Environment: {
            name: string;
            scikit_learn: string | null;
            unsupported_since: string | null;
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
            history: components["schemas"]["AboutChange"][];
        };
        AboutBefore: {
            description?: string;
            owner?: string;
            tags?: string[];
        };
        AboutChange: {
            /** Format: date-time */
            at: string;
            by: string;
            before: components["schemas"]["AboutBefore"];
        };
        AboutEdit: {
            description?: string;
            owner?: string;
            tags?: string[];
        };
        Restoration: {
            version?: number;
        };
        SettingsChange: {
            warn_unusual?: boolean;
            protected?: boolean;
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
            /** @description Null while it waits. */
            ending: ("approved" | "rejected" | "withdrawn" | "replaced" | "gone") | null;
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
            /**
             * @description In place of a version: to protect the model no more.
             * @enum {boolean}
             */
            unprotect?: true;
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
            items?: components["schemas"]["MigrationTrial"][];
            promoted?: boolean;
            reason?: string | null;
            verdict?: string;
        };
        MigrationTrial: {
            /** @description null: today's. */
            environment: string | null;
            scikit_learn: string | null;
            /** @enum {string} */
            outcome: "identical" | "differs" | "does_not_answer";
            /** @description Rows that get other answers. */
            different: number;
            detail: string;
        };
        MigrationRequest: {
            from?: components["schemas"]["VersionOrAlias"];
            /** @description The environment to publish it in; `today`: today's. */
            to?: string;
            /** @description By default those that it was verified with. */
            instances?: unknown[];
            accept_differences?: boolean;
        };
        Schedule: {
            model: string;
            cron: string;
            request: {
                [key: string]: unknown;
            };
            /** Format: date-time */
            next_run: string | null;
            last_run: components["schemas"]["ScheduleRun"] | null;
            /** Format: date-time */
            alarms_wait_until: string | null;
            /** @description With API keys. */
            owner?: string;
        };
        ScheduleRun: {
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
        };
        ScheduleList: {
            items: components["schemas"]["Schedule"][];
        };
        ModelInput: {
            name: string;
            /** @enum {string} */
            kind: "number" | "integer" | "string" | "boolean" | "datetime";
            nullable: boolean;
            categories: string[] | null;
            aliases?: string[];
            format?: string | null;
            null?: string;
            unit?: string;
            guessed?: boolean;
            naive?: boolean;
            nanoseconds?: boolean;
            float32?: boolean;
            zone?: string | null;
            words?: string[];
        };
        ModelMethod: {
            name: string;
            /** @enum {string} */
            answer: "outputs" | "labels" | "number" | "numbers" | "named" | "nonzero" | "neighbors";
            names: string[] | null;
            returned?: components["schemas"]["MethodReturn"] | null;
        };
        ModelOutput: {
            /** @enum {string} */
            kind: "class" | "number";
            labels: unknown[] | null;
            probabilities: boolean;
            name?: string | null;
            scores?: boolean;
            label_names?: unknown[] | null;
            decision?: components["schemas"]["Decision"];
        };
        Signature: {
            inputs: components["schemas"]["ModelInput"][];
            outputs: components["schemas"]["ModelOutput"][];
            methods: components["schemas"]["ModelMethod"][];
            id_field?: string | null;
            /** @enum {string} */
            format?: "table" | "texts" | "records";
            output?: components["schemas"]["ModelOutput"];
        };
        /** @description `from`: the number or an alias of a version. `signature`: what is to change. */
        SignatureEdit: {
            from: components["schemas"]["VersionOrAlias"];
            signature: {
                [key: string]: unknown;
            };
        };
        Text: string;
        VersionItem: {
            version: number;
            created_at?: string;
            recipe?: string;
            metrics?: {
                [key: string]: unknown;
            };
            environment?: components["schemas"]["Environment"] | null;
            made_by?: string;
        };
        VersionList: {
            items: components["schemas"]["VersionItem"][];
        };
        /** @description The number of a version, or an alias. */
        VersionOrAlias: number | string;
        WaitingDeliveries: {
            items: components["schemas"]["WaitingOwner"][];
        };
        WaitingOwner: {
            owner: string;
            waiting: number;
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
            last_try: components["schemas"]["DeliveryTry"] | null;
            owner?: string;
        };
        WebhookList: {
            items: components["schemas"]["Webhook"][];
        };
        WebhookRequest: {
            /** Format: uri */
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
