/** Which presets a session of the caller could have now, and the numbers that decide it. */
import type { Sql } from 'postgres';
import { BackendError } from '../../common/errors.ts';
import {
  addSlots,
  formatAmount,
  parseAmount,
  parseSlots,
  type SlotMap,
  type Slots,
  slotsFit,
} from '../../common/slots.ts';
import { getSlotTypes } from '../config/service.ts';
import type { ManagerContext } from '../context.ts';
import { getDomain } from '../domain/service.ts';
import type { Caller } from '../http/route.ts';
import { loadKeypairPolicy } from '../policy/service.ts';
import { projectOfMember } from '../project/service.ts';
import { allowedResourceGroups } from '../resource-group/service.ts';
import * as store from './check-store.ts';
import {
  formatLimits,
  type Limits,
  leaveRoom,
  onlyKnown,
  remaining,
  smallest,
  toLimits,
} from './limits.ts';

/** Largest number of presets in one answer. */
const MAX_PRESETS = 1000;
/** Most agents looked at. */
const MAX_AGENTS = 10_000;
/** Whether users see what their project may hold. */
const VISIBILITY_KEY = 'config/api/resources/group_resource_visibility';
const TRUE_WORDS: ReadonlySet<string> = new Set(['true', 't', '1', 'yes', 'y', 'on']);

export interface PresetItem {
  readonly id: string;
  readonly name: string;
  /** Every known slot; decimal strings. */
  readonly resource_slots: SlotMap;
  /** Bytes as a decimal string. */
  readonly shared_memory: string | null;
}

/** A preset's amounts of the known slots; unknown ones are left out, as upstream does. */
function presetItem(row: store.UsablePreset, known: readonly string[]): PresetItem {
  const slots = Object.fromEntries(
    known.map((slot) => [slot, formatAmount(parseAmount(row.resource_slots[slot] ?? '0') ?? 0n)]),
  );
  return { id: row.id, name: row.name, resource_slots: slots, shared_memory: row.shared_memory };
}

/** The presets for all resource groups and those of the named one; at most 1000. */
export async function usablePresets(
  ctx: ManagerContext,
  groupName: string | null,
): Promise<PresetItem[]> {
  const [types, rows] = await Promise.all([
    getSlotTypes(ctx),
    store.selectUsablePresets(ctx.sql, groupName, MAX_PRESETS),
  ]);
  const known = Object.keys(types);
  return rows.map((row) => presetItem(row, known));
}

export interface PresetCheck {
  readonly presets: readonly (PresetItem & { readonly allocatable: boolean })[];
  readonly keypair_limits: SlotMap;
  readonly keypair_using: SlotMap;
  /** What keypair, project and domain all leave. */
  readonly keypair_remaining: SlotMap;
  readonly group_limits: SlotMap;
  readonly group_using: SlotMap;
  readonly group_remaining: SlotMap;
  readonly scaling_group_remaining: SlotMap;
  readonly scaling_groups: Readonly<Record<string, { using: SlotMap; remaining: SlotMap }>>;
}

/** The project the caller means; administrators act in any project of their domain. */
const projectOf = (sql: Sql, caller: Caller, nameOrId: string) =>
  projectOfMember(sql, {
    userId: caller.userId,
    domain: caller.domainName,
    nameOrId,
    anyMember: caller.isSuperadmin || caller.role === 'admin',
  });

/** @throws BackendError InvalidAPIParameters when `only` is none of the groups open to the caller. */
async function resourceGroupNames(
  sql: Sql,
  caller: Caller,
  projectId: string,
  only: string | null,
): Promise<string[]> {
  const { domainName: domain, accessKey } = caller;
  const groups = await allowedResourceGroups(sql, { domain, projectId, accessKey });
  const names = groups.map(({ name }) => name);
  if (only === null) return names;
  if (names.includes(only)) return [only];
  throw new BackendError(
    'InvalidAPIParameters',
    `Unknown scaling group '${only}'. Yours in this project: ${names.join(', ') || 'none'}.`,
  );
}

interface Quotas {
  readonly keypairLimits: Limits;
  readonly keypairHeld: Slots;
  readonly groupLimits: Limits;
  readonly groupHeld: Slots;
  /** What keypair, project and domain all leave. */
  readonly left: Limits;
}

async function quotasOf(
  sql: Sql,
  caller: Caller,
  project: { readonly id: string; readonly totalResourceSlots: SlotMap },
  known: readonly string[],
): Promise<Quotas> {
  const { accessKey, domainName } = caller;
  const [policy, domain, held] = await Promise.all([
    loadKeypairPolicy(sql, accessKey),
    getDomain(sql, caller),
    store.selectHeld(sql, { accessKey, projectId: project.id, domainName }),
  ]);
  const keypairLimits = toLimits(policy.totalResourceSlots, known, policy.defaultForUnspecified);
  const groupLimits = toLimits(project.totalResourceSlots, known, 'UNLIMITED');
  const domainLimits = toLimits(domain.totalResourceSlots, known, 'UNLIMITED');
  const [keypairHeld, groupHeld] = [parseSlots(held.keypair), parseSlots(held.project)];
  const left = smallest(
    remaining(keypairLimits, keypairHeld),
    remaining(groupLimits, groupHeld),
    remaining(domainLimits, parseSlots(held.domain)),
  );
  return { keypairLimits, keypairHeld, groupLimits, groupHeld, left };
}

async function groupsAreVisible(ctx: ManagerContext): Promise<boolean> {
  const word = await ctx.config.get(VISIBILITY_KEY);
  return word !== null && TRUE_WORDS.has(word.trim().toLowerCase());
}

/**
 * Checks every preset against the caller's quotas and the agents.
 * @param request.groupName only this resource group counts; null: all that are open to the caller.
 * @throws BackendError ProjectNotFound, InvalidAPIParameters for an unknown resource group.
 */
export async function checkPresets(
  ctx: ManagerContext,
  caller: Caller,
  request: { readonly project: string; readonly groupName: string | null },
): Promise<PresetCheck> {
  const { sql } = ctx;
  const project = await projectOf(sql, caller, request.project);
  const names = await resourceGroupNames(sql, caller, project.id, request.groupName);
  const known = Object.keys(await getSlotTypes(ctx));
  const [quotas, rows, own, agents, visible] = await Promise.all([
    quotasOf(sql, caller, project, known),
    store.selectUsablePresets(sql, request.groupName, MAX_PRESETS),
    store.selectHeldByUser(sql, caller.userId, names),
    store.selectAgentsFree(sql, names, MAX_AGENTS),
    groupsAreVisible(ctx),
  ]);
  const free = agents.map(({ name, slots }) => ({ name, slots: parseSlots(slots) }));
  const freeTogether = (counted: typeof free): SlotMap => {
    const sum = counted.map(({ slots }) => slots).reduce(addSlots, new Map());
    return formatLimits(smallest(onlyKnown(sum, known), quotas.left));
  };
  const usingIn = (name: string): SlotMap => {
    const slots = own.find((row) => row.name === name)?.slots ?? {};
    return formatLimits(onlyKnown(parseSlots(slots), known));
  };
  const hidden = Object.fromEntries(known.map((slot) => [slot, 'NaN']));
  const ofGroup = (amounts: Limits): SlotMap => (visible ? formatLimits(amounts) : hidden);
  return {
    presets: rows.map((row) => {
      const item = presetItem(row, known);
      const wanted = parseSlots(item.resource_slots);
      const fits = free.some(({ slots }) => slotsFit(wanted, slots));
      return { ...item, allocatable: fits && leaveRoom(quotas.left, wanted) };
    }),
    keypair_limits: formatLimits(quotas.keypairLimits),
    keypair_using: formatLimits(onlyKnown(quotas.keypairHeld, known)),
    keypair_remaining: formatLimits(quotas.left),
    group_limits: ofGroup(quotas.groupLimits),
    group_using: ofGroup(onlyKnown(quotas.groupHeld, known)),
    group_remaining: ofGroup(remaining(quotas.groupLimits, quotas.groupHeld)),
    scaling_group_remaining: freeTogether(free),
    scaling_groups: Object.fromEntries(
      names.map((name) => {
        const inGroup = free.filter((agent) => agent.name === name);
        return [name, { using: usingIn(name), remaining: freeTogether(inGroup) }];
      }),
    ),
  };
}
