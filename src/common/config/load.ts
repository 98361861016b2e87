/** Loads a component's configuration: finds the TOML file, adds the environment, checks the schema. */
import { readFileSync } from 'node:fs';
import { relative } from 'node:path';
import { parse, TomlError } from 'smol-toml';
import type * as v from 'valibot';
import { errorMessage, UserError } from '../errors.ts';
import { parseOutside } from '../parse.ts';
import { closest } from '../spelling.ts';
import { explainIssue } from './explain.ts';
import { findConfigFile, type SearchPlaces } from './find.ts';
import { keyLines, linePath } from './lines.ts';
import { type Aliases, entriesOf, isTable, normalizeKeys } from './normalize.ts';
import { parseHostPort } from './values.ts';

/** Environment variable → path of the key it replaces. */
export type EnvironmentOverrides = Readonly<Record<string, readonly string[]>>;

export interface LoadOptions<S extends v.GenericSchema> {
  /** The file is `<component>.toml`. */
  readonly component: string;
  /** The file's name where it is another one. */
  readonly fileName?: string;
  /** The file named with `-f`; nothing else is looked for then. */
  readonly explicitPath?: string;
  readonly places: SearchPlaces;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly overrides: EnvironmentOverrides;
  readonly aliases?: Aliases;
  /** Kebab-case keys; `strictObject` for sections whose keys are all known. */
  readonly schema: S;
}

export interface LoadedConfig<T> {
  readonly path: string;
  readonly value: T;
  /** Keys of known sections that are present in the file, as `[section] key`. */
  readonly presentKeys: readonly string[];
  /** Sections that no schema knows; they are accepted and have no effect. */
  readonly unknownSections: readonly string[];
}

/** More problems than this are only counted. */
const MAX_SHOWN_PROBLEMS = 20;

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    throw new UserError(`Cannot read ${path}: ${errorMessage(error)}`, {
      hint: 'Make the file readable for this user.',
      cause: error,
    });
  }
}

function parseText(name: string, text: string): Record<string, unknown> {
  try {
    return parse(text);
  } catch (error) {
    if (!(error instanceof TomlError)) throw error;
    const what = error.message.split('\n')[0]?.replace('Invalid TOML document: ', '') ?? '';
    const line = text.split('\n')[error.line - 1] ?? '';
    throw new UserError(`${name}:${error.line}: not valid TOML: ${what}\n  ${line.trim()}`, {
      hint: 'Text needs quotes, lists brackets; see https://toml.io.',
      cause: error,
    });
  }
}

/** Puts the values of set environment variables into `document`. @returns variable by key path. */
function applyEnvironment(
  document: Record<string, unknown>,
  env: LoadOptions<v.GenericSchema>['env'],
  overrides: EnvironmentOverrides,
): Map<string, string> {
  const origins = new Map<string, string>();
  for (const [variable, path] of Object.entries(overrides)) {
    const value = env[variable];
    if (value === undefined || value === '') continue;
    let table = document;
    for (const part of path.slice(0, -1)) {
      const child = table[part];
      // `BACKEND_SERVICE_PORT` replaces one half of an address that is written as text.
      const split = typeof child === 'string' ? parseHostPort(child) : null;
      const next: Record<string, unknown> = isTable(child) ? child : { ...split };
      table[part] = next;
      table = next;
    }
    table[path.at(-1) ?? ''] = value;
    origins.set(linePath(path), variable);
  }
  return origins;
}

/** Removes and names the sections that the schema does not know and that are no misspelling. */
function dropUnknownSections(schema: object, document: Record<string, unknown>): string[] {
  const known = entriesOf(schema);
  if (!known) return [];
  const unknown = Object.keys(document).filter(
    (name) => !known.has(name) && isTable(document[name]) && !closest(name, known.keys()),
  );
  for (const name of unknown) delete document[name];
  return unknown;
}

function listKeys(document: Record<string, unknown>): string[] {
  return Object.entries(document).flatMap(([section, table]) =>
    isTable(table) ? Object.keys(table).map((key) => `[${section}] ${key}`) : [`[${section}]`],
  );
}

/**
 * Loads and checks `<component>.toml`.
 * @throws UserError when no file is found, it cannot be read, is no TOML or breaks the schema; every
 * problem is named with its line.
 */
export function loadConfigFile<S extends v.GenericSchema>(
  options: LoadOptions<S>,
): LoadedConfig<v.InferOutput<S>> {
  const fileName = options.fileName ?? `${options.component}.toml`;
  const path = findConfigFile(fileName, options.explicitPath, options.places);
  const text = readText(path);
  const name = shortName(path, options.places.cwd);
  const raw = normalizeKeys(options.schema, parseText(name, text), options.aliases ?? {});
  const document = isTable(raw) ? raw : {};
  const unknownSections = dropUnknownSections(options.schema, document);
  const presentKeys = listKeys(document);
  const origins = applyEnvironment(document, options.env, options.overrides);

  const result = parseOutside(options.schema, document);
  if (result.success) return { path, value: result.output, presentKeys, unknownSections };

  const lines = keyLines(text);
  const locate = (keys: readonly string[]): string => {
    for (let length = keys.length; length > 0; length--) {
      const at = linePath(keys.slice(0, length));
      const variable = origins.get(at);
      if (variable) return `environment variable ${variable}`;
      const line = lines.get(at);
      if (line) return `${name}:${line}`;
    }
    return name;
  };
  const problems = result.issues.map((issue) => explainIssue(options.schema, issue, locate));
  const shown = problems.slice(0, MAX_SHOWN_PROBLEMS);
  if (problems.length > shown.length) shown.push(`… and ${problems.length - shown.length} more`);
  throw new UserError(shown.join('\n'), {
    hint: `Correct ${path}; config/${fileName} explains every key.`,
  });
}

/** The path as the user would write it. */
function shortName(path: string, cwd: string): string {
  const short = relative(cwd, path);
  return short === '' || short.startsWith('..') ? path : short;
}
