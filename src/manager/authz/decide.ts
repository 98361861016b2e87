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
  /** What the caller named. */
  readonly target: ElementRef;
  /** The target and the scopes around it, in any order. */
  readonly chain: readonly ChainLink[];
}

export type Decision =
  /** By a role, or as the owner. */
  | { readonly allowed: true; readonly roleId: string | null }
  | { readonly allowed: false; readonly reason: string };

const lets = ({ cap }: ChainLink, operation: Operation): boolean =>
  cap === null || (cap & operationBits[operation]) !== 0;

const reaches = (link: ChainLink, { scope }: Grant, operation: Operation): boolean =>
  scope.type === link.type && scope.id === link.id && lets(link, operation);

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
  return chain.some((link) => link.type === 'user' && link.id === userId && lets(link, operation));
}

/**
 * Allowed to the owner, or by an active role with that operation on that type in one of the chain's
 * scopes. A refusal names nothing but what the caller did: neither who owns it nor where it lies.
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
  const { type, id } = question.target;
  const place = type === entityType ? `'${id}'` : `in ${type} '${id}'`;
  return {
    allowed: false,
    reason:
      `None of your roles allows '${operation}' of ${entityType} ${place}. ` +
      'An administrator can assign one that does.',
  };
}

/**
 * The same where roles are not enforced: the account's own role decides too, by which administrators
 * of a domain may do everything in it.
 */
export function decideByAccount(
  { role, domainName }: { readonly role: string; readonly domainName: string },
  grants: readonly Grant[],
  question: Question,
): Decision {
  const inOwnDomain = question.chain.some(
    (link) => link.type === 'domain' && link.id === domainName && lets(link, question.operation),
  );
  if (role === 'admin' && inOwnDomain) return { allowed: true, roleId: null };
  return decide(grants, question);
}
