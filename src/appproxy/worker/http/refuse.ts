/** Answers of the proxy itself: a page for people, a problem document for programs. */
import { STATUS_CODES } from 'node:http';
import { BackendError } from '../../../common/errors.ts';
import type { ProblemName } from '../../../common/problems.ts';
import type { AskedFor } from './head.ts';

const escaped = (text: string): string =>
  text.replace(/[&<>"]/g, (char) => `&#${char.charCodeAt(0)};`);

const page = (title: string, message: string): string => `<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>${escaped(title)}</title>
<style>body{font:16px/1.5 system-ui,sans-serif;max-width:40em;margin:15vh auto;padding:0 1em}</style>
</head><body><h1>${escaped(title)}</h1><p>${escaped(message)}</p></body></html>
`;

const prefersPage = (head: AskedFor | null): boolean =>
  head?.fields.some(({ key, value }) => key === 'accept' && value.includes('text/html')) ?? false;

/** What a refusal says: a page where one is asked for. */
export function refusalText(
  asked: AskedFor | null,
  problem: ProblemName,
  message: string,
): { contentType: string; body: string } {
  const document = new BackendError(problem, message).toDocument();
  return prefersPage(asked)
    ? { contentType: 'text/html; charset=utf-8', body: page(document.title, message) }
    : { contentType: 'application/problem+json', body: JSON.stringify(document) };
}

/**
 * A whole response, after which the connection ends.
 * @param status another one than the problem's, where HTTP has a closer one.
 */
export function refusalFor(
  head: AskedFor | null,
  problem: ProblemName,
  message: string,
  status = new BackendError(problem).status,
): Buffer {
  const { contentType, body } = refusalText(head, problem, message);
  const text = head?.method === 'HEAD' ? '' : body;
  return Buffer.from(
    `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? 'Error'}\r\n` +
      `Content-Type: ${contentType}\r\n` +
      `Content-Length: ${Buffer.byteLength(body)}\r\nCache-Control: no-store\r\n` +
      `Access-Control-Allow-Origin: *\r\nConnection: close\r\n\r\n${text}`,
  );
}
