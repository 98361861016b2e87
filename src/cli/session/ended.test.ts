/** Waiting for the end of a session, with a clock that skips what is slept. */
import { expect, test } from 'bun:test';
import { ApiError, Client, readClientConfig } from '../../client/index.ts';
import { type Clock, systemClock } from '../../common/clock.ts';
import { waitUntilEnded } from './ended.ts';

function skippingClock(): Clock {
  let ms = 0;
  return {
    ...systemClock,
    monotonicMs: () => ms,
    sleep: async (wait) => {
      ms += wait;
    },
  };
}

/** A server that tells these statuses one after another, the last one for ever; null: no such session. */
function serverTelling(...statuses: (string | null)[]) {
  return Bun.serve({
    hostname: '127.0.0.1',
    port: 0,
    fetch(request) {
      if (new URL(request.url).pathname === '/') {
        return Response.json({ version: 'v9.20250722', manager: '26.4.4' });
      }
      const status = statuses.length > 1 ? statuses.shift() : statuses[0];
      if (status === undefined || status === null) {
        return Response.json({ type: 'x', title: 'No such session.' }, { status: 404 });
      }
      return Response.json({ status }, { status: status === 'broken' ? 500 : 200 });
    },
  });
}

async function wait(...statuses: (string | null)[]) {
  const server = serverTelling(...statuses);
  const seen: string[] = [];
  try {
    const client = new Client(readClientConfig({ BACKEND_ENDPOINT: server.url.origin }));
    const ended = await waitUntilEnded(client, 'work', {
      clock: skippingClock(),
      signal: new AbortController().signal,
      report: (status) => seen.push(status),
    });
    return { ended, seen };
  } finally {
    await server.stop(true);
  }
}

test('lasts until the session has ended, or is not known any more', async () => {
  const states = ['TERMINATING', 'TERMINATING'];
  expect(await wait(...states, 'TERMINATED')).toEqual({ ended: true, seen: states });
  expect(await wait('TERMINATING', null)).toEqual({ ended: true, seen: ['TERMINATING'] });
  expect(await wait('CANCELLED')).toEqual({ ended: true, seen: [] });
});

test('is given up after a minute', async () => {
  const { ended, seen } = await wait('TERMINATING');
  expect(ended).toBe(false);
  expect(seen.length).toBeGreaterThan(50);
  expect(seen.length).toBeLessThan(80);
});

test('tells that the server fails', async () => {
  await expect(wait('broken')).rejects.toBeInstanceOf(ApiError);
});
