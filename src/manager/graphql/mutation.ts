/** How mutations are guarded, and what those of the older form answer: `{ok, msg, …}`. */
import { BackendError } from '../../common/errors.ts';
import type { GraphqlContext } from './context.ts';
import { requireAdministrator } from './scope.ts';

/** Roles by what they may do; monitors change nothing. */
const RANK = { monitor: 0, user: 1, admin: 2, superadmin: 3 } as const;

interface Answer {
  readonly ok: boolean;
  readonly msg: string;
}

/** @throws BackendError ServerFrozen while the cluster takes no changes. */
export async function refuseWhenFrozen(ctx: GraphqlContext['ctx']): Promise<void> {
  if ((await ctx.config.get('manager/status')) === 'frozen') throw new BackendError('ServerFrozen');
}

/**
 * Runs a mutation of the newer form; who may is the feature's to say, where it is not `superadmin`.
 * @throws BackendError GenericForbidden for others; ServerFrozen while the cluster takes no changes.
 */
export async function v2Mutation<T>(
  context: GraphqlContext,
  who: 'superadmin' | 'anybody',
  run: () => Promise<T>,
): Promise<T> {
  await refuseWhenFrozen(context.ctx);
  if (who === 'superadmin') requireAdministrator(context.caller);
  return run();
}

/**
 * Runs a mutation for callers of at least `role`. A refusal is an answer with `ok` false, as
 * upstream's, and carries `nothing` in place of the result; other failures are errors.
 * @param field the name under which the mutation was asked for.
 * @throws BackendError ServerFrozen while the cluster takes no changes.
 */
export async function mutate<T extends object>(
  context: GraphqlContext,
  field: string | number,
  role: 'user' | 'admin' | 'superadmin',
  nothing: { readonly [K in keyof T]: null },
  run: () => Promise<T>,
): Promise<Answer & (T | { readonly [K in keyof T]: null })> {
  await refuseWhenFrozen(context.ctx);
  if (RANK[context.caller.role] < RANK[role]) {
    return { ok: false, msg: `no permission to execute ${field}`, ...nothing };
  }
  try {
    return { ok: true, msg: 'success', ...(await run()) };
  } catch (error) {
    if (!(error instanceof BackendError) || error.problem !== 'GenericForbidden') throw error;
    return { ok: false, msg: error.message, ...nothing };
  }
}

/** A column that cannot be cleared: null asks for nothing. */
export const kept = <T>(value: T | null | undefined): T | undefined => value ?? undefined;
