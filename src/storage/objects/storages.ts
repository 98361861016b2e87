/** The object storages that the settings name, and their buckets. */
import type { Clock } from '../../common/clock.ts';
import { StorageError } from '../problems.ts';
import type { ObjectStorageSettings } from '../settings.ts';
import { ObjectBucket } from './bucket.ts';

export class ObjectStorages {
  readonly #byName: ReadonlyMap<string, ObjectStorageSettings>;
  readonly #clock: Clock;

  constructor(storages: readonly ObjectStorageSettings[], clock: Clock) {
    this.#byName = new Map(storages.map((storage) => [storage.name, storage]));
    this.#clock = clock;
  }

  /** @throws StorageError ArtifactStorageNotFound, BucketNotFound. */
  bucket(storageName: string, bucketName: string): ObjectBucket {
    const storage = this.#byName.get(storageName);
    if (!storage) {
      const known = [...this.#byName.keys()].join(', ') || 'none';
      throw new StorageError(
        'ArtifactStorageNotFound',
        `This storage proxy has no object storage ${JSON.stringify(storageName)}; it has: ${known}.`,
      );
    }
    if (!storage.buckets.includes(bucketName)) {
      throw new StorageError(
        'BucketNotFound',
        `The object storage ${storageName} has no bucket ${JSON.stringify(bucketName)}; it has: ${storage.buckets.join(', ')}.`,
      );
    }
    return new ObjectBucket(storage, bucketName, this.#clock);
  }
}
