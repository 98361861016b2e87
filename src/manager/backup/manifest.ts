/**
 * What a backup is: a gzipped tar archive whose last entry, the manifest, tells everything before it.
 *
 *     database/<table>/<part>   rows in PostgreSQL's COPY text format; the parts of a table are one stream
 *     config/<part>             entries of the configuration store, one JSON array [key, value] a line
 *     secrets/manager.key       the manager's private key, which agents know it by
 *     manifest.json             this file's schema
 *
 * Tables come in parts since an archive must tell an entry's size before its bytes, and no table is held
 * in memory.
 */
import * as v from 'valibot';

export const MANIFEST = 'manifest.json';
export const MANAGER_KEY = 'secrets/manager.key';
/** Bytes of one part; what is held in memory of a table. */
export const PART_BYTES = 4 * 1024 * 1024;

const count = v.pipe(v.number(), v.integer(), v.minValue(0));
const sha256 = v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/, 'expected a SHA-256'));
/** Of what PostgreSQL takes without quotes; anything else was not written by us. */
const identifier = v.pipe(v.string(), v.regex(/^[a-z_][a-z0-9_]{0,62}$/, 'expected a name'));

const table = v.strictObject({
  name: identifier,
  columns: v.pipe(v.array(identifier), v.minLength(1)),
  rows: count,
  parts: count,
});
export type BackupTable = v.InferOutput<typeof table>;

export const manifestSchema = v.strictObject({
  /** Of this layout. */
  format: v.literal(1, 'expected format 1; a newer version of backend.ai wrote this backup'),
  createdAt: v.pipe(v.string(), v.isoTimestamp()),
  /** Of the program that wrote it. */
  version: v.string(),
  managerId: v.string(),
  /** Migrations that the database had. */
  migrations: v.pipe(v.array(count), v.minLength(1)),
  tables: v.pipe(v.array(table), v.maxLength(1000)),
  config: v.strictObject({ namespace: v.string(), entries: count, parts: count }),
  /** SHA-256 of each entry, by its name, all but this one. */
  entries: v.record(v.string(), sha256),
});
export type Manifest = v.InferOutput<typeof manifestSchema>;

export const tablePart = (name: string, part: number): string =>
  `database/${name}/${String(part).padStart(6, '0')}`;
export const configPart = (part: number): string => `config/${String(part).padStart(6, '0')}`;
