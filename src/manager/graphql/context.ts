/** What every resolver is given. */
import type { ManagerContext } from '../context.ts';
import type { Caller } from '../http/route.ts';
import type { GraphqlLimits } from './limits.ts';

/** What a request brings along. */
export interface GraphqlCaller {
  readonly ctx: ManagerContext;
  readonly caller: Caller;
  readonly requestId: string;
  /** Where the client is; null when that is unknown. */
  readonly clientAddress: string | null;
  /** Aborts when the client goes away. */
  readonly signal: AbortSignal;
}

/** One object per operation, and per event of a subscription; loaders batch by it. */
export interface GraphqlContext extends GraphqlCaller {
  readonly limits: GraphqlLimits;
}
