/** Finding TCP ports to listen on. */
import { createServer } from 'node:net';

/** Whether `port` can be bound on `host` now. @returns the bound port (a free one for 0), or null. */
export function probePort(port: number, host: string): Promise<number | null> {
  return new Promise((resolve) => {
    const probe = createServer();
    probe.once('error', () => resolve(null));
    probe.listen(port, host, () => {
      const address = probe.address();
      const bound = address !== null && typeof address === 'object' ? address.port : null;
      probe.close(() => resolve(bound));
    });
  });
}

/** `wanted` when it is free, else any free port. */
export async function pickPort(wanted: number, host: string): Promise<number> {
  const port = (await probePort(wanted, host)) ?? (await probePort(0, host));
  if (port === null) throw new Error(`no TCP port can be bound on ${host}`);
  return port;
}
