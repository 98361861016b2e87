/** Keeps the books of one family of devices: how much of each is given away, and to whom next. */
import {
  type Device,
  type DeviceAmounts,
  type DeviceFamily,
  heldDeviceIds,
  type SlotAmounts,
} from '../../accelerator/family.ts';
import { BackendError } from '../../common/errors.ts';
import type { ProblemName } from '../../common/problems.ts';
import { formatAmount } from '../../common/slots.ts';
import { type Affinity, type Candidate, inOrder } from './affinity.ts';
import { allocateDiscrete } from './discrete.ts';
import { allocateFraction } from './fraction.ts';

const ONE = 1_000_000n;

/** A kernel cannot be given what it asks for. The message says what is missing. */
export class AllocationError extends BackendError {
  /** Whether it may work once others have given something back. */
  readonly isPassing: boolean;

  constructor(problem: ProblemName, message: string, isPassing: boolean) {
    super(problem, message);
    this.isPassing = isPassing;
  }
}

const refused = (message: string): AllocationError =>
  new AllocationError('InvalidAPIParameters', message, false);
const lacking = (message: string): AllocationError =>
  new AllocationError('InstanceNotAvailable', message, true);

export interface AllocationOptions {
  readonly affinity: Affinity;
  /** Whether a share may be put together from parts of devices that one device could hold whole. */
  readonly mayFragment: boolean;
}

/** `cuda.device:*-mig` matches `cuda.device:10g-mig`. */
function matches(pattern: string, slotName: string): boolean {
  const [prefix = '', suffix] = pattern.split('*');
  if (suffix === undefined) return pattern === slotName;
  const isLong = slotName.length >= prefix.length + suffix.length;
  return isLong && slotName.startsWith(prefix) && slotName.endsWith(suffix);
}

export class AllocationMap {
  readonly #family: DeviceFamily;
  readonly #devices: ReadonlyMap<string, Device>;
  /** Slot name and device id → millionths given away. Devices that are gone are kept for giving back. */
  readonly #used = new Map<string, Map<string, bigint>>();

  constructor(family: DeviceFamily) {
    this.#family = family;
    this.#devices = new Map(family.devices.map((device) => [device.deviceId, device]));
  }

  /** What is given away; devices of which nothing is are left out. */
  get used(): SlotAmounts {
    return new Map(
      [...this.#used]
        .map(([slot, amounts]) => [slot, new Map(amounts)] as const)
        .filter(([, amounts]) => amounts.size > 0),
    );
  }

  /**
   * Gives devices away.
   * @param wanted slot of this family → millionths; zeros are left out.
   * @returns what was given, which `free` takes back; nothing is given when it throws.
   * @throws AllocationError.
   */
  allocate(wanted: ReadonlyMap<string, bigint>, options: AllocationOptions): SlotAmounts {
    const requested = new Map([...wanted].filter(([, amount]) => amount > 0n));
    this.#refuseTogether([...requested.keys()]);
    const given = new Map<string, DeviceAmounts>();
    for (const [slotName, amount] of requested) {
      given.set(slotName, this.#allocateSlot(slotName, amount, options));
    }
    this.apply(given);
    return given;
  }

  /** Notes what is held already, even if that is more than there is. */
  apply(held: SlotAmounts): void {
    for (const [slot, amounts] of held) {
      for (const [id, amount] of amounts) this.#change(slot, id, amount);
    }
  }

  free(held: SlotAmounts): void {
    for (const [slot, amounts] of held) {
      for (const [id, amount] of amounts) this.#change(slot, id, -amount);
    }
  }

  /** The devices that belong to what was given. */
  devicesOf(held: SlotAmounts): Device[] {
    return heldDeviceIds(held).flatMap((id) => this.#devices.get(id) ?? []);
  }

  #change(slot: string, id: string, by: bigint): void {
    const amounts = this.#used.get(slot) ?? new Map<string, bigint>();
    this.#used.set(slot, amounts);
    const after = (amounts.get(id) ?? 0n) + by;
    if (after < 0n) throw new RangeError(`more of ${slot} was given back than was taken`);
    if (after === 0n) amounts.delete(id);
    else amounts.set(id, after);
  }

  #refuseTogether(slots: readonly string[]): void {
    const exclusive = slots.filter((slot) =>
      this.#family.exclusiveSlots.some((pattern) => matches(pattern, slot)),
    );
    if (exclusive.length < 2) return;
    throw refused(`A kernel can't have ${exclusive.join(' and ')} together; ask for one of them.`);
  }

  #candidates(slotName: string): Candidate[] {
    const used = this.#used.get(slotName);
    return this.#family.devices
      .filter((device) => device.slotName === slotName)
      .map((device) => ({ device, used: used?.get(device.deviceId) ?? 0n }));
  }

  #allocateSlot(slotName: string, amount: bigint, options: AllocationOptions): DeviceAmounts {
    const { rule, slotTypes } = this.#family;
    const type = slotTypes[slotName];
    const order = inOrder(this.#candidates(slotName), options.affinity);
    const { candidates } = order;
    if (type === undefined || candidates.length === 0) {
      throw new AllocationError(
        'InstanceNotAvailable',
        `This agent has no ${slotName}; it offers ${Object.keys(slotTypes).join(', ') || 'none'}.`,
        false,
      );
    }
    if (type === 'unique') return oneOf(slotName, candidates, amount);
    const wanted = this.#cut(slotName, amount);
    checkFree(slotName, wanted, candidates);
    if (rule.kind === 'discrete') return allocateDiscrete(rule, candidates, wanted);
    const shares = allocateFraction(rule, candidates, wanted, {
      near: order.near,
      mayFragment: options.mayFragment,
    });
    if (shares !== null && total(shares) === wanted) return shares;
    throw lacking(
      `${formatAmount(wanted)} ${slotName} can't be given without splitting them over devices that are ` +
        `partly used: free are ${freeText(candidates)}. Allow fractional resource fragmentation, or ask for less.`,
    );
  }

  /** @throws AllocationError when the amount is no multiple of what can be held. */
  #cut(slotName: string, amount: bigint): bigint {
    const { rule } = this.#family;
    if (rule.kind === 'fraction') {
      const whole = (amount / rule.quantum) * rule.quantum;
      if (whole > 0n) return whole;
      throw refused(
        `${formatAmount(amount)} ${slotName} is less than the smallest share, ${formatAmount(rule.quantum)}.`,
      );
    }
    if (rule.divisible || amount % ONE === 0n) return amount;
    throw refused(
      `${slotName} is given in whole units only, and ${formatAmount(amount)} is asked for.`,
    );
  }
}

const total = (amounts: DeviceAmounts): bigint =>
  [...amounts.values()].reduce((sum, amount) => sum + amount, 0n);

const freeOf = ({ device, used }: Candidate): bigint =>
  used < device.amount ? device.amount - used : 0n;

const freeText = (candidates: readonly Candidate[]): string =>
  candidates.map((each) => `${formatAmount(freeOf(each))} of ${each.device.deviceId}`).join(', ');

function checkFree(slotName: string, wanted: bigint, candidates: readonly Candidate[]): void {
  const free = candidates.reduce((sum, candidate) => sum + freeOf(candidate), 0n);
  if (wanted <= free) return;
  throw lacking(
    `The kernel asks for ${formatAmount(wanted)} ${slotName}, but only ${formatAmount(free)} of ` +
      `${formatAmount(candidates.reduce((sum, { device }) => sum + device.amount, 0n))} are free on this agent.`,
  );
}

/** Of a unique slot a kernel holds exactly one. */
function oneOf(slotName: string, candidates: readonly Candidate[], amount: bigint): DeviceAmounts {
  if (amount !== ONE) {
    throw refused(
      `A kernel can have just one ${slotName}, and ${formatAmount(amount)} is asked for.`,
    );
  }
  const open = candidates.find((candidate) => freeOf(candidate) >= ONE);
  if (!open) throw lacking(`All ${candidates.length} ${slotName} of this agent are in use.`);
  return new Map([[open.device.deviceId, ONE]]);
}
