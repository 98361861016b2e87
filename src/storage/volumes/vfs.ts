/** The backend `vfs`: any folder of this machine, whatever is mounted there (NFS, SMB, a disk). */
import type { VolumeBackend } from './backend.ts';

export function vfsBackend(): VolumeBackend {
  return {
    name: 'vfs',
    quota: null,
    performance: null,
    capacity: null,
    folderUsage: null,
    fastScan: false,
    async hardware() {
      return { status: 'healthy', statusInfo: null, metadata: {} };
    },
    async close() {},
  };
}
