/** Opens the volumes that the settings name. */
import type { Logger } from '../../common/logger.ts';
import { StorageError } from '../problems.ts';
import type { StorageSettings, VolumeSettings } from '../settings.ts';
import type { VolumeBackend } from './backend.ts';
import { cephfsBackend } from './cephfs/backend.ts';
import { vfsBackend } from './vfs.ts';
import { Volume } from './volume.ts';
import { xfsBackend } from './xfs/backend.ts';

type MakeBackend = (volume: VolumeSettings, log: Logger) => VolumeBackend;
export type Backends = Record<VolumeSettings['backend'], MakeBackend>;
const BACKENDS: Backends = {
  cephfs: cephfsBackend,
  vfs: vfsBackend,
  xfs: xfsBackend,
};

export class Volumes implements AsyncDisposable {
  readonly #byName: ReadonlyMap<string, Volume>;

  private constructor(volumes: readonly Volume[]) {
    this.#byName = new Map(volumes.map((volume) => [volume.name, volume]));
  }

  /**
   * @param backends instead of those there are, by their names.
   * @throws UserError naming the volume that is not there.
   */
  static async open(
    settings: StorageSettings,
    log: Logger,
    backends: Partial<Backends> = {},
  ): Promise<Volumes> {
    const known = { ...BACKENDS, ...backends };
    const opened: Volume[] = [];
    for (const volume of settings.volumes) {
      const backend = known[volume.backend](volume, log);
      opened.push(await Volume.open(volume, backend, settings.owner, log));
    }
    return new Volumes(opened);
  }

  all(): Volume[] {
    return [...this.#byName.values()];
  }

  find(name: string): Volume | null {
    return this.#byName.get(name) ?? null;
  }

  /** @throws StorageError InvalidVolume. */
  require(name: string): Volume {
    const volume = this.#byName.get(name);
    if (volume) return volume;
    const known = [...this.#byName.keys()].join(', ') || 'none';
    throw new StorageError(
      'InvalidVolume',
      `This storage proxy has no volume ${JSON.stringify(name)}; it has: ${known}.`,
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.all().map((volume) => volume.close()));
  }
}
