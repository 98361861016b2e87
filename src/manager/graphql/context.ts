/** What every resolver is given. */
import type { ManagerContext } from '../context.ts';
import type { Caller } from '../http/route.ts';

export interface GraphqlContext {
  readonly ctx: ManagerContext;
  readonly caller: Caller;
  readonly requestId: string;
  /** Where the client is; null when that is unknown. */
  readonly clientAddress: string | null;
  /** Aborts when the client goes away. */
  readonly signal: AbortSignal;
}
