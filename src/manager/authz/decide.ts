/**
 * Whether somebody may do something: a pure decision on the permissions of the caller's roles and on
 * the chain of scopes that the target lies in.
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
  readonly operation: Operation;
  /** What is done something to; for the target itself its own type. */
  readonly entityType: ElementType;
  /** The target, then the scopes around it; in any order. */
  readonly chain: readonly ChainLink[];
}

export type Decision =
  | { readonly allowed: true; readonly roleId: string }
  | { readonly allowed: false; readonly reason: string };

const called = ({ type, id }: { type: string; id: string }): string => `${type} '${id}'`;

function reaches(link: ChainLink, grant: Grant, operation: Operation): boolean {
  if (grant.scope.type !== link.type || grant.scope.id !== link.id) return false;
  return link.cap === null || (link.cap & operationBits[operation]) !== 0;
}

/** Allowed by an active role with that operation on that type in one of the chain's scopes. */
export function decide(grants: readonly Grant[], question: Question): Decision {
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
