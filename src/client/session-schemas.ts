/** Shapes of the session operations' requests and answers. */
import * as v from 'valibot';

export const servicePort = v.looseObject({ name: v.string() });

export const createdSession = v.object({
  sessionId: v.string(),
  sessionName: v.optional(v.string()),
  status: v.optional(v.string(), 'RUNNING'),
  servicePorts: v.optional(v.nullable(v.array(servicePort))),
  /** false: a session of that name and image was there already. */
  created: v.optional(v.boolean(), true),
});
export type CreatedSession = v.InferOutput<typeof createdSession>;

/** What a session is made of; undefined fields are the server's choice. */
/** A folder in a session. */
export interface SessionMount {
  /** Name or id, with `/subpath` for a directory of it. */
  readonly source: string;
  /** Where; relative to /home/work. Below it under its name when absent. */
  readonly target?: string;
  /** What the folder allows when absent. */
  readonly permission?: 'ro' | 'rw' | 'wd';
}

export interface SessionSpec {
  readonly image: string;
  /** 4 to 64 characters. */
  readonly name: string;
  readonly type?: 'interactive' | 'batch' | 'inference' | 'system';
  readonly architecture?: string;
  readonly clusterSize?: number;
  readonly clusterMode?: 'single-node' | 'multi-node';
  readonly domain?: string;
  readonly group?: string;
  readonly tag?: string;
  readonly priority?: number;
  /** ISO time or duration such as `1h`; batch sessions only. */
  readonly startsAt?: string;
  /** Batch sessions only, e.g. `30s`. */
  readonly batchTimeout?: string;
  readonly startupCommand?: string;
  /** Script text that runs before the session's own processes. */
  readonly bootstrapScript?: string;
  readonly dependencies?: readonly string[];
  readonly callbackUrl?: string;
  readonly ownerAccessKey?: string;
  /** Answer at once instead of when the session runs. */
  readonly enqueueOnly?: boolean;
  /** Longest wait for RUNNING on the server; 0: no limit. Seconds. */
  readonly maxWaitSeconds?: number;
  readonly reuseIfExists?: boolean;
  readonly environ?: Readonly<Record<string, string>>;
  readonly resources?: Readonly<Record<string, string>>;
  readonly resourceOpts?: Readonly<Record<string, string>>;
  readonly scalingGroup?: string;
  readonly preopenPorts?: readonly number[];
  readonly assignAgents?: readonly string[];
  readonly mounts?: readonly SessionMount[];
}

/** What is said beside a template; what is left out is the template's. */
export type TemplateOverrides = Partial<SessionSpec>;

/** A session and, recursively, those it waits for. */
export interface DependencyNode {
  readonly session_id: string;
  readonly session_name: string;
  readonly status: string;
  readonly status_changed?: string | null | undefined;
  readonly depends_on: readonly DependencyNode[];
}
export const dependencyNode: v.GenericSchema<unknown, DependencyNode> = v.object({
  session_id: v.string(),
  session_name: v.string(),
  status: v.string(),
  status_changed: v.optional(v.nullable(v.string())),
  depends_on: v.array(v.lazy(() => dependencyNode)),
});

/** Known pieces, and whatever kinds future servers add. */
export const consoleRecord = v.tuple([v.string(), v.unknown()]);
export type ConsoleRecord = v.InferOutput<typeof consoleRecord>;

export const executionSlice = v.object({
  status: v.string(),
  runId: v.optional(v.nullable(v.string())),
  exitCode: v.optional(v.nullable(v.number())),
  console: v.optional(v.nullable(v.array(consoleRecord))),
  options: v.optional(v.nullable(v.looseObject({ is_password: v.optional(v.boolean()) }))),
  files: v.optional(
    v.nullable(v.array(v.looseObject({ name: v.string(), url: v.optional(v.string()) }))),
  ),
  msg: v.optional(v.string()),
});
export type ExecutionSlice = v.InferOutput<typeof executionSlice>;

export interface BatchCommands {
  readonly clean?: string | null;
  readonly build?: string | null;
  readonly exec?: string | null;
}

export interface ExecuteStart {
  readonly mode: 'query' | 'batch';
  readonly code: string;
  readonly options?: BatchCommands;
}

export const sessionMatch = v.object({ id: v.string(), name: v.string(), status: v.string() });
export type SessionMatch = v.InferOutput<typeof sessionMatch>;

export const fileItem = v.object({
  filename: v.string(),
  size: v.number(),
  /** Seconds since the epoch. */
  mtime: v.number(),
  mode: v.string(),
});
export type FileItem = v.InferOutput<typeof fileItem>;

/** What an app is started with. */
export interface ServiceStart {
  /** One of the session's service ports, by name. */
  readonly app: string;
  /** One of the ports that the app has inside the session; its first when absent. */
  readonly port?: number;
  readonly envs?: Readonly<Record<string, string>>;
  readonly arguments?: Readonly<Record<string, string | null>>;
  readonly ownerAccessKey?: string;
}

/** An app of a session as clients list it. */
export const sessionApp = v.object({
  name: v.string(),
  protocol: v.string(),
  /** Inside the session. */
  ports: v.array(v.number()),
  url_template: v.optional(v.nullable(v.string())),
  allowed_arguments: v.optional(v.nullable(v.array(v.string()))),
  allowed_envs: v.optional(v.nullable(v.array(v.string()))),
});
export type SessionApp = v.InferOutput<typeof sessionApp>;

/** With these a client opens the app: `<wsproxy_addr>/v2/proxy/<token>/<session id>/add?app=…`. */
export const startedService = v.object({ token: v.string(), wsproxy_addr: v.string() });
export type StartedService = v.InferOutput<typeof startedService>;
