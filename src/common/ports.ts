/** Finding TCP ports to listen on. */
import { createServer } from 'node:net';
import type { Random } from './random.ts';

/**
 * Where free ports are looked for: below those that systems hand out by themselves (Linux from
 * 32768, others from 49152), so that no outgoing connection takes the port before it is listened on.
 */
const LOWEST = 15_000;
const COUNT = 17_000;
const ATTEMPTS = 50;

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

/** `wanted` when it is free and not 0, else any free port. @throws Error when there is none. */
export async function pickPort(wanted: number, host: string, random: Random): Promise<number> {
  if (wanted !== 0 && (await probePort(wanted, host)) !== null) return wanted;
  for (let attempt = 0; attempt < ATTEMPTS; attempt += 1) {
    const [high = 0, low = 0] = random.bytes(2);
    const port = LOWEST + ((high * 256 + low) % COUNT);
    if ((await probePort(port, host)) !== null) return port;
  }
  const port = await probePort(0, host);
  if (port === null) throw new Error(`no TCP port can be bound on ${host}`);
  return port;
}
