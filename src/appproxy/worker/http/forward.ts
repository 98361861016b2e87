/** Heads as they are passed on: what belongs to one connection only is taken out, who asked is added. */
import { SESSION_COOKIE } from '../../../common/web-session.ts';
import { PERMIT_COOKIE_PREFIX } from '../../shared/permits.ts';
import type { AskedFor, RequestHead, ResponseHead } from './head.ts';

/** Belong to one connection, or are this proxy's to say; clients cannot set them for the application. */
const NOT_PASSED_ON = new Set([
  ...['connection', 'keep-alive', 'proxy-connection', 'proxy-authorization', 'te', 'trailer'],
  ...['upgrade', 'http2-settings', 'forwarded', 'x-forwarded-for', 'x-forwarded-host'],
  ...['x-forwarded-port', 'x-forwarded-proto', 'x-forwarded-server', 'x-real-ip'],
  ...['x-rstudio-proto', 'x-rstudio-request'],
]);
const NOT_RETURNED = new Set([
  ...['connection', 'keep-alive', 'proxy-connection', 'proxy-authenticate', 'upgrade'],
  'access-control-allow-origin',
]);

export interface ForwardFacts {
  readonly scheme: 'http' | 'https';
  readonly clientAddress: string;
  /** The name of the application, such as `rstudio`. */
  readonly app: string;
  /** Takes the `Authorization` out, which was for this proxy. */
  readonly hidesAuthorization: boolean;
  /** Takes the place of the client's; undefined leaves that as it is. */
  readonly traceparent?: string | undefined;
}

/**
 * Cookies of the platform, by the beginning of their names. Browsers do not tell the ports of a host
 * apart: they send these to every application there, and take them from every one.
 */
const OWN_COOKIES = [PERMIT_COOKIE_PREFIX, SESSION_COOKIE];

const isOwnCookie = (cookie: string): boolean =>
  OWN_COOKIES.some((name) => cookie.trimStart().startsWith(name));

/** A Cookie field without the platform's own cookies; empty when nothing is left. */
export function foreignCookies(value: string): string {
  if (!OWN_COOKIES.some((name) => value.includes(name))) return value;
  return value
    .split(';')
    .filter((cookie) => !isOwnCookie(cookie))
    .join(';')
    .trim();
}

/** Whether a field of a request is not for the application. @param key its name in lower case. */
export const isNotPassedOn = (
  key: string,
  { hidesAuthorization, traceparent }: ForwardFacts,
): boolean =>
  NOT_PASSED_ON.has(key) ||
  (key === 'authorization' && hidesAuthorization) ||
  (key === 'traceparent' && traceparent !== undefined);

/** Whether a field of a response is not for the client. @param key its name in lower case. */
export const isNotReturned = (key: string, value: string): boolean =>
  NOT_RETURNED.has(key) || (key === 'set-cookie' && isOwnCookie(value));

/** Fields that tell the application who asked, and how. */
export function addedFields(
  { host, target }: AskedFor,
  { scheme, clientAddress, app, traceparent }: ForwardFacts,
): [name: string, value: string][] {
  const port = /:(\d+)$/.exec(host)?.[1] ?? (scheme === 'https' ? '443' : '80');
  const added: [string, string][] = [
    ['X-Forwarded-Proto', scheme],
    ['X-Forwarded-Host', host],
    ['X-Forwarded-Port', port],
    ['X-Forwarded-For', clientAddress],
    ['Forwarded', `host="${host}";proto=${scheme}`],
  ];
  if (traceparent !== undefined) added.push(['Traceparent', traceparent]);
  if (app === 'rstudio') {
    added.push(['X-RStudio-Proto', scheme]);
    added.push(['X-RStudio-Request', `${scheme}://${host}${target}`]);
  }
  return added;
}

/** The head of a request for the application. */
export function requestHeadFor(head: RequestHead, facts: ForwardFacts): string {
  // Who speaks HTTP/1.0 does not understand a chunked answer.
  let out = `${head.method} ${head.target} HTTP/1.${head.minorVersion}\r\n`;
  for (const { name, key, value } of head.fields) {
    if (isNotPassedOn(key, facts) || head.connection.has(key)) continue;
    if (key === 'cookie') {
      const rest = foreignCookies(value);
      if (rest !== '') out += `${name}: ${rest}\r\n`;
      continue;
    }
    out += `${name}: ${value}\r\n`;
  }
  if (head.isWebSocket) out += 'Connection: Upgrade\r\nUpgrade: websocket\r\n';
  else if (head.minorVersion === 0) out += 'Connection: close\r\n';
  for (const [name, value] of addedFields(head, facts)) out += `${name}: ${value}\r\n`;
  return `${out}\r\n`;
}

/** The head of a response for the client. */
export function responseHeadFor(head: ResponseHead, connection: 'keep-alive' | 'close'): string {
  let out = `${head.statusLine.replace('HTTP/1.0', 'HTTP/1.1')}\r\n`;
  const isUpgrade = head.status === 101;
  for (const { name, key, value } of head.fields) {
    if (isNotReturned(key, value) || head.connection.has(key)) continue;
    out += `${name}: ${value}\r\n`;
  }
  if (isUpgrade) return `${out}Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n`;
  if (head.status < 200) return `${out}\r\n`;
  return `${out}Access-Control-Allow-Origin: *\r\nConnection: ${connection}\r\n\r\n`;
}
