/** What an agent offers: the host's capacity less what is kept for the system. */
import { formatSlots, parseSlots, type SlotMap } from '../../common/slots.ts';

const MILLIONTHS = 1_000_000n;

export interface Reservation {
  readonly reservedCpu: number;
  readonly reservedMemBytes: bigint;
  readonly memoryAlignBytes: bigint;
}

/** Slots offered to kernels; never below zero, memory a multiple of the alignment. */
export function offeredSlots(capacity: SlotMap, reservation: Reservation): SlotMap {
  const slots = new Map(parseSlots(capacity));
  const least = (value: bigint) => (value < 0n ? 0n : value);
  const cpu = slots.get('cpu');
  if (cpu !== undefined) {
    slots.set('cpu', least(cpu - BigInt(Math.round(reservation.reservedCpu)) * MILLIONTHS));
  }
  const mem = slots.get('mem');
  if (mem !== undefined) {
    const align = reservation.memoryAlignBytes > 0n ? reservation.memoryAlignBytes : 1n;
    const bytes = least(mem / MILLIONTHS - reservation.reservedMemBytes);
    slots.set('mem', (bytes / align) * align * MILLIONTHS);
  }
  return formatSlots(slots);
}
