/** Asks the app proxy of a resource group what it is. */
import * as v from 'valibot';
import type { Clock } from '../../common/clock.ts';
import { BackendError, errorMessage } from '../../common/errors.ts';

/** Longest wait for its answer. Milliseconds. */
const TIMEOUT_MS = 5_000;
/** Longest answer. Bytes. */
const MAX_BYTES = 64 * 1024;

const status = v.object({ api_version: v.pipe(v.string(), v.maxLength(16)) });

/** What is meant by a group without an app proxy: clients use their own. */
export const LOCAL_PROXY_VERSION = 'v1';

/**
 * The version of the app proxy's API, such as `v2`.
 * @param address its coordinator's URL.
 * @throws BackendError AppProxyConnectionError, AppProxyResponseError.
 */
export async function appProxyVersion(clock: Clock, address: string): Promise<string> {
  const late = new AbortController();
  const timer = clock.timer(TIMEOUT_MS, () => late.abort(new Error('no answer in time')));
  let text: string;
  try {
    const url = new URL('/status', address);
    const response = await fetch(url, { signal: late.signal, redirect: 'error' });
    if (!response.ok) {
      throw new BackendError(
        'AppProxyResponseError',
        `The app proxy at ${address} answers with ${response.status}.`,
      );
    }
    text = await response.text();
  } catch (error) {
    if (error instanceof BackendError) throw error;
    throw new BackendError(
      'AppProxyConnectionError',
      `The app proxy at ${address} cannot be reached: ${errorMessage(error)}`,
      { cause: error },
    );
  } finally {
    timer.cancel();
  }
  const parsed = v.safeParse(
    v.pipe(v.string(), v.maxBytes(MAX_BYTES), v.parseJson(), status),
    text,
  );
  if (parsed.success) return parsed.output.api_version;
  throw new BackendError(
    'AppProxyResponseError',
    `What answers at ${address} is no app proxy. Correct wsproxy_addr of the resource group.`,
  );
}
