/** What the node is made of and whether it works, as far as Linux tells. */
import { readFile } from 'node:fs/promises';
import { cpus, totalmem } from 'node:os';
import { errorMessage } from '../common/errors.ts';
import type { HardwareReport } from '../common/protocol/agent.ts';

/** Where Linux tells of memory errors that it could not correct, on machines that count them. */
const MEMORY_ERRORS = '/sys/devices/system/edac/mc/mc0/ue_count';

async function uncorrectedMemoryErrors(): Promise<number | null> {
  const text = await readFile(MEMORY_ERRORS, 'utf8').catch(() => '');
  return /^\d+\n?$/.test(text) ? Number(text) : null;
}

/** The devices that kernels can be given, by name. One that can't be looked at is `unavailable`. */
export async function describeHardware(): Promise<HardwareReport> {
  const devices: HardwareReport = {};
  try {
    const all = cpus();
    devices.cpu = {
      status: all.length > 0 ? 'healthy' : 'unavailable',
      status_info: null,
      metadata: { model_name: all[0]?.model ?? '', logical_cpus: String(all.length) },
    };
  } catch (error) {
    devices.cpu = { status: 'unavailable', status_info: errorMessage(error), metadata: {} };
  }
  const errors = await uncorrectedMemoryErrors();
  devices.mem = {
    status: errors !== null && errors > 0 ? 'degraded' : 'healthy',
    status_info: errors !== null && errors > 0 ? `${errors} uncorrected memory errors` : null,
    metadata: { total_bytes: String(totalmem()) },
  };
  return devices;
}
