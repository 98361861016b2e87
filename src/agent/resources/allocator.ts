/** Which devices of the agent each kernel holds, over all families. */
import { capacityOf, type DeviceFamily, type SlotAmounts } from '../../accelerator/family.ts';
import { formatSlots, parseAmount, type SlotMap, type SlotType } from '../../common/slots.ts';
import { type AffinityPolicy, nodesAfter } from './affinity.ts';
import { AllocationError, AllocationMap } from './allocation-map.ts';
import { type Allocations, heldOf, toRecord } from './allocations.ts';

/** Allocated last, in this order, when nothing else is said. */
const INTRINSIC = ['cpu', 'mem'];

export interface AllocatorOptions {
  readonly families: readonly DeviceFamily[];
  /** Keys of families, those allocated first in front. Unnamed accelerators come before CPU and memory. */
  readonly allocationOrder: readonly string[];
  readonly affinityPolicy: AffinityPolicy;
}

/** `cuda` for `cuda.device:10g-mig`. */
const familyKeyOf = (slotName: string): string => slotName.split('.', 1)[0] ?? slotName;

function sortedFamilies({ families, allocationOrder }: AllocatorOptions): DeviceFamily[] {
  const isNamed = (key: string) => allocationOrder.includes(key);
  const named = [...allocationOrder, ...INTRINSIC.filter((key) => !isNamed(key))];
  const unnamed = families
    .map(({ key }) => key)
    .filter((key) => !isNamed(key) && !INTRINSIC.includes(key));
  const firstIntrinsic = named.findIndex((key) => INTRINSIC.includes(key));
  const order = named.toSpliced(firstIntrinsic, 0, ...unnamed);
  return families.toSorted((a, b) => order.indexOf(a.key) - order.indexOf(b.key));
}

export class Allocator {
  readonly families: readonly DeviceFamily[];
  readonly #maps: ReadonlyMap<string, AllocationMap>;
  readonly #policy: AffinityPolicy;
  readonly #byKernel = new Map<string, Allocations>();
  #released = Promise.withResolvers<void>();

  constructor(options: AllocatorOptions) {
    this.families = sortedFamilies(options);
    this.#maps = new Map(this.families.map((family) => [family.key, new AllocationMap(family)]));
    this.#policy = options.affinityPolicy;
  }

  /** What kernels can be given in total. */
  get offered(): SlotMap {
    const slots = this.families.flatMap(({ devices }) => [...capacityOf(devices)]);
    return formatSlots(new Map(slots));
  }

  get slotTypes(): Record<string, SlotType> {
    return Object.assign({}, ...this.families.map(({ slotTypes }) => slotTypes));
  }

  /** Family → what is given away of it. */
  get used(): ReadonlyMap<string, SlotAmounts> {
    return new Map([...this.#maps].map(([key, map]) => [key, map.used]));
  }

  /**
   * Gives a kernel what it asks for, all or nothing. Asking again answers what it holds.
   * @throws AllocationError saying what is missing.
   */
  allocate(
    kernelId: string,
    slots: SlotMap,
    options: { readonly mayFragment: boolean },
  ): Allocations {
    const before = this.#byKernel.get(kernelId);
    if (before) return before;
    this.#refuseUnknown(slots);
    const given = new Map<string, SlotAmounts>();
    let nodes: ReadonlySet<number> = new Set();
    try {
      for (const { key } of this.families) {
        const map = this.#mapOf(key);
        const affinity = { policy: this.#policy, nodes };
        const held = map.allocate(wantedOf(slots, key), { ...options, affinity });
        given.set(key, held);
        nodes = nodesAfter(nodes, map.devicesOf(held));
      }
    } catch (error) {
      for (const [key, held] of given) this.#mapOf(key).free(held);
      throw error;
    }
    const record = toRecord(new Map([...given].filter(([, held]) => held.size > 0)));
    this.#byKernel.set(kernelId, record);
    return record;
  }

  /** Notes what a kernel of an earlier agent holds, even if that is too much. */
  restore(kernelId: string, record: Allocations): void {
    this.release(kernelId);
    for (const [key, map] of this.#maps) map.apply(heldOf(record, key));
    this.#byKernel.set(kernelId, record);
  }

  release(kernelId: string): void {
    const record = this.#byKernel.get(kernelId);
    if (!record) return;
    this.#byKernel.delete(kernelId);
    for (const [key, map] of this.#maps) map.free(heldOf(record, key));
    this.#released.resolve();
    this.#released = Promise.withResolvers();
  }

  /** Resolves when the next kernel gives something back. */
  nextRelease(): Promise<void> {
    return this.#released.promise;
  }

  #mapOf(key: string): AllocationMap {
    const map = this.#maps.get(key);
    if (!map) throw new RangeError(`no devices of the family ${key}`);
    return map;
  }

  #refuseUnknown(slots: SlotMap): void {
    const unknown = Object.entries(slots)
      .filter(
        ([name, amount]) => (parseAmount(amount) ?? 0n) > 0n && !this.#maps.has(familyKeyOf(name)),
      )
      .map(([name]) => name);
    if (unknown.length === 0) return;
    throw new AllocationError(
      'InstanceNotAvailable',
      `This agent has no ${unknown.join(', ')}; it offers ${Object.keys(this.offered).join(', ')}.`,
      false,
    );
  }
}

/** The slots of one family. Millionths. @throws AllocationError for an amount that is none. */
function wantedOf(slots: SlotMap, key: string): Map<string, bigint> {
  const wanted = new Map<string, bigint>();
  for (const [name, text] of Object.entries(slots)) {
    if (familyKeyOf(name) !== key) continue;
    const amount = parseAmount(text);
    if (amount === null) {
      throw new AllocationError(
        'InvalidAPIParameters',
        `'${text}' is no amount of ${name}.`,
        false,
      );
    }
    wanted.set(name, amount);
  }
  return wanted;
}
