/** Where the files of an installation lie, and the secrets that are made up once for it. */
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import * as v from 'valibot';
import { errorMessage, UserError } from '../common/errors.ts';
import { type Random, randomString } from '../common/random.ts';
import { ACCELERATORS, type InstallRequest, WATCHES } from './request.ts';

const SECRET_LENGTH = 48;

export interface Layout {
  /** The installation's folder. */
  readonly root: string;
  /** The executable, or the launcher of a checkout. */
  readonly executable: string;
  /** manager.toml and the others; the components are started in it. */
  readonly config: string;
  /** State of the components. */
  readonly state: string;
  /** Sockets. */
  readonly sockets: string;
  readonly logs: string;
  /** Process ids of the components. */
  readonly run: string;
  /** The folder of the volume local:volume1. */
  readonly volume: string;
  readonly halfstack: string;
  readonly installLog: string;
  /** What was installed: upstream's name and shape, for the tools that read it. */
  readonly info: string;
}

export function layoutOf(targetPath: string): Layout {
  return {
    root: targetPath,
    executable: join(targetPath, 'bin/backend.ai'),
    config: join(targetPath, 'etc'),
    state: join(targetPath, 'var'),
    sockets: join(targetPath, 'ipc'),
    logs: join(targetPath, 'logs'),
    run: join(targetPath, 'run'),
    volume: join(targetPath, 'volumes/volume1'),
    halfstack: join(targetPath, 'halfstack'),
    installLog: join(targetPath, 'install.log'),
    info: join(targetPath, 'INSTALL-INFO'),
  };
}

const secretsRecord = v.object({
  /** Of PostgreSQL, when this installation starts it. */
  database: v.string(),
  storageToken: v.string(),
  storageManager: v.string(),
  appProxyApi: v.string(),
  appProxyJwt: v.string(),
  appProxyPermit: v.string(),
  /** Of Grafana's user. */
  grafana: v.string(),
  harborAdmin: v.string(),
  harborDatabase: v.string(),
});
export type Secrets = v.InferOutput<typeof secretsRecord>;
const keptSecrets = v.object({
  ...secretsRecord.entries,
  appProxyApi: v.optional(v.string()),
  appProxyJwt: v.optional(v.string()),
  appProxyPermit: v.optional(v.string()),
  grafana: v.optional(v.string()),
  harborAdmin: v.optional(v.string()),
  harborDatabase: v.optional(v.string()),
});

const secretsPath = (layout: Layout) => join(layout.root, 'secrets.json');

/** The installation's secrets: each made at the first call that needs it, kept in a file of its owner. */
export function loadOrCreateSecrets(layout: Layout, random: Random): Secrets {
  const path = secretsPath(layout);
  const kept = readSecrets(path);
  const made = () => randomString(random, SECRET_LENGTH);
  const secrets: Secrets = {
    database: kept.database ?? made(),
    storageToken: kept.storageToken ?? made(),
    storageManager: kept.storageManager ?? made(),
    appProxyApi: kept.appProxyApi ?? made(),
    appProxyJwt: kept.appProxyJwt ?? made(),
    appProxyPermit: kept.appProxyPermit ?? made(),
    grafana: kept.grafana ?? made(),
    harborAdmin: kept.harborAdmin ?? `${made()}Aa1`,
    harborDatabase: kept.harborDatabase ?? made(),
  };
  if (Object.keys(kept).length < Object.keys(secrets).length) writeSecrets(path, secrets);
  return secrets;
}

const writeSecrets = (path: string, secrets: Secrets): void =>
  writeOwnFile(path, `${JSON.stringify(secrets, null, 2)}\n`);

/** Keeps a secret that somebody chose, in the place of the one that was made. @returns it. */
export function rememberSecret(
  layout: Layout,
  random: Random,
  name: keyof Secrets,
  value: string,
): string {
  writeSecrets(secretsPath(layout), { ...loadOrCreateSecrets(layout, random), [name]: value });
  return value;
}

/** Those that are kept: all, or none at first; older versions made no others than the first three. */
function readSecrets(path: string): Partial<Secrets> {
  if (!existsSync(path)) return {};
  try {
    return v.parse(keptSecrets, JSON.parse(readFileSync(path, 'utf8')));
  } catch (error) {
    throw new UserError(`${path} cannot be read: ${errorMessage(error)}`, {
      hint: 'Restore it from a backup; the configuration files below etc/ hold the same secrets.',
    });
  }
}

/** Replaces a file at once, readable by its owner only: configuration files hold secrets. */
export function writeOwnFile(path: string, text: string, mode = 0o600): void {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(`${path}.new`, text, { mode });
  renameSync(`${path}.new`, path);
}

/** What was asked for, kept so that `maintain` knows what there is. The password is not in it. */
export const infoRecord = v.object({
  version: v.string(),
  type: v.picklist(['source', 'package']),
  last_updated: v.string(),
  base_path: v.string(),
  mode: v.picklist(['develop', 'package', 'join']),
  env_id: v.string(),
  public_address: v.string(),
  agent_backend: v.picklist(['process', 'docker', 'dummy']),
  accelerator: v.optional(v.picklist(ACCELERATORS)),
  halfstack: v.picklist(['compose', 'existing', 'none']),
  /** Of all but nodes, which need none. */
  servers: v.optional(
    v.object({
      postgres: v.string(),
      redis: v.string(),
      redis_service: v.optional(v.string()),
      etcd: v.string(),
    }),
  ),
  database: v.optional(v.object({ name: v.string(), user: v.string() })),
  watch: v.optional(
    v.object({ profile: v.picklist(WATCHES), is_optional: v.optional(v.boolean(), false) }),
  ),
  otel_endpoint: v.optional(v.string()),
  endpoint_protocol: v.optional(v.picklist(['http', 'https'])),
  wildcard_binding: v.optional(v.boolean()),
  sftp_agent: v.optional(v.boolean()),
  harbor: v.optional(
    v.object({
      hostname: v.string(),
      http_port: v.number(),
      archive: v.string(),
      sha256: v.nullable(v.string()),
    }),
  ),
  app_proxy: v.optional(
    v.object({
      frontend_mode: v.picklist(['port', 'wildcard']),
      fqdn_prefix: v.nullable(v.string()),
      app_base_domain: v.string(),
      storage_base_domain: v.string(),
      tls_advertised: v.boolean(),
      advertised_port: v.number(),
      metric_access: v.nullable(v.string()),
    }),
  ),
  /** Of nodes. */
  join: v.optional(
    v.object({ manager: v.string(), agent_id: v.string(), advertise: v.nullable(v.string()) }),
  ),
  ports: v.record(v.string(), v.number()),
});
export type InstallInfo = v.InferOutput<typeof infoRecord>;

export function writeInfo(layout: Layout, info: InstallInfo): void {
  writeOwnFile(layout.info, `${JSON.stringify(info, null, 2)}\n`, 0o644);
}

/** @throws UserError when there is no installation, or its record is damaged. */
export function readInfo(layout: Layout): InstallInfo {
  if (!existsSync(layout.info)) {
    throw new UserError(`There is no installation in ${layout.root}.`, {
      hint: 'Name its folder with --target-path, or make one: backend.ai install --mode package.',
    });
  }
  try {
    return v.parse(infoRecord, JSON.parse(readFileSync(layout.info, 'utf8')));
  } catch (error) {
    throw new UserError(`${layout.info} cannot be read: ${errorMessage(error)}`, {
      hint: 'Restore it from a backup, or install again over it with the same options.',
    });
  }
}

/** For what goes on all the same: null where there is no installation, or its record is damaged. */
export function findInfo(layout: Layout): InstallInfo | null {
  try {
    return existsSync(layout.info) ? readInfo(layout) : null;
  } catch (error) {
    if (error instanceof UserError) return null;
    throw error;
  }
}

/** The addresses of the three servers: those given, or those that compose publishes. */
export function serverAddresses(request: InstallRequest) {
  const local = (port: number) => `127.0.0.1:${port}`;
  return {
    postgres: request.existing.postgres ?? local(request.ports.postgres),
    redis: request.existing.redis ?? local(request.ports.redis),
    etcd: request.existing.etcd ?? local(request.ports.etcd),
  };
}

/** Where Redis is, and what it asks for, in the names of the configuration. */
export function redisPlace(request: InstallRequest): Record<string, string> {
  const { redis } = serverAddresses(request);
  const { existing, passwords } = request;
  const place: Record<string, string> =
    existing.redisService === undefined
      ? { addr: redis }
      : {
          ...{ sentinel: redis, service_name: existing.redisService },
          ...(passwords.sentinel === '' ? {} : { sentinel_password: passwords.sentinel }),
        };
  return passwords.redis === '' ? place : { ...place, password: passwords.redis };
}
