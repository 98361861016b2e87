/** Whether a request may pass, and as whose it passes: the same in every version of HTTP. */
import type { Refusal } from '../access.ts';
import type { Circuit } from '../circuit.ts';
import type { HttpDoor } from './door.ts';
import type { ForwardFacts } from './forward.ts';
import type { AskedFor } from './head.ts';

export const noApplicationAt = (host: string): Refusal => ({
  problem: 'GenericBadRequest',
  message: `No application is served at ${host}.`,
});

const UNCHECKED: Refusal = {
  problem: 'InternalServerError',
  message: 'The token could not be checked.',
};

export const NO_SESSION = 'No session serves this application at present.';

/** @returns why a request may not pass; null when it may. A promise, which never rejects, where that has to be asked for. */
export function judge(
  { access }: HttpDoor,
  circuit: Circuit,
  asked: AskedFor,
  clientAddress: string,
): Refusal | null | Promise<Refusal | null> {
  const verdict = access.check(circuit, asked, clientAddress);
  return verdict instanceof Promise ? verdict.catch(() => UNCHECKED) : verdict;
}

/** What the application is told of who asks. */
export function forwardFacts(
  { scheme }: HttpDoor,
  { info }: Circuit,
  { clientAddress, traceparent }: Pick<ForwardFacts, 'clientAddress' | 'traceparent'>,
): ForwardFacts {
  return {
    ...{ scheme, clientAddress, traceparent, app: info.app },
    hidesAuthorization: info.app_mode === 'inference' && !info.open_to_public,
  };
}
