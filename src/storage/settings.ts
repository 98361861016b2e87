/** The storage proxy's settings, as storage-proxy.toml and the environment give them. */

export interface TlsFiles {
  readonly certFile: string;
  readonly keyFile: string;
}

export interface ListenSettings {
  readonly hostname: string;
  /** 0 picks a free port. */
  readonly port: number;
  /** PEM files; null serves plain HTTP. */
  readonly tls: TlsFiles | null;
}

/** Where XFS projects are noted. */
export interface ProjectFiles {
  /** Holds the files `projects` and `projid`. */
  readonly folder: string;
  /** Locked with flock(1) while they change. */
  readonly lockFile: string;
}

/** Where xfs_quota looks; only root can put anything into either folder. */
export const MACHINE_PROJECTS: ProjectFiles = {
  folder: '/etc',
  lockFile: '/run/backend.ai-xfs.lock',
};

export interface VolumeSettings {
  /** What managers call it: the second half of a folder's host. */
  readonly name: string;
  readonly backend: 'cephfs' | 'vfs' | 'xfs';
  /** Where it is mounted, here and on the agents alike. */
  readonly path: string;
  /** Of `path`, as managers are told. */
  readonly fsprefix: string;
  /** Of `xfs`; this machine's own by default. */
  readonly projects?: ProjectFiles;
}

/** An S3 server that keeps artifacts. */
export interface ObjectStorageSettings {
  /** What managers call it. */
  readonly name: string;
  /** `http://host:port` or https. */
  readonly endpoint: string;
  readonly region: string;
  readonly accessKey: string;
  readonly secretKey: string;
  /** Those that managers may use. */
  readonly buckets: readonly string[];
  /** Sizes in bytes; null: any. */
  readonly presignedUpload: {
    readonly minBytes: number | null;
    readonly maxBytes: number | null;
    readonly expirationSec: number;
  };
  readonly presignedDownload: { readonly expirationSec: number };
  /** Of the parts in which large objects are stored. S3 takes no less than 5 MiB. */
  readonly uploadChunkBytes: number;
}

/** Who owns new folders; null: whoever runs the proxy. */
export interface OwnerSettings {
  readonly uid: number;
  readonly gid: number;
  /** Whether the group may write too: where sessions of several kinds run as different users. */
  readonly groupWrites?: boolean;
}

export interface StorageSettings {
  /** Among several proxies on the same volumes. */
  readonly nodeId: string;
  /** Entries that one listing shows; 0: all. */
  readonly scandirLimit: number;
  /** Largest file that can be uploaded. Bytes. */
  readonly maxUploadBytes: number;
  /** Signs the tokens of clients. */
  readonly tokenSecret: string;
  /** How long such a token is good. Milliseconds. */
  readonly tokenLifetimeMs: number;
  /** What managers prove themselves with. */
  readonly managerSecret: string;
  /** Whether the first folder of an owner makes the owner's quota scope. */
  readonly createsMissingScopes: boolean;
  readonly owner: OwnerSettings | null;
  readonly volumes: readonly VolumeSettings[];
  readonly objectStorages: readonly ObjectStorageSettings[];
}

type Chosen = Pick<StorageSettings, 'nodeId' | 'tokenSecret' | 'managerSecret' | 'volumes'> &
  Partial<Pick<StorageSettings, 'owner'>>;

/** What a proxy without a storage-proxy.toml does, as inside `up`. */
export const localStorageSettings = (chosen: Chosen): StorageSettings => ({
  scandirLimit: 1000,
  maxUploadBytes: 100 * 1024 ** 3,
  tokenLifetimeMs: 24 * 3_600_000,
  createsMissingScopes: true,
  owner: null,
  objectStorages: [],
  ...chosen,
});
