/** The entry point of the SDK: one object per server and account. */
import * as v from 'valibot';
import type { ClientConfig } from './config.ts';
import { GraphQLApi } from './graphql.ts';
import { type ClientDependencies, HttpClient, type ServerInfo } from './http.ts';
import { SessionApi } from './session.ts';
import { readEvents, type ServerSentEvent } from './sse.ts';

const announcement = v.object({ enabled: v.boolean(), message: v.string() });

/**
 * ```ts
 * const client = new Client(readClientConfig(process.env));
 * const { sessionId } = await client.session.create({ image: 'python', name: 'demo' });
 * for await (const slice of await client.session.stream(sessionId, { mode: 'query', code })) …
 * ```
 */
export class Client {
  readonly config: ClientConfig;
  readonly session: SessionApi;
  readonly graphql: GraphQLApi;
  private readonly http: HttpClient;

  constructor(config: ClientConfig, dependencies: ClientDependencies = {}) {
    this.config = config;
    this.http = new HttpClient(config, dependencies);
    this.session = new SessionApi(this.http);
    this.graphql = new GraphQLApi(this.http);
  }

  /** Versions of the server's API and of the server. */
  serverInfo(): Promise<ServerInfo> {
    return this.http.serverInfo();
  }

  /** The endpoint in use, one of the configured ones. */
  endpoint(): Promise<string> {
    return this.http.endpoint();
  }

  announcement(): Promise<{ enabled: boolean; message: string }> {
    return this.http.json(announcement, { method: 'GET', path: '/manager/announcement' });
  }

  /** Events of sessions as they happen; `session` is a name or an id, all sessions when absent. */
  async *sessionEvents(
    query: { sessionName?: string; sessionId?: string; scope?: string; ownerAccessKey?: string },
    signal?: AbortSignal,
  ): AsyncGenerator<ServerSentEvent, void, undefined> {
    const response = await this.http.send({
      method: 'GET',
      path: '/events/session',
      query,
      timeoutMs: null,
      signal,
    });
    if (response.body !== null) yield* readEvents(response.body);
  }
}
