/** A connection to a server that a test can cut and mend: a port of this host that leads to another one. */
import { connect, createServer, type Server, type Socket } from 'node:net';

const HOST = '127.0.0.1';

export interface Cable {
  /** `host:port` of this end. */
  readonly addr: string;
  /** Ends what is connected, and refuses everybody. */
  cut(): Promise<void>;
  mend(): Promise<void>;
}

function forward(near: Socket, to: { readonly host: string; readonly port: number }): void {
  const far = connect(to.port, to.host);
  for (const [from, into] of [
    [near, far],
    [far, near],
  ] as const) {
    from.pipe(into);
    // The other end learns of it by the end of its own connection.
    from.on('error', () => into.destroy());
    from.on('close', () => into.destroy());
  }
}

/** @param target `host:port` of the server. */
export async function layCable(target: string): Promise<Cable> {
  const { hostname: host, port } = new URL(`tcp://${target}`);
  const sockets = new Set<Socket>();
  let server: Server | null = null;
  let own = 0;
  const mend = () =>
    new Promise<void>((resolve, reject) => {
      server = createServer((socket) => {
        sockets.add(socket);
        socket.on('close', () => sockets.delete(socket));
        forward(socket, { host, port: Number(port) });
      });
      server.once('error', reject);
      server.listen({ host: HOST, port: own, exclusive: true }, () => {
        const address = server?.address();
        if (typeof address === 'object' && address !== null) own = address.port;
        resolve();
      });
    });
  await mend();
  return {
    addr: `${HOST}:${own}`,
    mend: async () => {
      if (server === null) await mend();
    },
    cut: () =>
      new Promise((resolve) => {
        const old = server;
        server = null;
        if (old === null) resolve();
        else old.close(() => resolve());
        for (const socket of sockets) socket.destroy();
      }),
  };
}
