/**
 * The terminal of a session as JSON messages over a WebSocket. It is the one that the session's web
 * terminal shows: who leaves and comes back finds the same shell.
 */
import * as v from 'valibot';
import { BackendError, errorMessage } from '../../common/errors.ts';
import { TERMINAL_SERVICE } from '../../common/images/labels.ts';
import { parseOutside } from '../../common/parse.ts';
import type { ManagerContext } from '../context.ts';
import { socketRoute } from '../http/declare.ts';
import type { AuthenticatedRequest, SocketPeer, SocketRoute } from '../http/route.ts';
import { startApp } from './apps.ts';
import { findSession, ofSession, type SessionInput } from './request.ts';
import { TerminalLink, type TerminalSize } from './terminal-link.ts';
import type { TunnelTracker } from './tunnel-tracker.ts';

/** Until the client tells its own. */
const FIRST_SIZE: TerminalSize = { columns: 80, rows: 24 };
const MAX_SIDE = 4096;
/** Keys of one message; the terminal takes no more at once. Bytes. */
const MAX_KEYS_BYTES = 3 * 1024 * 1024;

const closeCode = { done: 1000, badMessage: 1008, failed: 1011 } as const;

const side = v.pipe(
  v.number('rows and cols must be whole numbers'),
  v.integer('rows and cols must be whole numbers'),
  v.minValue(1, 'rows and cols must be 1 or more'),
  v.maxValue(MAX_SIDE, `rows and cols can be at most ${MAX_SIDE}`),
);
const chars = v.pipe(
  v.string('chars must be a text in base64'),
  v.base64('chars must be a text in base64'),
  v.transform((text): Uint8Array => Buffer.from(text, 'base64')),
  v.check(
    ({ length }) => length <= MAX_KEYS_BYTES,
    `chars can be at most ${MAX_KEYS_BYTES} bytes in one message`,
  ),
);
const clientMessage = v.pipe(
  v.string(),
  v.parseJson({}, 'a message must be JSON'),
  v.variant(
    'type',
    [
      v.object({ type: v.literal('stdin'), chars }),
      v.object({ type: v.literal('resize'), rows: side, cols: side }),
      v.object({ type: v.literal('ping') }),
      v.object({ type: v.literal('restart') }),
    ],
    'the type of a message must be stdin, resize, ping or restart',
  ),
);

/** @throws BackendError InvalidAPIParameters telling what is wrong with the message. */
function parseMessage(message: string | Uint8Array): v.InferOutput<typeof clientMessage> {
  const text = typeof message === 'string' ? message : new TextDecoder().decode(message);
  const parsed = parseOutside(clientMessage, text);
  if (parsed.success) return parsed.output;
  throw new BackendError('InvalidAPIParameters', parsed.issues[0].message);
}

/** Client to terminal, until the client is gone. @param active called with every message. */
async function takeInput(peer: SocketPeer, link: TerminalLink, active: () => void): Promise<void> {
  for await (const message of peer.messages) {
    const parsed = parseMessage(message);
    active();
    switch (parsed.type) {
      case 'stdin':
        await link.type(parsed.chars);
        break;
      case 'resize':
        link.resize({ columns: parsed.cols, rows: parsed.rows });
        break;
      case 'restart':
        link.restart();
        break;
      case 'ping':
        // It says that somebody is there, and has been noted as that.
        break;
    }
  }
}

/** Terminal to client, as fast as that one takes it, until the shell ends. */
async function showOutput(peer: SocketPeer, link: TerminalLink): Promise<void> {
  for await (const bytes of link) {
    const frame = JSON.stringify({ type: 'out', data: Buffer.from(bytes).toString('base64') });
    // Clients expect JSON in binary frames.
    await peer.send(Buffer.from(frame));
  }
}

async function relay(peer: SocketPeer, link: TerminalLink, active: () => void): Promise<void> {
  const leave = () => link.close();
  peer.signal.addEventListener('abort', leave, { once: true });
  try {
    await Promise.race([takeInput(peer, link, active), showOutput(peer, link)]);
    const { ended } = link;
    if (ended === null || ended.isOver) peer.close(closeCode.done);
    else peer.close(closeCode.failed, ended.why);
  } finally {
    peer.signal.removeEventListener('abort', leave);
    link.close();
  }
}

async function serveTerminal(
  ctx: ManagerContext,
  tracker: TunnelTracker,
  request: AuthenticatedRequest,
  input: SessionInput,
  peer: SocketPeer,
): Promise<void> {
  try {
    const session = await findSession(ctx, request, input);
    const app = { app: TERMINAL_SERVICE.name, port: null, options: { arguments: {}, envs: {} } };
    const place = await startApp(ctx, session, app);
    const link = await TerminalLink.open(place, {
      size: FIRST_SIZE,
      clock: ctx.clock,
      signal: peer.signal,
    });
    const tunnel = tracker.open(session.id);
    try {
      await relay(peer, link, tunnel.active);
    } finally {
      await tunnel.close();
    }
  } catch (error) {
    if (!(error instanceof BackendError)) throw error;
    const isBad = error.problem === 'InvalidAPIParameters';
    peer.close(isBad ? closeCode.badMessage : closeCode.failed, errorMessage(error));
  }
}

export const terminalRoute = (ctx: ManagerContext, tracker: TunnelTracker): SocketRoute =>
  socketRoute(
    {
      path: '/stream/session/:session_name/pty',
      gate: 'read',
      auth: 'user',
      summary: 'Type into the terminal of a session.',
      takes: ofSession,
    },
    (request, input, peer) => serveTerminal(ctx, tracker, request, input, peer),
  );
