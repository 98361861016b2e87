/**
 * GraphQL over WebSockets, in the protocol `graphql-transport-ws`. Who is asking was found out on
 * the upgrade request; the payload of `connection_init` says nothing.
 */
import * as v from 'valibot';
import { errorMessage } from '../../common/errors.ts';
import { parseOutside } from '../../common/parse.ts';
import type { ManagerContext } from '../context.ts';
import { socketRoute } from '../http/declare.ts';
import type { SocketPeer, SocketRoute } from '../http/route.ts';
import type { GraphqlCaller } from './context.ts';
import type { GraphqlAnswer, GraphqlEngine, GraphqlRequest } from './engine.ts';
import { callerOf, graphqlBody, toRequest } from './rest.ts';

const PROTOCOL = 'graphql-transport-ws';
const INIT_TIMEOUT_MS = 10_000;
/** Operations that one connection may have open at once. */
const MAX_OPERATIONS = 100;

const CLOSE_INIT_TIMEOUT = 4408;
const CLOSE_DUPLICATE_ID = 4409;
const CLOSE_TOO_MANY = 4429;

const message = v.pipe(
  v.string(),
  v.parseJson(),
  v.variant('type', [
    v.object({ type: v.literal('connection_init') }),
    v.object({ type: v.literal('ping') }),
    v.object({ type: v.literal('pong') }),
    v.object({
      type: v.literal('subscribe'),
      id: v.pipe(v.string(), v.minLength(1), v.maxLength(256)),
      payload: graphqlBody,
    }),
    v.object({ type: v.literal('complete'), id: v.string() }),
  ]),
);
type Message = v.InferOutput<typeof message>;

class Connection {
  readonly #engine: GraphqlEngine;
  readonly #by: GraphqlCaller;
  readonly #peer: SocketPeer;
  readonly #operations = new Map<string, AbortController>();

  constructor(engine: GraphqlEngine, by: GraphqlCaller, peer: SocketPeer) {
    this.#engine = engine;
    this.#by = by;
    this.#peer = peer;
  }

  #send(reply: object): Promise<void> {
    return this.#peer.send(JSON.stringify(reply));
  }

  /** Serves until the peer is gone. */
  async serve(): Promise<void> {
    const { clock } = this.#by.ctx;
    const greeted = new AbortController();
    clock.sleep(INIT_TIMEOUT_MS, greeted.signal).then(
      () => this.#peer.close(CLOSE_INIT_TIMEOUT, 'Connection initialisation timeout'),
      () => {},
    );
    try {
      for await (const text of this.#peer.messages) {
        const parsed = parseOutside(message, text);
        if (!greeted.signal.aborted) {
          if (!parsed.success || parsed.output.type !== 'connection_init') {
            this.#peer.close(CLOSE_INIT_TIMEOUT, 'Connection initialisation timeout');
            return;
          }
          greeted.abort();
          await this.#send({ type: 'connection_ack' });
        } else if (parsed.success) await this.#receive(parsed.output);
      }
    } finally {
      greeted.abort();
      for (const operation of this.#operations.values()) operation.abort();
    }
  }

  async #receive(received: Message): Promise<void> {
    switch (received.type) {
      case 'ping':
      case 'pong':
        return this.#send({ type: 'pong' });
      case 'complete':
        return this.#operations.get(received.id)?.abort();
      case 'subscribe':
        return this.#subscribe(received.id, toRequest(received.payload));
      case 'connection_init':
        return;
    }
  }

  #subscribe(id: string, request: GraphqlRequest): void {
    if (this.#operations.has(id)) {
      this.#peer.close(CLOSE_DUPLICATE_ID, 'Subscriber already exists');
      return;
    }
    if (this.#operations.size >= MAX_OPERATIONS) {
      this.#peer.close(CLOSE_TOO_MANY, `At most ${MAX_OPERATIONS} operations at once`);
      return;
    }
    const operation = new AbortController();
    this.#operations.set(id, operation);
    this.#run(id, request, operation)
      .catch((error) => {
        // After a disconnect the next send fails; that is how an operation ends.
        if (this.#peer.signal.aborted) return;
        this.#by.ctx.log.error('a GraphQL subscription failed', { error: errorMessage(error) });
        this.#peer.close(1011, 'internal error');
      })
      .finally(() => this.#operations.delete(id));
  }

  async #run(id: string, request: GraphqlRequest, operation: AbortController): Promise<void> {
    const signal = AbortSignal.any([this.#peer.signal, operation.signal]);
    const answers = await this.#engine.stream(request, { ...this.#by, signal });
    for await (const answer of answers) {
      if (signal.aborted) return;
      // A refused document has no data at all: the operation never began.
      if (answer.data === null && answer.errors?.every(({ path }) => path === undefined)) {
        return this.#send({ type: 'error', id, payload: answer.errors });
      }
      await this.#send({ type: 'next', id, payload: withoutNulls(answer) });
    }
    if (!signal.aborted) await this.#send({ type: 'complete', id });
  }
}

const withoutNulls = ({ data, errors }: GraphqlAnswer) => ({
  ...(data === null ? {} : { data }),
  ...(errors === null ? {} : { errors }),
});

/** The WebSocket operations that carry GraphQL. */
export const graphqlSockets = (ctx: ManagerContext, engine: GraphqlEngine): SocketRoute[] =>
  ['/admin/gql', '/admin/gql/strawberry'].map((path) =>
    socketRoute(
      {
        path,
        gate: 'any',
        auth: 'user',
        protocol: PROTOCOL,
        summary: 'Run GraphQL operations, subscriptions among them, over a WebSocket.',
        takes: {},
      },
      (request, _input, peer) => new Connection(engine, callerOf(ctx, request), peer).serve(),
    ),
  );
