/**
 * Whether somebody may do something: a pure decision on who owns the target, on the permissions of the
 * caller's roles and on the chain of scopes that the target lies in.
 */
import { type ElementRef, type ElementType, type Operation, operationBits } from './elements.ts';

/** A scope that the target lies in, or the target itself. */
export interface ChainLink extends ElementRef {
  /** Operations that reach the target from here, as bits; null: all, without a limit on the way. */
  readonly cap: number | null;
}

/** One permission of a role that the caller has. */
export interface Grant {
  readonly roleId: string;
  readonly roleName: string;
  /** Only active roles count. */
  readonly roleStatus: string;
  readonly scope: { readonly type: string; readonly id: string };
  readonly entityType: string;
  readonly operation: string;
}

export interface Question {
  readonly userId: string;
  readonly operation: Operation;
  /** What is done something to; for the target itself its own type. */
  readonly entityType: ElementType;
  /** The target, then the scopes around it; in any order. */
  readonly chain: readonly ChainLink[];
}

export type Decision =
  /** By a role, or as the owner. */
  | { readonly allowed: true; readonly roleId: string | null }
  | { readonly allowed: false; readonly reason: string };

const called = ({ type, id }: { type: string; id: string }): string => `${type} '${id}'`;

function reaches(link: ChainLink, grant: Grant, operation: Operation): boolean {
  if (grant.scope.type !== link.type || grant.scope.id !== link.id) return false;
  return link.cap === null || (link.cap & operationBits[operation]) !== 0;
}

const ALL: readonly Operation[] = ['create', 'read', 'update', 'soft-delete', 'hard-delete'];

/**
 * What everybody may do with what is the own, without a permission for each of a hundred thousand
 * users.
 */
const owners: Partial<Record<ElementType, readonly Operation[]>> = {
  user: ['read', 'update', 'soft-delete', 'hard-delete'],
  keypair: ALL,
  session: ALL,
  kernel: ['read'],
  'session:app_service': ['read'],
  vfolder: ALL,
  'vfolder:data': ['create', 'read', 'update', 'hard-delete'],
  model_deployment: ALL,
  app_config: ALL,
  notification_channel: ALL,
  notification_rule: ALL,
  'role:assignment': ['read', 'update'],
};

function isOwn({ userId, operation, entityType, chain }: Question): boolean {
  if (!owners[entityType]?.includes(operation)) return false;
  return chain.some(
    ({ type, id, cap }) =>
      type === 'user' && id === userId && (cap === null || (cap & operationBits[operation]) !== 0),
  );
}

/**
 * Allowed to the owner, or by an active role with that operation on that type in one of the chain's
 * scopes.
 */
export function decide(grants: readonly Grant[], question: Question): Decision {
  if (isOwn(question)) return { allowed: true, roleId: null };
  const { operation, entityType, chain } = question;
  const matching = grants.filter(
    (grant) =>
      grant.operation === operation &&
      grant.entityType === entityType &&
      chain.some((link) => reaches(link, grant, operation)),
  );
  const active = matching.find(({ roleStatus }) => roleStatus === 'active');
  if (active) return { allowed: true, roleId: active.roleId };
  const [dormant] = matching;
  if (dormant) {
    const { roleName, roleStatus } = dormant;
    return {
      allowed: false,
      reason: `Your role '${roleName}' would allow it, but is ${roleStatus}.`,
    };
  }
  return {
    allowed: false,
    reason:
      `None of your roles allows '${operation}' of ${entityType} in ` +
      `${chain.slice(0, 4).map(called).join(' or ')}. An administrator can assign one that does.`,
  };
}
