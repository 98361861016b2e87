/**
 * Asks NVIDIA's driver about its devices by running `nvidia-smi`. A program of its own, unlike the
 * library behind it (NVML), can be given up on: a device that has stopped answering must not hold up
 * the agent. It takes some 20 ms.
 */
import { errorMessage } from '../common/errors.ts';
import type { DeviceUsage } from './family.ts';

const TIMEOUT_MS = 20_000;
const MAX_OUTPUT_BYTES = 1024 * 1024;
const MIB = 1024 * 1024;

export interface NvidiaDevice {
  readonly uuid: string;
  readonly name: string;
  /** As Linux names it: `0000:07:00.0`. */
  readonly pciAddress: string;
  readonly memoryBytes: number;
  readonly driverVersion: string;
  /** Whether it is cut into slices, which are given away instead of it. */
  readonly isSliced: boolean;
}

export interface NvidiaSlice {
  readonly uuid: string;
  /** UUID of the device it is cut from. */
  readonly parent: string;
  /** Such as `1g.10gb`: processors and memory. */
  readonly profile: string;
}

const DEVICE_FIELDS = 'uuid,name,pci.bus_id,memory.total,driver_version,mig.mode.current';
const USAGE_FIELDS =
  'uuid,memory.used,memory.total,utilization.gpu,power.draw,power.limit,temperature.gpu';

/** The rows of `--format=csv,noheader,nounits`; what is not supported is written in brackets. */
const rowsOf = (text: string): string[][] =>
  text
    .split('\n')
    .filter((line) => line.trim() !== '')
    .map((line) => line.split(',').map((cell) => cell.trim()));

/** null for `[N/A]`, `[Not Supported]` and the like. */
function numberOf(cell: string | undefined): number | null {
  if (cell === undefined || !/^-?\d+(\.\d+)?$/.test(cell)) return null;
  return Number(cell);
}

const mebibytes = (cell: string | undefined): number | null => {
  const amount = numberOf(cell);
  return amount === null ? null : amount * MIB;
};

/** `00000000:07:00.0` is `0000:07:00.0` to Linux. */
const linuxAddress = (address: string): string =>
  address.toLowerCase().replace(/^0000(?=[0-9a-f]{4}:)/, '');

/** @throws Error when a row is not what was asked for. */
export function parseDevices(text: string): NvidiaDevice[] {
  return rowsOf(text).map(([uuid, name, address, memory, driverVersion, mig, ...rest]) => {
    const memoryBytes = mebibytes(memory);
    const isComplete = name && address && driverVersion && mig && rest.length === 0;
    if (!uuid?.startsWith('GPU-') || !isComplete) {
      throw new Error(`nvidia-smi answered '${[uuid, name, address, memory].join(', ')}'`);
    }
    return {
      uuid,
      name,
      pciAddress: linuxAddress(address),
      // Devices that share the host's memory do not say.
      memoryBytes: memoryBytes ?? 0,
      driverVersion,
      isSliced: mig === 'Enabled',
    };
  });
}

/** By UUID, from the answer to the same question with other fields. */
export function parseUsage(text: string): Map<string, DeviceUsage> {
  return new Map(
    rowsOf(text).map(([uuid = '', used, total, utilization, power, limit, temperature]) => [
      uuid,
      {
        memoryUsedBytes: mebibytes(used),
        memoryTotalBytes: mebibytes(total),
        utilizationPercent: numberOf(utilization),
        powerWatts: numberOf(power),
        powerLimitWatts: numberOf(limit),
        temperatureCelsius: numberOf(temperature),
      },
    ]),
  );
}

/** The slices in the answer to `nvidia-smi -L`, which lists them below their devices. */
export function parseSlices(text: string): NvidiaSlice[] {
  const slices: NvidiaSlice[] = [];
  let parent = '';
  for (const line of text.split('\n')) {
    parent = /^GPU \d+: .*\(UUID: (GPU-[^)]+)\)/.exec(line)?.[1] ?? parent;
    const slice = /^\s+MIG (\S+)\s+Device\s+\d+: \(UUID: (MIG-[^)]+)\)/.exec(line);
    const [, profile, uuid] = slice ?? [];
    if (profile && uuid) slices.push({ uuid, parent, profile });
  }
  return slices;
}

/** The newest CUDA that the driver serves, from any answer with a heading; null when it does not say. */
export const parseCudaVersion = (text: string): string | null =>
  /CUDA Version\s*:\s*(\d+\.\d+)/.exec(text)?.[1] ?? null;

export interface NvidiaSmi {
  devices(): Promise<NvidiaDevice[]>;
  slices(): Promise<NvidiaSlice[]>;
  usage(): Promise<Map<string, DeviceUsage>>;
  cudaVersion(): Promise<string | null>;
}

async function ask(program: string, args: readonly string[]): Promise<string> {
  const failure = (why: string) => new Error(`nvidia-smi ${args.join(' ')} failed: ${why}`);
  try {
    const child = Bun.spawn([program, ...args], {
      stdin: 'ignore',
      stdout: 'pipe',
      stderr: 'ignore',
      timeout: TIMEOUT_MS,
      killSignal: 'SIGKILL',
      maxBuffer: MAX_OUTPUT_BYTES,
    });
    const [text, exitCode] = await Promise.all([new Response(child.stdout).text(), child.exited]);
    if (exitCode === 0) return text;
    const isLate = child.signalCode !== null;
    throw failure(
      isLate ? `no answer in ${TIMEOUT_MS / 1000} s` : text.trim() || `code ${exitCode}`,
    );
  } catch (error) {
    if (error instanceof Error && error.message.startsWith('nvidia-smi')) throw error;
    throw failure(errorMessage(error));
  }
}

/** @param program the path of nvidia-smi. Its calls throw an Error that says what it answered. */
export function nvidiaSmi(program: string): NvidiaSmi {
  const query = (fields: string) =>
    ask(program, [`--query-gpu=${fields}`, '--format=csv,noheader,nounits']);
  return {
    devices: async () => parseDevices(await query(DEVICE_FIELDS)),
    slices: async () => parseSlices(await ask(program, ['-L'])),
    usage: async () => parseUsage(await query(USAGE_FIELDS)),
    cudaVersion: async () => parseCudaVersion(await ask(program, ['-q', '-d', 'COMPUTE'])),
  };
}
