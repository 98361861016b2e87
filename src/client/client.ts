/** The entry point of the SDK: one object per server and account. */
import { AuthApi } from './auth.ts';
import { ClusterApi } from './cluster.ts';
import type { ClientConfig } from './config.ts';
import { DotfileApi } from './dotfile.ts';
import { ErrorLogApi } from './error-log.ts';
import { FolderApi } from './folder.ts';
import { GraphQLApi } from './graphql.ts';
import {
  type ClientDependencies,
  type ForwardedRequest,
  HttpClient,
  type ServerInfo,
} from './http.ts';
import { ReportApi } from './report.ts';
import { SessionApi } from './session.ts';
import { readEvents, type ServerSentEvent } from './sse.ts';
import { TaskApi } from './task.ts';
import { TemplateApi } from './template.ts';

/**
 * ```ts
 * const client = new Client(readClientConfig(process.env));
 * const { sessionId } = await client.session.create({ image: 'python', name: 'demo' });
 * for await (const slice of await client.session.stream(sessionId, { mode: 'query', code })) …
 * ```
 */
export class Client {
  readonly config: ClientConfig;
  readonly auth: AuthApi;
  readonly cluster: ClusterApi;
  readonly dotfile: DotfileApi;
  readonly errorLog: ErrorLogApi;
  readonly folder: FolderApi;
  readonly report: ReportApi;
  readonly session: SessionApi;
  readonly task: TaskApi;
  readonly template: TemplateApi;
  readonly graphql: GraphQLApi;
  private readonly http: HttpClient;

  constructor(config: ClientConfig, dependencies: ClientDependencies = {}) {
    this.config = config;
    this.http = new HttpClient(config, dependencies);
    this.auth = new AuthApi(this.http);
    this.cluster = new ClusterApi(this.http);
    this.dotfile = new DotfileApi(this.http);
    this.errorLog = new ErrorLogApi(this.http);
    this.folder = new FolderApi(this.http);
    this.report = new ReportApi(this.http);
    this.session = new SessionApi(this.http);
    this.task = new TaskApi(this.http);
    this.template = new TemplateApi(this.http);
    this.graphql = new GraphQLApi(this.http);
  }

  /** Versions of the server's API and of the server. */
  serverInfo(): Promise<ServerInfo> {
    return this.http.serverInfo();
  }

  /** Sends a request of somebody else's in our name. @throws ConnectionError. */
  forward(request: ForwardedRequest): Promise<Response> {
    return this.http.forward(request);
  }

  /** Where a WebSocket is opened in our name: its address, the headers, and what TLS to accept. */
  async socketTarget(path: string, query: URLSearchParams) {
    const names = [...new Set(query.keys())];
    const values = Object.fromEntries(names.map((name) => [name, query.getAll(name)]));
    return { ...(await this.http.stream(path, values, 'ws')), tls: this.http.tls };
  }

  /** The endpoint in use, one of the configured ones. */
  endpoint(): Promise<string> {
    return this.http.endpoint();
  }

  /**
   * Events of sessions from now on, `query` naming one session or filtering all. Resolves once the
   * server has begun to listen, so what happens after that is not missed.
   */
  async sessionEvents(
    query: { sessionName?: string; sessionId?: string; scope?: string; ownerAccessKey?: string },
    signal?: AbortSignal,
  ): Promise<AsyncIterable<ServerSentEvent>> {
    const response = await this.http.send({
      method: 'GET',
      path: '/events/session',
      query,
      timeoutMs: null,
      signal,
    });
    return readEvents(response.body ?? new ReadableStream());
  }
}
