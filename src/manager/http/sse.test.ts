/** Streams of events, from the first byte to the end. */
import { expect, test } from 'bun:test';
import { systemClock } from '../../common/clock.ts';
import { eventStream, type ServerEvent } from './sse.ts';

async function* twoEvents(): AsyncGenerator<ServerEvent> {
  yield { event: 'one', data: { a: 1 } };
  yield { event: 'two', data: 'x\ny' };
}

test('events are framed, in order, after a first sign of life', async () => {
  const response = eventStream(systemClock, twoEvents(), {
    signal: new AbortController().signal,
    onEnd: () => {},
  });
  expect(response.headers.get('content-type')).toBe('text/event-stream');
  expect(await response.text()).toBe(
    ': connected\n\nevent: one\ndata: {"a":1}\n\nevent: two\ndata: "x\\ny"\n\n',
  );
});

test('a client that left before its stream began ends it too', () => {
  let ended = 0;
  eventStream(systemClock, twoEvents(), {
    signal: AbortSignal.abort(),
    onEnd: () => {
      ended += 1;
    },
  });
  expect(ended).toBe(1);
});
