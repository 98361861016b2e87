/** Compute sessions: create, use and end them. A session is named by its name or its id. */
import * as v from 'valibot';
import type { ApiRequest, HttpClient } from './http.ts';
import { readBody } from './http.ts';
import { multipartBodies } from './multipart.ts';
import {
  type CreatedSession,
  createdSession,
  type DependencyNode,
  dependencyNode,
  type ExecuteStart,
  type ExecutionSlice,
  executionSlice,
  type FileItem,
  fileItem,
  type ServiceStart,
  type SessionApp,
  type SessionMatch,
  type SessionMount,
  type SessionSpec,
  type StartedService,
  sessionApp,
  sessionMatch,
  startedService,
  type TemplateOverrides,
} from './session-schemas.ts';
import { ExecutionStream } from './stream.ts';
import { Terminal } from './terminal.ts';
import { Tunnel } from './tunnel.ts';

/** Longer than a server gives an app to come up. Milliseconds. */
const SERVICE_START_MS = 60_000;
/** Longest wait for more of a log. Milliseconds. */
const LOG_SILENCE_MS = 120_000;
/** Most files and bytes that one upload request may carry; the server refuses more. */
export const UPLOAD_MAX_FILES = 20;
export const UPLOAD_MAX_FILE_BYTES = 1024 * 1024;
/** Most files that one download request may name. */
export const DOWNLOAD_MAX_FILES = 5;

function creationBody(spec: SessionSpec): Record<string, unknown> {
  const { bootstrapScript } = spec;
  return {
    name: spec.name,
    image: spec.image,
    type: spec.type ?? 'interactive',
    architecture: spec.architecture,
    clusterSize: spec.clusterSize,
    clusterMode: spec.clusterMode,
    domain: spec.domain,
    group: spec.group,
    tag: spec.tag ?? null,
    priority: spec.priority,
    starts_at: spec.startsAt ?? null,
    batch_timeout: spec.batchTimeout,
    startupCommand: spec.startupCommand ?? null,
    bootstrap_script:
      bootstrapScript === undefined ? null : Buffer.from(bootstrapScript).toString('base64'),
    dependencies: spec.dependencies ?? null,
    callback_url: spec.callbackUrl ?? null,
    owner_access_key: spec.ownerAccessKey ?? null,
    enqueueOnly: spec.enqueueOnly ?? false,
    maxWaitSeconds: spec.maxWaitSeconds ?? 0,
    reuseIfExists: spec.reuseIfExists ?? true,
    config: {
      environ: spec.environ ?? {},
      resources: spec.resources ?? {},
      resource_opts: spec.resourceOpts ?? {},
      scalingGroup: spec.scalingGroup ?? null,
      preopen_ports: spec.preopenPorts ?? [],
      agentList: spec.assignAgents,
      ...mountConfig(spec.mounts ?? []),
    },
  };
}

/** Only what is said, so that the template decides the rest. */
function overridingBody(spec: TemplateOverrides): Record<string, unknown> {
  const { bootstrapScript, mounts } = spec;
  return {
    name: spec.name,
    image: spec.image,
    type: spec.type,
    architecture: spec.architecture,
    clusterSize: spec.clusterSize,
    clusterMode: spec.clusterMode,
    domain: spec.domain,
    group: spec.group,
    tag: spec.tag,
    priority: spec.priority,
    starts_at: spec.startsAt,
    batch_timeout: spec.batchTimeout,
    startupCommand: spec.startupCommand,
    bootstrap_script: bootstrapScript && Buffer.from(bootstrapScript).toString('base64'),
    dependencies: spec.dependencies,
    callback_url: spec.callbackUrl,
    owner_access_key: spec.ownerAccessKey,
    enqueueOnly: spec.enqueueOnly,
    maxWaitSeconds: spec.maxWaitSeconds,
    reuseIfExists: spec.reuseIfExists,
    config: {
      environ: spec.environ,
      resources: spec.resources,
      resource_opts: spec.resourceOpts,
      scalingGroup: spec.scalingGroup,
      ...(mounts && mountConfig(mounts)),
    },
  };
}

/** Folders as every version of the API takes them. */
function mountConfig(mounts: readonly SessionMount[]) {
  return {
    mounts: mounts.map(({ source }) => source),
    mount_map: Object.fromEntries(
      mounts.flatMap(({ source, target }) => (target === undefined ? [] : [[source, target]])),
    ),
    mount_options: Object.fromEntries(
      mounts.flatMap(({ source, permission }) =>
        permission === undefined ? [] : [[source, { type: 'bind', permission }]],
      ),
    ),
  };
}

export interface OwnerOption {
  /** Acts on a session of another keypair; administrators only. */
  readonly ownerAccessKey?: string;
}

export class SessionApi {
  private readonly http: HttpClient;

  constructor(http: HttpClient) {
    this.http = http;
  }

  /**
   * Creates a session, or finds the live one of that name. Unless `enqueueOnly`, the answer comes
   * when it runs, which can take as long as the queue is: pass a signal to give up waiting.
   */
  create(spec: SessionSpec, signal?: AbortSignal): Promise<CreatedSession> {
    return this.http.json(createdSession, {
      method: 'POST',
      path: '/session',
      body: creationBody(spec),
      timeoutMs: null,
      signal,
    });
  }

  /** The same as a template describes it; what `overrides` says goes before the template. */
  createFromTemplate(
    templateId: string,
    overrides: TemplateOverrides & { readonly name: string },
    signal?: AbortSignal,
  ): Promise<CreatedSession> {
    return this.http.json(createdSession, {
      method: 'POST',
      path: '/session/_/create-from-template',
      body: { template_id: templateId, ...overridingBody(overrides) },
      timeoutMs: null,
      signal,
    });
  }

  /** The server's summary of one session; keys as upstream names them. */
  get(session: string): Promise<Record<string, unknown>> {
    return this.http.json(v.record(v.string(), v.unknown()), this.at(session, 'GET'));
  }

  /** Asks for the end of a session; it happens in the background. @returns its last statistics. */
  async destroy(
    session: string,
    options: OwnerOption & { forced?: boolean; recursive?: boolean } = {},
  ): Promise<Record<string, unknown>> {
    const answer = await this.http.json(
      v.object({ stats: v.optional(v.nullable(v.record(v.string(), v.unknown()))) }),
      {
        ...this.at(session, 'DELETE'),
        query: {
          owner_access_key: options.ownerAccessKey,
          forced: options.forced ? 'true' : undefined,
          recursive: options.recursive ? 'true' : undefined,
        },
      },
    );
    return answer.stats ?? {};
  }

  /**
   * One pull of an execution: starts it, continues it or answers its prompt, and returns at most a
   * few seconds of output. Call again with mode `continue` and the same run id until `finished`.
   */
  async execute(
    session: string,
    request: (ExecuteStart | { mode: 'continue' | 'input'; code: string }) & { runId?: string },
  ): Promise<ExecutionSlice> {
    const answer = await this.http.json(v.object({ result: executionSlice }), {
      ...this.at(session, 'POST'),
      body: { ...request, run_id: request.runId },
    });
    return answer.result;
  }

  /** Runs code over a WebSocket, which ends by itself; see `ExecutionStream`. */
  async stream(session: string, start: ExecuteStart): Promise<ExecutionStream> {
    const path = `/stream/session/${encodeURIComponent(session)}/execute`;
    const { url, headers } = await this.http.stream(path, {}, 'ws');
    try {
      return await ExecutionStream.open(url, {
        headers,
        tls: this.http.tls,
        start,
        timeoutMs: this.http.config.connectionTimeoutMs,
      });
    } catch (error) {
      // A refused upgrade hides the server's reason; an ordinary request gets to see it.
      await this.get(session);
      throw error;
    }
  }

  interrupt(session: string): Promise<void> {
    return this.http.done(this.at(session, 'POST', '/interrupt'));
  }

  /** Completions of `code`, whose end is the cursor. */
  async complete(
    session: string,
    code: string,
    options: { post?: string; line?: string; row?: number; col?: number } = {},
  ): Promise<string[]> {
    const answer = await this.http.json(
      v.object({ result: v.looseObject({ suggestions: v.optional(v.array(v.string()), []) }) }),
      { ...this.at(session, 'POST', '/complete'), body: { code, options } },
    );
    return answer.result.suggestions;
  }

  async logs(session: string, options: OwnerOption & { kernelId?: string } = {}): Promise<string> {
    const answer = await this.http.json(v.object({ result: v.object({ logs: v.string() }) }), {
      ...this.at(session, 'GET', '/logs'),
      query: { owner_access_key: options.ownerAccessKey, kernel_id: options.kernelId },
    });
    return answer.result.logs;
  }

  /** Files under `path`, relative to the session's home. @returns also what could not be listed. */
  async files(session: string, path: string): Promise<{ files: FileItem[]; errors: string }> {
    const answer = await this.http.json(
      v.object({
        // A string that holds JSON.
        files: v.pipe(v.string(), v.parseJson(), v.array(fileItem)),
        errors: v.optional(v.nullable(v.string())),
      }),
      { ...this.at(session, 'GET', '/files'), query: { path } },
    );
    return { files: answer.files, errors: answer.errors ?? '' };
  }

  /**
   * Puts files into the session's home. At most UPLOAD_MAX_FILES, each under UPLOAD_MAX_FILE_BYTES.
   * @param files contents by path relative to the home.
   */
  upload(
    session: string,
    files: readonly { path: string; content: Blob }[],
    signal?: AbortSignal,
  ): Promise<void> {
    const form = new FormData();
    for (const { path, content } of files) form.append('src', content, path);
    return this.http.done({ ...this.at(session, 'POST', '/upload'), body: form, signal });
  }

  /** Fetches files, at most DOWNLOAD_MAX_FILES. @returns a tar archive for each. */
  async download(
    session: string,
    files: readonly string[],
    signal?: AbortSignal,
  ): Promise<Uint8Array[]> {
    const response = await this.http.send({
      ...this.at(session, 'POST', '/download'),
      body: { files },
      signal,
    });
    return multipartBodies(await readBody(response), response.headers.get('content-type') ?? '');
  }

  rename(session: string, newName: string): Promise<void> {
    return this.http.done({ ...this.at(session, 'POST', '/rename'), query: { name: newName } });
  }

  /** Time of each status the session has had: ISO 8601 by status. */
  async statusHistory(
    session: string,
    options: OwnerOption = {},
  ): Promise<Record<string, string | null>> {
    const answer = await this.http.json(
      v.object({ result: v.record(v.string(), v.nullable(v.string())) }),
      {
        ...this.at(session, 'GET', '/status-history'),
        query: { owner_access_key: options.ownerAccessKey },
      },
    );
    return answer.result;
  }

  /** Asks for a restart, which servers of this version refuse. */
  restart(session: string, options: OwnerOption = {}): Promise<void> {
    return this.http.done({
      ...this.at(session, 'PATCH'),
      query: { owner_access_key: options.ownerAccessKey },
    });
  }

  /** What was found wrong with a session; empty when nothing was. */
  abusingReport(session: string): Promise<Record<string, unknown>> {
    return this.http.json(
      v.record(v.string(), v.unknown()),
      this.at(session, 'GET', '/abusing-report'),
    );
  }

  /** Begins to write a session's container into an archive on its agent. */
  async commit(session: string): Promise<{ taskId: string; path: string }> {
    const begun = await this.http.json(v.object({ bgtask_id: v.string(), path: v.string() }), {
      ...this.at(session, 'POST', '/commit'),
    });
    return { taskId: begun.bgtask_id, path: begun.path };
  }

  /** Begins to make an image of a session, for oneself. @returns the background task's id. */
  async convertToImage(session: string, imageName: string): Promise<string> {
    const begun = await this.http.json(v.object({ task_id: v.string() }), {
      ...this.at(session, 'POST', '/imagify'),
      body: { image_name: imageName },
    });
    return begun.task_id;
  }

  /** Starts an app unless it runs, and gives what it is opened with. */
  startService(session: string, start: ServiceStart): Promise<StartedService> {
    return this.http.json(startedService, {
      ...this.at(session, 'POST', '/start-service'),
      query: { owner_access_key: start.ownerAccessKey },
      body: {
        app: start.app,
        port: start.port,
        envs: start.envs && JSON.stringify(start.envs),
        arguments: start.arguments && JSON.stringify(start.arguments),
      },
      timeoutMs: SERVICE_START_MS,
    });
  }

  /** The apps that a session offers. */
  apps(session: string): Promise<SessionApp[]> {
    return this.http.json(v.array(sessionApp), {
      method: 'GET',
      path: `/stream/session/${encodeURIComponent(session)}/apps`,
    });
  }

  /** Connects to an app, which is started unless it runs. */
  async tunnel(session: string, start: ServiceStart): Promise<Tunnel> {
    const path = `/stream/session/${encodeURIComponent(session)}/tcpproxy`;
    const { app, port, envs, arguments: args } = start;
    const query = {
      app,
      port: port === undefined ? undefined : String(port),
      envs: envs && JSON.stringify(envs),
      arguments: args && JSON.stringify(args),
    };
    const { url, headers } = await this.http.stream(path, query, 'ws');
    const { tls, config } = this.http;
    return await Tunnel.open(url, { headers, tls, timeoutMs: config.connectionTimeoutMs });
  }

  /** Opens the terminal of a session. */
  async terminal(session: string): Promise<Terminal> {
    const path = `/stream/session/${encodeURIComponent(session)}/pty`;
    const { url, headers } = await this.http.stream(path, {}, 'ws');
    const { tls, config } = this.http;
    return await Terminal.open(url, { headers, tls, timeoutMs: config.connectionTimeoutMs });
  }

  /** The log of a batch session, as it comes; of its id, its name, or the id of its kernel. */
  taskLog(task: string): AsyncGenerator<Uint8Array, void, undefined> {
    const request = { method: 'GET', path: '/session/_/logs', query: { taskId: task } } as const;
    return this.http.bytes(request, LOG_SILENCE_MS);
  }

  /** Ends an app; harmless when it does not run. */
  shutdownService(session: string, app: string, options: OwnerOption = {}): Promise<void> {
    return this.http.done({
      ...this.at(session, 'POST', '/shutdown-service'),
      query: { owner_access_key: options.ownerAccessKey },
      body: { service_name: app },
    });
  }

  /** The sessions that this one waits for, as a tree. */
  dependencyGraph(session: string): Promise<DependencyNode> {
    return this.http.json(dependencyNode, this.at(session, 'GET', '/dependency-graph'));
  }

  /** Live sessions whose id or name starts with `prefix`. At most ten. */
  async match(prefix: string): Promise<SessionMatch[]> {
    const answer = await this.http.json(v.object({ matches: v.array(sessionMatch) }), {
      method: 'GET',
      path: '/session/_/match',
      query: { id: prefix },
    });
    return answer.matches;
  }

  private at(session: string, method: ApiRequest['method'], suffix = ''): ApiRequest {
    return { method, path: `/session/${encodeURIComponent(session)}${suffix}` };
  }
}
