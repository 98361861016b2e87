/** Sends a GET that has a body, which `fetch` refuses to do. */
import http, { type IncomingMessage } from 'node:http';
import https from 'node:https';

/** Answers that have no body, whatever comes. */
const BODILESS = new Set([204, 304]);

function toResponse(answer: IncomingMessage): Response {
  const headers = new Headers();
  for (let at = 0; at < answer.rawHeaders.length; at += 2) {
    headers.append(answer.rawHeaders[at] ?? '', answer.rawHeaders[at + 1] ?? '');
  }
  const { statusCode: status = 502, statusMessage: statusText } = answer;
  if (BODILESS.has(status)) {
    answer.resume();
    return new Response(null, { status, statusText, headers });
  }
  const chunks = answer[Symbol.asyncIterator]();
  const body = new ReadableStream<Uint8Array>({
    async pull(controller) {
      const { done, value } = await chunks.next();
      if (done) controller.close();
      else controller.enqueue(value);
    },
    cancel: () => void answer.destroy(),
  });
  return new Response(body, { status, statusText, headers });
}

/**
 * The answer as soon as its head is there; its body flows as it comes.
 * Rejects with what the network says, also when `signal` fires.
 */
export function getWithBody(
  url: URL,
  headers: Headers,
  body: Uint8Array,
  signal: AbortSignal,
): Promise<Response> {
  return new Promise((resolve, reject) => {
    const sent = { ...Object.fromEntries(headers), 'content-length': String(body.length) };
    const { request } = url.protocol === 'https:' ? https : http;
    const outgoing = request(url, { method: 'GET', headers: sent, signal });
    outgoing.on('response', (answer) => resolve(toResponse(answer)));
    outgoing.on('error', reject);
    outgoing.end(body);
  });
}
