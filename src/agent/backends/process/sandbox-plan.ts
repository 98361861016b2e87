/** What every way of building a sandbox is given. */
import type { HostView } from './host-view.ts';

export type SandboxKind = 'bubblewrap' | 'unshare' | 'none';

/** One sandbox to build. Paths on the left are the host's, on the right the sandbox's. */
export interface SandboxPlan {
  readonly view: HostView;
  readonly hostname: string;
  /** Writable mounts: [path on the host, path in the sandbox]. */
  readonly writable: readonly (readonly [string, string])[];
  /** The user's folders, outer ones first. */
  readonly folders: readonly {
    readonly from: string;
    readonly to: string;
    readonly readOnly: boolean;
  }[];
  /** Read-only mounts of the kernel's own files, applied last. */
  readonly readOnly: readonly (readonly [string, string])[];
  /** Device files of the host that the kernel may open. */
  readonly devices: readonly string[];
  /** Size of /dev/shm. */
  readonly shmBytes: number;
  readonly workingFolder: string;
  /** An empty folder of the host for the sandbox to build its root in. */
  readonly rootFolder: string;
}

/** User and group inside the sandbox, as in the container images of the platform. */
export const SANDBOX_UID = 1000;
export const SANDBOX_GID = 1000;

/**
 * Below /proc, where the whole host is set. To the operating system a session of root's agent still
 * is root, whatever its user id inside: without cover it could change what the host runs when a
 * program crashes, say. (bubblewrap's own cover is left out when the folders' modes forbid writing.)
 */
export const HOST_SETTINGS: readonly string[] = [
  ...['sys', 'sysrq-trigger', 'irq', 'bus', 'fs', 'acpi', 'scsi', 'tty', 'driver', 'mtrr'],
];
