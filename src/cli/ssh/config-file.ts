/** The file of entries for ssh that `ssh-config` keeps: one for each session, of any number of clusters. */

export interface SshEntry {
  /** The name that `ssh` is given: the session's name or id. */
  readonly host: string;
  /** URL of the cluster that the session is in; null in files of earlier versions. */
  readonly endpoint: string | null;
  /** The whole entry, with a line end. */
  readonly text: string;
}

const FIRST_LINE = /^Host +(\S+)$/;
const ENDPOINT_LINE = /^ *# *in +(\S+)$/m;

export function sshEntry(
  host: string,
  endpoint: string,
  settings: readonly (readonly [name: string, value: string])[],
): SshEntry {
  const lines = [['HostName', host], ...settings].map(([name, value]) => `  ${name} ${value}`);
  return { host, endpoint, text: [`Host ${host}`, `  # in ${endpoint}`, ...lines, ''].join('\n') };
}

/** The entries of a file that we wrote. */
export function readEntries(text: string): SshEntry[] {
  const entries: string[][] = [];
  for (const line of text.split('\n')) {
    if (FIRST_LINE.test(line)) entries.push([line]);
    else if (line.trim() !== '') entries.at(-1)?.push(line);
  }
  return entries.map((lines) => {
    const entry = `${lines.join('\n')}\n`;
    return {
      host: FIRST_LINE.exec(lines[0] ?? '')?.[1] ?? '',
      endpoint: ENDPOINT_LINE.exec(entry)?.[1] ?? null,
      text: entry,
    };
  });
}

/**
 * The entries that the file has from now on: the new ones take the place of older ones of the same
 * name, and those of sessions of this cluster that are gone are left out.
 * @param isGone asked about entries of the cluster at `endpoint` only.
 */
export async function mergeEntries(
  known: readonly SshEntry[],
  added: readonly SshEntry[],
  { endpoint, isGone }: { endpoint: string; isGone: (host: string) => Promise<boolean> },
): Promise<SshEntry[]> {
  const names = new Set(added.map(({ host }) => host));
  const kept: SshEntry[] = [];
  for (const entry of known) {
    if (names.has(entry.host)) continue;
    if (entry.endpoint === endpoint && (await isGone(entry.host))) continue;
    kept.push(entry);
  }
  return [...kept, ...added];
}

export const writeEntries = (entries: readonly SshEntry[]): string =>
  entries.map(({ text }) => text).join('\n');
