/** The backend `vfs`: any folder of this machine, whatever is mounted there (NFS, SMB, a disk). */
import { errorMessage } from '../../common/errors.ts';
import type { VolumeSettings } from '../settings.ts';
import { fileSystemAt, type VolumeBackend } from './backend.ts';

export function vfsBackend({ path }: Pick<VolumeSettings, 'path'>): VolumeBackend {
  return {
    name: 'vfs',
    quota: null,
    performance: null,
    capacity: null,
    folderUsage: null,
    copyTree: null,
    async start() {},
    async hardware() {
      try {
        await fileSystemAt(path);
        return { status: 'healthy', statusInfo: null, metadata: {} };
      } catch (error) {
        return { status: 'unavailable', statusInfo: errorMessage(error), metadata: {} };
      }
    },
    async close() {},
  };
}
