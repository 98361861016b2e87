/** One connection of the agent: reads requests line by line, answers each by its id. */
import type { Socket } from 'node:net';
import * as v from 'valibot';
import { errorMessage } from '../common/errors.ts';
import {
  MAX_LINE_BYTES,
  type RunnerOp,
  type RunnerReply,
  runnerRequest,
} from '../common/protocol/runner.ts';
import { RunnerError } from './errors.ts';
import { LineSplitter } from './lines.ts';
import type { Caller } from './run.ts';

/** Requests of one connection that may be in progress at once. */
const MAX_PENDING_REQUESTS = 64;

/** Performs an operation for a caller, who is gone when the connection is lost. */
export type OpHandler = (body: RunnerOp, caller: Caller) => Promise<unknown>;

/** The wall clock, finer than `Date` tells it. */
const unixMs = (): number => performance.timeOrigin + performance.now();

const anyRequest = v.object({ id: v.number() });

/** Serves a connection until it closes. Never rejects. */
export async function serveConnection(socket: Socket, handle: OpHandler): Promise<void> {
  const lost = new AbortController();
  const lines = new LineSplitter(MAX_LINE_BYTES);
  let pending = 0;
  let wake: () => void = () => undefined;
  socket.on('error', () => {
    // The agent is gone; `close` follows.
  });
  socket.on('close', () => {
    lost.abort();
    wake();
  });
  const respond = async (line: string) => {
    let undo: () => void = () => undefined;
    const caller: Caller = {
      signal: lost.signal,
      onUndelivered: (callback) => {
        undo = callback;
      },
    };
    const reply = await answer(line, handle, caller);
    if (socket.destroyed) undo();
    else if (reply !== null) {
      socket.write(`${JSON.stringify(reply)}\n`, (error) => {
        if (error) undo();
      });
    }
    pending -= 1;
    wake();
  };
  try {
    for await (const chunk of socket) {
      for (const line of lines.push(chunk)) {
        pending += 1;
        void respond(line);
        while (pending >= MAX_PENDING_REQUESTS && !lost.signal.aborted) {
          await new Promise<void>((resolve) => {
            wake = resolve;
          });
        }
      }
    }
  } catch {
    // A line without end, or a connection that broke off: nothing more can be understood.
  }
  lost.abort();
  socket.destroy();
}

async function answer(
  line: string,
  handle: OpHandler,
  caller: Caller,
): Promise<RunnerReply | null> {
  let raw: unknown;
  try {
    raw = JSON.parse(line);
  } catch {
    return null;
  }
  const identified = v.safeParse(anyRequest, raw);
  if (!identified.success) return null;
  const { id } = identified.output;
  const request = v.safeParse(runnerRequest, raw);
  if (!request.success) {
    const issue = request.issues[0];
    const message = `Not a valid request: ${issue.message}`;
    return { id, ok: false, error: { code: 'bad-request', message } };
  }
  const { body, timed } = request.output;
  const startUnixMs = unixMs();
  const times = () => (timed ? { times: { startUnixMs, endUnixMs: unixMs() } } : {});
  try {
    const result = await handle(body, caller);
    return { id, ok: true, result, ...times() };
  } catch (error) {
    const code = error instanceof RunnerError ? error.code : 'failed';
    return { id, ok: false, error: { code, message: errorMessage(error) }, ...times() };
  }
}
