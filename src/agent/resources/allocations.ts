/** What a kernel holds, as it is recorded beside the kernel and told to others. */
import * as v from 'valibot';
import type { SlotAmounts } from '../../accelerator/family.ts';
import {
  addSlots,
  formatAmount,
  formatSlots,
  parseAmount,
  type SlotMap,
} from '../../common/slots.ts';

/** Family → slot → device → amount as decimal text. */
export const allocations = v.record(
  v.string(),
  v.record(v.string(), v.record(v.string(), v.pipe(v.string(), v.regex(/^\d+(\.\d+)?$/)))),
);
export type Allocations = v.InferOutput<typeof allocations>;

export const toRecord = (held: ReadonlyMap<string, SlotAmounts>): Allocations =>
  Object.fromEntries(
    [...held].map(([family, slots]) => [
      family,
      Object.fromEntries(
        [...slots].map(([slot, amounts]) => [
          slot,
          Object.fromEntries([...amounts].map(([id, amount]) => [id, formatAmount(amount)])),
        ]),
      ),
    ]),
  );

/** What of one family is held. */
export const heldOf = (record: Allocations, family: string): SlotAmounts =>
  new Map(
    Object.entries(record[family] ?? {}).map(([slot, amounts]) => [
      slot,
      new Map(Object.entries(amounts).map(([id, amount]) => [id, parseAmount(amount) ?? 0n])),
    ]),
  );

/** What is held of each slot, whatever the devices. */
export function totalSlots(record: Allocations): SlotMap {
  let total: ReadonlyMap<string, bigint> = new Map();
  for (const family of Object.keys(record)) {
    for (const [slot, amounts] of heldOf(record, family)) {
      for (const amount of amounts.values()) total = addSlots(total, new Map([[slot, amount]]));
    }
  }
  return formatSlots(total);
}

/** The logical CPUs among what is held; empty: no pinning. */
export const cpuIdsOf = (record: Allocations): number[] =>
  Object.keys(record.cpu?.cpu ?? {})
    .map(Number)
    .sort((a, b) => a - b);

/** How records of kernels keep it. An agent of before kept the CPUs only. */
export const recordedAllocations = {
  allocations: v.optional(allocations),
  cpuIds: v.optional(v.array(v.number())),
};

/** @param record of a kernel; null when it is lost, and with it what the kernel holds. */
export function allocationsIn(
  record: {
    readonly allocations?: Allocations | undefined;
    readonly cpuIds?: readonly number[] | undefined;
    readonly spec: { readonly slots: SlotMap };
  } | null,
): Allocations {
  if (record === null) return {};
  return record.allocations ?? allocationsOfCpus(record.cpuIds ?? [], record.spec.slots);
}

function allocationsOfCpus(cpuIds: readonly number[], slots: SlotMap): Allocations {
  const cpu = parseAmount(slots.cpu ?? '0') ?? 0n;
  const each = cpuIds.length > 0 ? formatAmount(cpu / BigInt(cpuIds.length)) : '0';
  return {
    cpu: { cpu: Object.fromEntries(cpuIds.map((id) => [String(id), each])) },
    mem: { mem: { root: slots.mem ?? '0' } },
  };
}
