/**
 * Tunnels: a WebSocket whose binary frames are the bytes of a TCP connection to an app of a session.
 * What the app sends is read only as fast as the client takes it.
 */
import { connect, type Socket } from 'node:net';
import * as v from 'valibot';
import { BackendError, errorCode, errorMessage } from '../../common/errors.ts';
import type { ManagerContext } from '../context.ts';
import { socketRoute } from '../http/declare.ts';
import type { AuthenticatedRequest, SocketPeer, SocketRoute } from '../http/route.ts';
import { appOptions, appPort, jsonObject } from './app-options.ts';
import { type StartedApp, startApp } from './apps.ts';
import { findSession, ofSession, type SessionInput, withOwner } from './request.ts';
import type { SessionRecord } from './service.ts';
import type { TunnelTracker } from './tunnel-tracker.ts';

const CONNECT_TIMEOUT_MS = 10_000;
/** How a tunnel ends, as clients tell it apart. */
const closeCode = { appEnded: 1001, failed: 1011, refused: 1013 } as const;

const query = withOwner(
  v.object({
    app: v.pipe(v.string(), v.nonEmpty()),
    port: v.optional(v.nullable(appPort), null),
    envs: jsonObject,
    arguments: jsonObject,
  }),
);
const takes = { ...ofSession, query };

/** Connects to the app. @throws the system's error. */
function dial({ host, port }: StartedApp, signal: AbortSignal): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host, port, noDelay: true, keepAlive: true });
    const fail = (error: Error) => {
      socket.destroy();
      reject(error);
    };
    socket.setTimeout(CONNECT_TIMEOUT_MS, () => fail(new Error('it did not answer in time')));
    signal.addEventListener('abort', () => fail(new Error('the client left')), { once: true });
    socket.once('error', fail);
    socket.once('connect', () => {
      socket.off('error', fail);
      socket.setTimeout(0);
      resolve(socket);
    });
  });
}

/** Takes bytes and waits until there is room for more; false when the connection is over. */
function pass(socket: Socket, bytes: Uint8Array): Promise<boolean> {
  if (!socket.writable) return Promise.resolve(false);
  if (socket.write(bytes)) return Promise.resolve(true);
  return new Promise((resolve) => {
    const settle = (is: boolean) => () => {
      socket.off('drain', drained);
      socket.off('close', closed);
      resolve(is);
    };
    const drained = settle(true);
    const closed = settle(false);
    socket.once('drain', drained);
    socket.once('close', closed);
  });
}

const bytesOf = (message: string | Uint8Array): Uint8Array =>
  typeof message === 'string' ? Buffer.from(message) : message;

/** Moves bytes both ways until one side is over. @param active called when there were any. */
async function relay(socket: Socket, peer: SocketPeer, active: () => void): Promise<void> {
  const outward = async () => {
    for await (const message of peer.messages) {
      active();
      if (!(await pass(socket, bytesOf(message)))) return;
    }
    // The client is gone; what it sent before still arrives.
    socket.end();
  };
  const inward = async () => {
    for await (const chunk of socket) {
      active();
      await peer.send(chunk);
    }
    peer.close(closeCode.appEnded, 'the app closed the connection');
  };
  const end = () => socket.destroy();
  peer.signal.addEventListener('abort', end, { once: true });
  try {
    await Promise.all([outward(), inward()]);
  } catch (error) {
    // After a disconnect either side fails; only a break of the app's is news to the client.
    if (!peer.signal.aborted) peer.close(closeCode.failed, errorMessage(error));
  } finally {
    peer.signal.removeEventListener('abort', end);
    socket.destroy();
  }
}

async function openTunnel(
  ctx: ManagerContext,
  session: SessionRecord,
  app: StartedApp,
  peer: SocketPeer,
  tracker: TunnelTracker,
): Promise<void> {
  let socket: Socket;
  try {
    socket = await dial(app, peer.signal);
  } catch (error) {
    const isRefused = errorCode(error) === 'ECONNREFUSED';
    const code = isRefused ? closeCode.refused : closeCode.failed;
    ctx.log.debug('an app could not be connected to', {
      session: session.id,
      error: errorMessage(error),
    });
    peer.close(code, isRefused ? 'the app takes no connections' : errorMessage(error));
    return;
  }
  const tunnel = tracker.open(session.id);
  try {
    await relay(socket, peer, tunnel.active);
  } finally {
    await tunnel.close();
  }
}

async function serveTunnel(
  ctx: ManagerContext,
  tracker: TunnelTracker,
  request: AuthenticatedRequest,
  input: SessionInput & { readonly query: v.InferOutput<typeof query> },
  peer: SocketPeer,
): Promise<void> {
  try {
    const { app, port, envs, arguments: args } = input.query;
    const session = await findSession(ctx, request, input);
    const options = appOptions({ envs, arguments: args });
    await openTunnel(
      ctx,
      session,
      await startApp(ctx, session, { app, port, options }),
      peer,
      tracker,
    );
  } catch (error) {
    if (!(error instanceof BackendError)) throw error;
    peer.close(closeCode.failed, error.message);
  }
}

export const tunnelRoutes = (ctx: ManagerContext, tracker: TunnelTracker): SocketRoute[] =>
  (['httpproxy', 'tcpproxy'] as const).map((kind) =>
    socketRoute(
      {
        path: `/stream/session/:session_name/${kind}`,
        gate: 'read',
        auth: 'user',
        summary: 'Connect to an app of a session, byte for byte.',
        takes,
      },
      (request, input, peer) => serveTunnel(ctx, tracker, request, input, peer),
    ),
  );
