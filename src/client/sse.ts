/** Server-sent events: a line protocol over a long answer. */

export interface ServerSentEvent {
  readonly event: string;
  readonly data: string;
}

/** Longest single event. Characters. */
const MAX_EVENT_CHARS = 1024 * 1024;

/**
 * Reads events until the answer ends or the server says `server_close`.
 * @throws RangeError when one event is larger than a mebibyte.
 */
export async function* readEvents(
  body: AsyncIterable<Uint8Array>,
): AsyncGenerator<ServerSentEvent, void, undefined> {
  const decoder = new TextDecoder();
  let pending = '';
  let event = 'message';
  let data: string[] = [];
  for await (const chunk of body) {
    pending += decoder.decode(chunk, { stream: true });
    if (pending.length > MAX_EVENT_CHARS) throw new RangeError('An event is too large.');
    const lines = pending.split(/\r\n|\n|\r(?!$)/);
    pending = lines.pop() ?? '';
    for (const line of lines) {
      if (line === '') {
        if (event === 'server_close') return;
        if (data.length > 0) yield { event, data: data.join('\n') };
        event = 'message';
        data = [];
        continue;
      }
      const [, field, value = ''] = /^([^:]*)(?:: ?(.*))?$/s.exec(line) ?? [];
      if (field === 'event') event = value;
      else if (field === 'data') data.push(value);
    }
  }
}
