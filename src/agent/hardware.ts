/** What the node is made of and whether it works, as its families of devices tell. */
import type { DeviceFamily } from '../accelerator/family.ts';
import { errorMessage } from '../common/errors.ts';
import type { HardwareReport } from '../common/protocol/agent.ts';

/** The families by key. One that can't be looked at is `unavailable`. */
export async function describeHardware(families: readonly DeviceFamily[]): Promise<HardwareReport> {
  const reports = await Promise.all(
    families.map(async (family) => {
      try {
        const { metadata, ...health } = await family.health();
        return [family.key, { ...health, metadata: { ...metadata } }] as const;
      } catch (error) {
        const status_info = errorMessage(error);
        return [family.key, { status: 'unavailable' as const, status_info, metadata: {} }] as const;
      }
    }),
  );
  return Object.fromEntries(reports);
}
